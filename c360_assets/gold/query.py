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

SHIPPED_CELLS = 3_000_000
"""Slices up to this many values travel to Spark with the query, which beats a scan; of larger ones only the keys do."""

SIGN = "sign"
MONTH = "'MM'"

CONFIGURATION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.autoBroadcastJoinThreshold": "64m",
    # the rule would compute on the rows that travel along while it plans, interpreted and in one thread
    "spark.sql.optimizer.excludedRules": "org.apache.spark.sql.catalyst.optimizer.ConvertToLocalRelation",
}

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
    given = scope.views if scope else {}
    try:
        bindings = {
            name: _bound(spark, name, source, given.get(name), up, views, signed=name in table.signed)
            for name, source in table.inputs.items()
        }
        for name in table.carried:
            earlier = f"lake.{up.name}"
            rows = _narrowed(spark, given[name], earlier, views) if name in given else f"{earlier} where false"
            bindings[name] = f"select * from {rows}"
        if table.unknown_member:
            bindings["with_unknown"] = "select 1 as due" if scope is None else "select 1 as due where false"
        frame = spark.sql(statement(table.sql, bindings), args={"as_of": as_of} if table.uses_as_of else None)
        _same_columns(frame.columns, contract)
        yield frame.selectExpr(*casts(contract))
    finally:
        for view in views:
            spark.catalog.dropTempView(view)


def configure(spark: SparkSession) -> None:
    """What the SQL files rely on: UTC, and errors instead of wrapped or null results; and what makes them fast."""
    for key, value in CONFIGURATION.items():
        spark.conf.set(key, value)


def statement(sql: str, bindings: Mapping[str, str]) -> str:
    """``sql`` with its inputs bound to subqueries."""
    inputs = ",\n".join(f"{name} as ({query})" for name, query in bindings.items())
    return f"with {inputs}\nselect * from (\n{sql}\n)"


def casts(contract: Contract) -> list[str]:
    """The contract's columns in its order and types; a value that does not fit fails the query."""
    return [f"cast(`{c.name}` as {_SPARK_TYPES.get(c.type, c.type)}) as `{c.name}`" for c in contract.columns]


def latest(source: str, contract: Contract) -> str:
    """The latest version per business key of a silver table, or of a slice that holds all versions of its keys."""
    newest = f"partition by {', '.join(contract.business_key)} order by {contract.version_column} desc"
    return f"select * from (select *, row_number() over ({newest}) as nth from {source}) where nth = 1"


def _bound(
    spark: SparkSession,
    name: str,
    table: str,
    given: Slice | pl.DataFrame | None,
    up: LakeUpstream,
    views: list[str],
    *,
    signed: bool,
) -> str:
    pin = up.pin(table)
    source = f"lake.{table}" if pin is None else f"lake.{table} version as of {pin}"
    if given is not None:
        source = _narrowed(spark, given, source, views)
    elif signed:
        return f"select *, 1 as {SIGN} from {source}"
    return latest(source, get_contract(table)) if name.startswith("latest_") else f"select * from {source}"


def _narrowed(spark: SparkSession, given: Slice | pl.DataFrame, source: str, views: list[str]) -> str:
    """The rows themselves where they are few, otherwise the source joined with its keys; as a FROM item."""
    if isinstance(given, pl.DataFrame):
        return _ship(spark, given, views) if given.height else _none(given.columns, source)
    if given.keys.is_empty():
        return _none(given.columns, source)
    if len(given.keys) <= SHIPPED_CELLS and given.frame.height * given.frame.width <= SHIPPED_CELLS:
        return _ship(spark, given.frame, views) if given.frame.height else _none(given.columns, source)
    keys = _ship(spark, given.keys.alias("key").to_frame(), views)
    columns = ", ".join(given.columns)
    if given.per != "value":
        low, high = given.span()
        day = f"cast({given.column} as date)"
        return (
            f"(select {columns} from {source} "
            f"left semi join {keys} on {day if given.per == 'day' else f'trunc({day}, {MONTH})'} = key "
            f"where {given.column} >= timestamp '{low} 00:00:00Z' and {given.column} < timestamp '{high} 00:00:00Z')"
        )
    return f"(select {columns} from {source} left semi join {keys} on {given.column} = key)"


def _none(columns: Iterable[str], source: str) -> str:
    """No rows, with the types of the source: Spark cannot tell them from an empty table that travels along."""
    named = ", ".join(f"1 as {SIGN}" if column == SIGN else column for column in columns)
    return f"(select {named} from {source} where false)"


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
