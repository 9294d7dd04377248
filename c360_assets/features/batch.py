"""The rows of a table of features that hold at a moment, by one Spark query over the history of the shop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from c360_assets.gold.query import COMPILED, configure, statement

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pyspark.sql import DataFrame, SparkSession

    from c360_assets.features.catalogue import FeatureTable


def feature_rows(
    spark: SparkSession,
    table: FeatureTable,
    sources: Mapping[str, str],
    as_of: datetime,
    frames: Mapping[str, DataFrame] | None = None,
    how: Mapping[str, str] = COMPILED,
) -> DataFrame:
    """The rows as a lazy Spark frame, one for each key.

    ``sources`` gives a FROM item for each of the table's histories; ``frames`` are those that items name in braces.
    ``as_of`` must be aware; ``how`` is the session's configuration, compiled for many rows.
    """
    configure(spark, how)
    histories = {name.partition(".")[2]: f"select * from {item}" for name, item in sources.items()}
    *views, (_, last) = table.queries.items()
    return spark.sql(statement(last, {**histories, **dict(views)}), args={"as_of": as_of}, **(frames or {}))
