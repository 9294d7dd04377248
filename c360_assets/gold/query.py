"""From a SQL file and its bindings to one Spark query: inputs as named subqueries, columns cast to the contract."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from c360.contracts import get_contract
from c360.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from pyspark.sql import DataFrame, SparkSession

    from c360.contracts.model import Contract
    from c360_assets.gold.catalogue import GoldTable
    from c360_assets.gold.scope import Scope, Slice
    from c360_assets.gold.upstream import LakeUpstream

SHIPPED_ROWS = 50_000
"""Slices up to this many rows travel to Spark with the query; of larger ones only the keys do."""

_SPARK_TYPES = {"long": "bigint"}
_ANSWERED_BY_THE_CONTRACT = "change the SELECT or the contract, so that both name the same columns"


@contextmanager
def select(
    spark: SparkSession, table: GoldTable, contract: Contract, up: LakeUpstream, scope: Scope | None, as_of: datetime
) -> Iterator[DataFrame]:
    """The table's rows (of ``scope``; all without) as a lazy Spark frame, in the contract's columns and types.

    The inputs are named subqueries of the one statement, so that queries of other tables in the same session cannot
    get in each other's way; the few rows that travel along are temporary views until the block ends. Raises
    ContractError if the SELECT and the contract name different columns.
    """
    configure(spark)
    views: list[str] = []
    try:
        bindings = {name: _binding(spark, name, source, up, scope, views) for name, source in table.inputs.items()}
        bindings |= {name: _carried(spark, name, up, scope, views) for name in table.carried}
        if table.unknown_member:
            bindings["with_unknown"] = "select 1 as due" if scope is None else "select 1 as due where false"
        arguments = {"as_of": as_of} if table.uses_as_of else None
        inner = statement(table.sql, bindings)
        _same_columns(spark.sql(inner, args=arguments).columns, contract)
        yield spark.sql(cast_to(contract, inner), args=arguments)
    finally:
        for view in views:
            spark.catalog.dropTempView(view)


def configure(spark: SparkSession) -> None:
    """What the SQL files rely on: UTC, errors instead of wrapped or null results, dimensions joined by broadcast."""
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.conf.set("spark.sql.ansi.enabled", "true")
    spark.conf.set("spark.sql.autoBroadcastJoinThreshold", "64m")


def statement(sql: str, bindings: Mapping[str, str]) -> str:
    """``sql`` with its inputs bound to subqueries."""
    inputs = ",\n".join(f"{name} as ({query})" for name, query in bindings.items())
    return f"with {inputs}\nselect * from (\n{sql}\n)"


def cast_to(contract: Contract, query: str) -> str:
    """``query`` with the contract's columns in its order and types; a value that does not fit fails the query."""
    columns = ", ".join(
        f"cast(`{c.name}` as {_SPARK_TYPES.get(c.type, c.type)}) as `{c.name}`" for c in contract.columns
    )
    return f"select {columns} from (\n{query}\n)"


def latest(source: str, contract: Contract) -> str:
    """The latest version per business key of a silver table, or of a slice that holds all versions of its keys."""
    newest = f"partition by {', '.join(contract.business_key)} order by {contract.version_column} desc"
    return f"select * from (select *, row_number() over ({newest}) as nth from {source}) where nth = 1"


def _binding(
    spark: SparkSession, name: str, table: str, up: LakeUpstream, scope: Scope | None, views: list[str]
) -> str:
    pin = up.pin(table)
    pinned = f"lake.{table}" if pin is None else f"lake.{table} version as of {pin}"
    given = scope.views.get(name) if scope else None
    source = pinned if given is None else _narrowed(spark, given, pinned, views)
    return latest(source, get_contract(table)) if name.startswith("latest_") else f"select * from {source}"


def _carried(spark: SparkSession, name: str, up: LakeUpstream, scope: Scope | None, views: list[str]) -> str:
    target = f"lake.{up.name}"
    given = scope.views.get(name) if scope else None
    return (
        f"select * from {target} where false"
        if given is None
        else f"select * from {_narrowed(spark, given, target, views)}"
    )


def _narrowed(spark: SparkSession, given: Slice | pl.DataFrame, source: str, views: list[str]) -> str:
    """The rows themselves where they are few, otherwise the source joined with its keys; as a FROM item."""
    if isinstance(given, pl.DataFrame):
        return _ship(spark, given, views)
    columns = ", ".join(given.columns)
    if given.keys.is_empty():
        return f"(select {columns} from {source} where {given.negated})"
    if not given.negated and len(given.keys) <= SHIPPED_ROWS and given.frame.height <= SHIPPED_ROWS:
        # Spark cannot tell the types of no rows, so that an empty slice is left to the source
        return (
            _ship(spark, given.frame, views) if given.frame.height else f"(select {columns} from {source} where false)"
        )
    keys = _ship(spark, given.keys.alias("key").to_frame(), views)
    if given.negated:
        return f"(select {columns} from {source} left anti join {keys} on {given.column} = key)"
    if given.by_day:
        low, high = given.days()
        return (
            f"(select {columns} from {source} left semi join {keys} on cast({given.column} as date) = key "
            f"where {given.column} >= timestamp '{low} 00:00:00Z' "
            f"and {given.column} < timestamp '{high} 00:00:00Z' + interval 1 day)"
        )
    return f"(select {columns} from {source} left semi join {keys} on {given.column} = key)"


def _ship(spark: SparkSession, rows: pl.DataFrame, views: list[str]) -> str:
    view = f"slice_{uuid.uuid4().hex}"
    spark.createDataFrame(_plain(rows.to_arrow())).createOrReplaceTempView(view)
    views.append(view)
    return view


def _plain(rows: pa.Table) -> pa.Table:
    """Arrow as Spark takes it: without Polars' large strings and views."""
    large = (pa.large_string(), pa.string_view())
    fields = [field.with_type(pa.string()) if field.type in large else field for field in rows.schema]
    return rows.cast(pa.schema(fields))


def _same_columns(found: Iterable[str], contract: Contract) -> None:
    names = list(found)
    missing = [name for name in contract.names if name not in names]
    unknown = [name for name in names if name not in contract.names]
    if missing:
        raise ContractError(f"The SELECT of {contract.name} lacks {', '.join(missing)}", _ANSWERED_BY_THE_CONTRACT)
    if unknown:
        raise ContractError(f"The SELECT of {contract.name} adds {', '.join(unknown)}", _ANSWERED_BY_THE_CONTRACT)
