"""Batch equals stream: the features that a stream wrote, compared with those that Spark makes of the shop's history.

Both sides are functions of the set of changes and of a moment, so nothing is folded in for late changes: once both have
seen them, both have other rows. The moment is one that both have reached. A stream tells what holds from now on: if an
entity has already moved on from that moment, what a late change makes of the time before is not told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from c360.cdc.contracts import history_name
from c360.streams.feature_parity import compare, require, valid_rows
from c360.streams.features import EFFECTIVE, VERSION
from c360.streams.parity import settled
from c360_assets.features.batch import feature_rows
from c360_assets.features.catalogue import FEATURES
from c360_assets.gold.query import COMPILED, INTERPRETED

if TYPE_CHECKING:
    from datetime import datetime

    from pyspark.sql import SparkSession

    from c360.lakehouse import Lakehouse
    from c360.streams.parity import Difference
    from c360_assets.features.catalogue import FeatureTable

QUIET = frozenset({history_name("products")})
"""Histories in which nothing happens for days: they hold no moment up."""

FEW = 50_000
"""Of so few changes a query is interpreted: compiling it would cost more than it saves."""

BY_ARRIVAL = {"features.anomaly_alerts": VERSION, "features.inventory_insights": EFFECTIVE}
"""What arrival decides and is not compared: an alert is written again only where it says something else, and a product
that was already told as of a later moment keeps that moment when something earlier is told of it.
"""


def feature_parity(lake: Lakehouse, spark: SparkSession, name: str, as_of: datetime | None = None) -> Difference:
    """Compare ``features.<table>`` with batch, as of ``as_of`` or else the newest moment that both have reached.

    A difference must last: the tables of one checkpoint are committed one after another. Raises LakehouseError if the
    table or a history that it is made of is missing.
    """
    table = FEATURES[name]
    require(lake, name, *table.history)
    return settled(lambda: _look(lake, spark, table, as_of))


def common_moment(lake: Lakehouse, table: FeatureTable) -> datetime | None:
    """The newest moment that the stream and the histories, each partition of a topic, have reached by event time."""
    import polars as pl

    moments = []
    for history in table.history:
        if history in QUIET:
            continue
        rows = pl.DataFrame(pl.from_arrow(lake.read(history, columns=["kafka_partition", "changed_at"])))
        moments += rows.group_by("kafka_partition").agg(pl.col("changed_at").max())["changed_at"].drop_nulls().to_list()
        if not moments:
            return None
    written = pl.DataFrame(pl.from_arrow(lake.read(table.name, columns=[EFFECTIVE])))[EFFECTIVE].max()
    return None if written is None else min([*moments, written])


def _look(lake: Lakehouse, spark: SparkSession, table: FeatureTable, as_of: datetime | None) -> Difference:
    import polars as pl

    # The stream first: what it has written by then is in its topics, and so in history once bronze has been read.
    written = pl.DataFrame(pl.from_arrow(lake.read(table.name)))
    moment = as_of or common_moment(lake, table)
    if moment is None:
        nothing = written.clear()
        return compare(table.name, table.key, nothing, nothing, nothing)
    sources = {name: _pinned(lake, name) for name in table.history}
    rows = sum(lake.row_count(name) for name in table.history)
    how = INTERPRETED if rows <= FEW else COMPILED
    batch = pl.DataFrame(pl.from_arrow(feature_rows(spark, table, sources, moment, how=how).toArrow()))
    batch = batch.drop(BY_ARRIVAL.get(table.name, []))
    stream = valid_rows(written, table.key, moment).select(batch.columns)
    batch = batch.cast(stream.schema)
    moved = written.filter(pl.col(EFFECTIVE) > pl.lit(moment)).select(table.key).unique()
    return compare(table.name, table.key, batch, stream, moved, moment)


def _pinned(lake: Lakehouse, name: str) -> str:
    snapshot = lake.snapshot(name)
    return f"lake.{name}" if snapshot is None else f"lake.{name} version as of {snapshot}"
