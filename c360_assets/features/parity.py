"""Batch equals stream: the features that a stream wrote, compared with those that Spark makes of the shop's history.

Both sides are functions of the set of changes and of a moment, so nothing is folded in for late changes: once both have
seen them, both have other rows. The moment is one that both have reached. A stream tells what holds from now on: if an
entity has already moved on from that moment, what a late change makes of the time before is not told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from c360.errors import LakehouseError
from c360.streams.features import EFFECTIVE, VERSION
from c360.streams.parity import Difference, settled
from c360_assets.features.batch import feature_rows
from c360_assets.features.catalogue import FEATURES, HISTORY
from c360_assets.gold.query import COMPILED, INTERPRETED

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl
    from pyspark.sql import SparkSession

    from c360.lakehouse import Lakehouse
    from c360_assets.features.catalogue import FeatureTable

RATIO = 1e-9
"""Doubles that differ by less, as a share of the greater, are the same: engines add up in different orders."""

QUIET = frozenset({"shop_products_history"})
"""Histories in which nothing happens for days: they hold no moment up."""

FEW = 50_000
"""Of so few changes a query is interpreted: compiling it would cost more than it saves."""

ACTIVE = "is_active"

BY_ARRIVAL = {"features.anomaly_alerts": VERSION, "features.inventory_insights": EFFECTIVE}
"""What arrival decides and is not compared: an alert is written again only where it says something else, and a product
that was already told as of a later moment keeps that moment when something earlier is told of it.
"""


@dataclass(frozen=True)
class FeatureParity:
    """What differs, as of which moment; ``as_of`` is None while one of the sides holds nothing yet."""

    as_of: datetime | None
    difference: Difference


def feature_parity(lake: Lakehouse, spark: SparkSession, name: str, as_of: datetime | None = None) -> FeatureParity:
    """Compare ``features.<table>`` with batch, as of ``as_of`` or else the newest moment that both have reached.

    A difference must last: the tables of one checkpoint are committed one after another. Raises LakehouseError if the
    table or a history that it is made of is missing.
    """
    table = FEATURES[name]
    for needed in (name, *table.tables):
        if not lake.exists(needed):
            raise LakehouseError(f"{name} cannot be compared: there is no {needed}", f"let {needed} be written first")
    found: list[FeatureParity] = []

    def look() -> Difference:
        found.append(_look(lake, spark, table, as_of))
        return found[-1].difference

    settled(look)
    return found[-1]


def common_moment(lake: Lakehouse, table: FeatureTable) -> datetime | None:
    """The newest moment that the stream and the histories, each partition of a topic, have reached by event time."""
    import polars as pl

    moments = []
    for history in table.history:
        if history in QUIET:
            continue
        rows = pl.DataFrame(pl.from_arrow(lake.read(HISTORY[history], columns=["kafka_partition", "changed_at"])))
        moments += rows.group_by("kafka_partition").agg(pl.col("changed_at").max())["changed_at"].drop_nulls().to_list()
        if not moments:
            return None
    written = pl.DataFrame(pl.from_arrow(lake.read(table.name, columns=["effective_at"])))["effective_at"].max()
    return None if written is None else min([*moments, written])


def valid_rows(written: pl.DataFrame, key: str, as_of: datetime) -> pl.DataFrame:
    """Of all rows that a stream wrote those that hold at ``as_of``: of each key the newest, if it is still active."""
    import polars as pl

    newest = (
        written.filter(pl.col("effective_at") <= pl.lit(as_of))
        .sort("version", "effective_at", maintain_order=True)
        .unique(key, keep="last", maintain_order=True)
    )
    return newest.filter(pl.col(ACTIVE)) if ACTIVE in newest.columns else newest


def compare(name: str, key: str, batch: pl.DataFrame, stream: pl.DataFrame, moved: pl.DataFrame) -> Difference:
    """What differs between two tables of the same columns, one row for each key in either.

    Where a key has ``moved`` on, a difference is pending: its row of that moment may never be written.
    """
    import polars as pl

    both = batch.join(stream, on=key, suffix="_streamed")
    alike = [
        _alike(pl.col(column), pl.col(f"{column}_streamed"), double=kind.is_float())
        for column, kind in batch.schema.items()
        if column != key
    ]
    missing, surplus = (
        one.join(other, on=key, how="anti").select(key).sort(key) for one, other in ((batch, stream), (stream, batch))
    )
    changed = both.filter(~pl.all_horizontal(alike)).select(key).sort(key)
    pending = pl.concat([missing, surplus, changed]).join(moved, on=key, how="semi")
    return Difference(name, batch.height, missing, surplus, changed, pending)


def _alike(one: pl.Expr, other: pl.Expr, *, double: bool) -> pl.Expr:
    import polars as pl

    same = one.eq_missing(other)
    if not double:
        return same
    return same | ((one - other).abs() <= RATIO * pl.max_horizontal(one.abs(), other.abs())).fill_null(value=False)


def _look(lake: Lakehouse, spark: SparkSession, table: FeatureTable, as_of: datetime | None) -> FeatureParity:
    import polars as pl

    # The stream first: what it has written by then is in its topics, and so in history once bronze has been read.
    written = pl.DataFrame(pl.from_arrow(lake.read(table.name)))
    moment = as_of or common_moment(lake, table)
    if moment is None:
        nothing = written.clear().select(table.key)
        return FeatureParity(None, Difference(table.name, 0, nothing, nothing, nothing, nothing))
    sources = {name: _pinned(lake, HISTORY[name]) for name in table.history}
    rows = sum(lake.row_count(name) for name in table.tables)
    how = INTERPRETED if rows <= FEW else COMPILED
    batch = pl.DataFrame(pl.from_arrow(feature_rows(spark, table, sources, moment, how=how).toArrow()))
    batch = batch.drop(BY_ARRIVAL.get(table.name, []))
    stream = valid_rows(written, table.key, moment).select(batch.columns)
    batch = batch.cast(stream.schema)
    moved = written.filter(pl.col("effective_at") > pl.lit(moment)).select(table.key).unique()
    return FeatureParity(moment, compare(table.name, table.key, batch, stream, moved))


def _pinned(lake: Lakehouse, name: str) -> str:
    snapshot = lake.snapshot(name)
    return f"lake.{name}" if snapshot is None else f"lake.{name} version as of {snapshot}"
