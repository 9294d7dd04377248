"""From a SQL file and its bindings to one Spark query: inputs as named subqueries, columns cast to the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import polars as pl
import pyarrow as pa

from c360.contracts import get_contract
from c360.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from pyspark.sql import DataFrame, SparkSession

    from c360.contracts.model import Column, Contract
    from c360_assets.gold.catalogue import GoldTable
    from c360_assets.gold.scope import Scope, Slice
    from c360_assets.gold.upstream import LakeUpstream

SHIPPED_CELLS = 3_000_000
"""Slices up to this many values travel to Spark with the query, which beats a scan; of larger ones only the keys do."""

INTERPRETED_CELLS = 500_000
"""Up to this many values a statement is interpreted: compiling it would cost more than it saves."""

SIGN = "sign"
MONTH = "'MM'"

CONFIGURATION = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.autoBroadcastJoinThreshold": "64m",
    # Java never compiles a longer method, so that one of a wide row would be interpreted for ever
    "spark.sql.codegen.hugeMethodLimit": "8000",
    # the rule would compute on the rows that travel along while it plans, interpreted and in one thread
    "spark.sql.optimizer.excludedRules": "org.apache.spark.sql.catalyst.optimizer.ConvertToLocalRelation",
}

COMPILED = {
    "spark.sql.codegen.wholeStage": "true",
    "spark.sql.codegen.factoryMode": "FALLBACK",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.leafNodeDefaultParallelism": "2",
}
INTERPRETED = {
    # in one partition nothing is exchanged
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.leafNodeDefaultParallelism": "1",
}

_CONFIGURED: WeakKeyDictionary[SparkSession, dict[str, str]] = WeakKeyDictionary()
_SPARK_TYPES = {"long": "bigint"}
_ANSWERED_BY_THE_CONTRACT = "change the SELECT or the contract, so that both name the same columns"


def select(
    spark: SparkSession, table: GoldTable, contract: Contract, up: LakeUpstream, scope: Scope | None, as_of: datetime
) -> DataFrame:
    """The table's rows (of ``scope``; all without) as a lazy Spark frame, in the contract's columns and types.

    The inputs are named subqueries of the one statement, and the few rows that travel with it are part of its plan: it
    leaves nothing behind in the session. Raises ContractError if the SELECT and the contract name different columns.
    """
    given = scope.views if scope else {}
    parcel = _Parcel(spark)
    bindings = {
        name: _bound(parcel, name, source, given.get(name), up, signed=name in table.signed)
        for name, source in table.inputs.items()
    }
    for name in table.carried:
        earlier = f"lake.{up.name}"
        rows = _narrowed(parcel, given[name], up.name, earlier) if name in given else f"{earlier} where false"
        bindings[name] = f"select * from {rows}"
    if table.unknown_member:
        bindings["with_unknown"] = "select 1 as due" if scope is None else "select 1 as due where false"
    alone = scope is not None and all(name in given for name in table.inputs) and parcel.complete
    configure(spark, INTERPRETED if alone and parcel.cells <= INTERPRETED_CELLS else COMPILED)
    arguments = {"as_of": as_of} if table.uses_as_of else None
    text = statement(table.sql, bindings)
    if scope is None:  # a refresh runs the text that a full build has run before
        _same_columns(spark.sql(text, args=arguments, **parcel.frames).columns, contract)
    cast = f"select {', '.join(casts(contract))} from (\n{text}\n)"
    return spark.sql(cast, args=arguments, **parcel.frames)


def configure(spark: SparkSession, how: Mapping[str, str]) -> None:
    """What the SQL files rely on: UTC, and errors instead of wrapped or null results; and what makes them fast."""
    known = _CONFIGURED.setdefault(spark, {})
    for key, value in {**CONFIGURATION, **how}.items():
        if known.get(key) != value:
            spark.conf.set(key, value)
            known[key] = value


def statement(sql: str, bindings: Mapping[str, str]) -> str:
    """``sql`` with its inputs bound to subqueries."""
    inputs = ",\n".join(f"{name} as ({query})" for name, query in bindings.items())
    return f"with {inputs}\nselect * from (\n{sql}\n)"


def casts(contract: Contract) -> list[str]:
    """The contract's columns in its order and types; a value that does not fit fails the query."""
    return [f"cast(`{c.name}` as {_spark_type(c)}) as `{c.name}`" for c in contract.columns]


def latest(source: str, contract: Contract) -> str:
    """The latest version per business key of a silver table, or of a slice that holds all versions of its keys."""
    newest = f"partition by {', '.join(contract.business_key)} order by {contract.version_column} desc"
    return f"select * from (select *, row_number() over ({newest}) as nth from {source}) where nth = 1"


class _Parcel:
    """The rows that travel with a statement, by the name under which it reads them in braces."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark
        self.frames: dict[str, DataFrame] = {}
        self.cells = 0
        self.complete = True
        """Whether the statement reads no table for them."""

    def put(self, rows: pl.DataFrame) -> str:
        """Add rows; returns them as a FROM item."""
        name = f"rows_{len(self.frames)}"
        self.cells += rows.height * rows.width
        self.frames[name] = self._spark.createDataFrame(_plain(rows.to_arrow()))
        return f"{{{name}}}"


def _bound(
    parcel: _Parcel, name: str, table: str, given: Slice | pl.DataFrame | None, up: LakeUpstream, *, signed: bool
) -> str:
    pin = up.pin(table)
    source = f"lake.{table}" if pin is None else f"lake.{table} version as of {pin}"
    if given is not None:
        source = _narrowed(parcel, given, table, source)
    elif signed:
        return f"select *, 1 as {SIGN} from {source}"
    return latest(source, get_contract(table)) if name.startswith("latest_") else f"select * from {source}"


def _narrowed(parcel: _Parcel, given: Slice | pl.DataFrame, table: str, source: str) -> str:
    """The rows themselves where they are few, otherwise the source joined with its keys; as a FROM item."""
    if isinstance(given, pl.DataFrame):
        return parcel.put(given) if given.height else _none(given.columns, table)
    if given.keys.is_empty():
        return _none(given.columns, table)
    if len(given.keys) <= SHIPPED_CELLS and given.frame.height * given.frame.width <= SHIPPED_CELLS:
        return parcel.put(given.frame) if given.frame.height else _none(given.columns, table)
    parcel.complete = False
    keys = parcel.put(given.keys.alias("key").to_frame())
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


def _none(columns: Iterable[str], table: str) -> str:
    """No rows, in the types of the table: Spark cannot tell them from an empty table that travels along."""
    types = {c.name: _spark_type(c) for c in get_contract(table).columns} | {SIGN: "int"}
    return f"(select {', '.join(f'cast(null as {types[name]}) as {name}' for name in columns)} where false)"


def _spark_type(column: Column) -> str:
    return _SPARK_TYPES.get(column.type, column.type)


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
