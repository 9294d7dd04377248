"""Batch equals stream: what a job wrote, compared by key and value with what bronze gives when it is computed again.

Streams go on while this looks: messages are those of one snapshot of bronze, and windows those that the job has closed.
Late events are in silver and not yet in their window: :mod:`c360.streams.repair` folds them in.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from c360.streams.job import LATE, METRICS
from c360.streams.metrics import KEY, event_metrics
from c360.streams.recompute import PLACE, canonical, recompute

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import polars as pl

    from c360.lakehouse import Lakehouse
    from c360.streams.job import StreamJob

TRIES, PAUSE = 3, 2.0
"""Tables of one checkpoint are committed one after another: a difference must still be there after a moment."""

EXAMPLES = 10


@dataclass(frozen=True)
class Difference:
    """How a table differs from its recomputation.

    ``missing`` are in the recomputation only, ``surplus`` in the table only, ``changed`` in both with other values, as
    keys; ``pending`` of them are explained: late events wait to be folded in, or a key has moved on. ``compared``
    counts the keys of the recomputation. ``as_of`` is the moment of a comparison of features, None while there is none.
    """

    table: str
    compared: int
    missing: pl.DataFrame
    surplus: pl.DataFrame
    changed: pl.DataFrame
    pending: pl.DataFrame
    as_of: datetime | None = None

    @property
    def total(self) -> int:
        """Keys that differ."""
        return self.missing.height + self.surplus.height + self.changed.height

    @property
    def unexplained(self) -> int:
        """Keys that differ and are not pending."""
        return self.total - self.pending.height

    def examples(self) -> list[dict[str, object]]:
        """Some of the keys that differ, with the kind of difference."""
        kinds = (("missing", self.missing), ("surplus", self.surplus), ("changed", self.changed))
        return [{"kind": kind, **row} for kind, keys in kinds for row in keys.head(EXAMPLES).to_dicts()]


def silver_parity(lake: Lakehouse, job: StreamJob) -> Difference:
    """Compare the job's silver table with a recomputation from all of bronze, in all columns."""
    return settled(lambda: compare_silver(lake, job)[0])


def metrics_parity(lake: Lakehouse, job: StreamJob) -> Difference:
    """Compare the job's closed windows with a recomputation from all of silver, late events included."""
    return settled(lambda: compare_metrics(lake, job)[0])


def compare_silver(lake: Lakehouse, job: StreamJob) -> tuple[Difference, pl.DataFrame]:
    """The difference as it is at once, and the recomputation."""
    import polars as pl

    bronze = lake.read(job.bronze.name)
    batch = recompute(job, bronze).accepted
    ends = pl.DataFrame(pl.from_arrow(bronze.select(PLACE))).group_by(PLACE[0]).agg(pl.col(PLACE[1]).max().alias("end"))
    stream = pl.DataFrame(pl.from_arrow(lake.read(job.silver.name)))
    stream = stream.join(ends, on=PLACE[0]).filter(pl.col(PLACE[1]) <= pl.col("end")).select(batch.columns)
    maps = [field.name for field in job.silver.columns if _is_map(job, field.name)]
    stream = stream.with_columns(
        pl.col(name).map_elements(_canonical_text, return_dtype=pl.String, skip_nulls=True) for name in maps
    )
    return _compare(job.silver.name, batch, stream, PLACE, None), batch


def compare_metrics(lake: Lakehouse, job: StreamJob) -> tuple[Difference, pl.DataFrame]:
    """The difference as it is at once, and the recomputation."""
    import polars as pl

    topic = pl.col("source_topic") == job.inputs[0]
    # In this order: what one table lacks is then in the next.
    stream = pl.DataFrame(pl.from_arrow(lake.read(METRICS))).filter(topic)
    silver = lake.read(job.silver.name)
    late = pl.DataFrame(pl.from_arrow(lake.read(LATE, columns=["source_topic", "window_start"]))).filter(topic)
    closed = stream.get_column("window_end").max()
    batch = pl.DataFrame(pl.from_arrow(event_metrics(job, silver)))
    batch = batch.filter(pl.col("window_end") <= pl.lit(closed, dtype=pl.Datetime("us", "UTC"))).select(stream.columns)
    return _compare(METRICS, batch, stream, KEY, late.select("window_start").unique()), batch


def settled(look: Callable[[], Difference]) -> Difference:
    """The difference that is left after a few looks; at once if there is none."""
    for left in range(TRIES - 1, -1, -1):
        found = look()
        if not found.unexplained or not left:
            break
        time.sleep(PAUSE)
    return found


def _compare(
    table: str, batch: pl.DataFrame, stream: pl.DataFrame, key: tuple[str, ...], late: pl.DataFrame | None
) -> Difference:
    import polars as pl

    twice = stream.filter(pl.struct(key).is_duplicated()).select(key)
    missing = batch.join(stream, on=key, how="anti").select(key)
    surplus = pl.concat([stream.join(batch, on=key, how="anti").select(key), twice])
    same = batch.join(stream, on=batch.columns, how="semi", nulls_equal=True).select(key)
    changed = batch.join(stream, on=key, how="semi").join(same, on=key, how="anti").select(key)
    short = pl.concat([missing, changed])
    pending = short.clear() if late is None else short.join(late, on=late.columns, how="semi")
    return Difference(table, batch.height, missing, surplus, changed, pending)


def _is_map(job: StreamJob, column: str) -> bool:
    from c360.contracts.topic import MAP
    from c360.contracts.topic_columns import column_name

    return any(column_name(field.name) == column and field.type == MAP for field in job.topic.fields)


def _canonical_text(text: str) -> str | None:
    import orjson

    return canonical(orjson.loads(text))
