"""Histories in Spark, the features that they give, and how these are compared with what is expected."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from c360_assets.features.batch import feature_rows
from c360_assets.features.catalogue import FEATURES
from c360_assets.gold.query import INTERPRETED
from tests.oracle.features.cases import KEYS

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

Row = dict[str, Any]


class Batch:
    """Histories in Spark, and the features that they give."""

    def __init__(self, spark: SparkSession, tables: dict[str, pa.Table]) -> None:
        from pyspark.sql.pandas.types import from_arrow_schema

        self._spark = spark
        self._frames = {
            name: spark.createDataFrame(table, schema=from_arrow_schema(table.schema)) for name, table in tables.items()
        }

    def rows(self, table: str, as_of: datetime) -> dict[str, Row]:
        """The rows of a table by key; none of them twice."""
        plan = FEATURES[f"features.{table}"]
        read = {table: table.partition(".")[2] for table in plan.history}
        sources = {table: f"{{{name}}}" for table, name in read.items()}
        frames = {name: self._frames[name] for name in read.values()}
        found = feature_rows(self._spark, plan, sources, as_of, frames, INTERPRETED)
        rows = found.toArrow().to_pylist()
        by_key = {row[plan.key]: row for row in rows}
        assert len(by_key) == len(rows)
        return by_key


def same(found: dict[str, Row], wanted: dict[str, Row]) -> None:
    """The same keys, and values that are equal; doubles within rounding."""
    assert found.keys() == wanted.keys()
    for key, row in wanted.items():
        for name, value in row.items():
            if isinstance(value, float):
                assert found[key][name] == pytest.approx(value, rel=1e-9), (key, name)
            else:
                assert found[key][name] == value, (key, name)


def by_key(rows: list[Row] | tuple[Row, ...], table: str) -> dict[str, Row]:
    """Rows by the key of their table."""
    return {row[KEYS[table]]: row for row in rows}
