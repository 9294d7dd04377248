"""Silver from bronze, once more: the batch form of what the streaming jobs decide about each message.

It reads messages by the event SDK's own decoders, shares no code with the job's Java functions, and must come to the
same rows: :mod:`c360.streams.parity` compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from c360.contracts.topic import MAP
from c360.contracts.topic_columns import column_name
from c360.events.errors import EventError
from c360.events.schema import EventSchema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import polars as pl
    import pyarrow as pa

    from c360.contracts.topic import TopicContract
    from c360.streams.job import StreamJob

PLACE = ("kafka_partition", "kafka_offset")
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Recomputed:
    """What becomes of the messages: ``accepted`` in the columns of silver, and the places of all others.

    ``refused`` holds partition and offset of what the contract refuses, ``repeated`` of repetitions, ``conflicting`` of
    other contents under an accepted id.
    """

    accepted: pl.DataFrame
    refused: pl.DataFrame
    repeated: pl.DataFrame
    conflicting: pl.DataFrame


def recompute(job: StreamJob, bronze: pa.Table) -> Recomputed:
    """Decide about every message of the job's bronze table.

    Messages come in the order of their partition; of one id in several partitions the copy that arrived first counts.
    """
    import polars as pl

    reader = _Reader(job.topic)
    rows: list[tuple[Any, ...]] = []
    refused: list[tuple[int, int]] = []
    for batch in bronze.select([*PLACE, "kafka_timestamp", "value"]).to_batches():
        for partition, offset, arrived, value in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            found = reader.read(value, arrived)
            if found is None:
                refused.append((partition, offset))
            else:
                rows.append((*found, partition, offset, arrived))
    silver = _frame(job, rows)
    places = dict.fromkeys(PLACE, pl.Int64)
    first = _first(silver)
    content = [name for name in silver.columns if name not in (*PLACE, "kafka_timestamp", *reader.sealed)]
    others = silver.join(first.select(PLACE), on=PLACE, how="anti")
    known = others.join(first.select(content), on=content, how="semi", nulls_equal=True)
    return Recomputed(
        accepted=first,
        refused=pl.DataFrame(refused, schema=places, orient="row"),
        repeated=known.select(pl.col(PLACE).cast(pl.Int64)),
        conflicting=others.join(known, on=PLACE, how="anti").select(pl.col(PLACE).cast(pl.Int64)),
    )


def _first(silver: pl.DataFrame) -> pl.DataFrame:
    """The first copy of each id: the earliest of those that lead their partition."""
    import polars as pl

    leaders = silver.sort(PLACE).unique(("event_id", PLACE[0]), keep="first", maintain_order=True)
    return (
        leaders.sort("kafka_timestamp", *PLACE).unique("event_id", keep="first", maintain_order=True).select(pl.all())
    )


def _frame(job: StreamJob, rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    import polars as pl

    from c360.contracts.schema import to_arrow

    empty = pl.DataFrame(pl.from_arrow(to_arrow(job.silver).empty_table()))
    return pl.DataFrame(rows, schema=empty.schema, orient="row")


class _Reader:
    """Messages of one topic as rows of its silver table, without the position."""

    def __init__(self, topic: TopicContract) -> None:
        self._schema = EventSchema(topic)
        self._ahead = timedelta(seconds=topic.clock_skew)
        self._behind = timedelta(days=topic.max_age_days)
        self._columns = [_getter(field.name, is_map=field.type == MAP) for field in topic.fields]
        self.sealed = frozenset(column_name(name) for name in topic.encrypted)

    def read(self, value: bytes | None, arrived: datetime) -> tuple[Any, ...] | None:
        """The row of a message, or None where the contract refuses it."""
        try:
            event = self._schema.read(value)
        except EventError:
            return None
        happened = _EPOCH + (event.event_timestamp - _EPOCH) // _MILLISECOND * _MILLISECOND
        if happened > arrived + self._ahead or happened < arrived - self._behind:
            return None
        return tuple(get(event) for get in self._columns)


def _getter(path: str, *, is_map: bool) -> Callable[[Any], Any]:
    get = attrgetter(path)
    return (lambda event: canonical(get(event))) if is_map else get


def canonical(found: Iterable[Any] | None) -> str | None:
    """A JSON object as text in one form: two texts of the same content become equal."""
    import orjson

    return None if found is None else orjson.dumps(found, option=orjson.OPT_SORT_KEYS).decode()
