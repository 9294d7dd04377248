"""Contracts of the silver tables made of the shop's changes, derived from the shop's tables and silver's own contracts.

Each table of the shop has two: ``silver.shop_<table>_history``, its changes, and ``silver.shop_<table>``, its rows now.
They hold what the shop's database holds, so a column's type and whether it may be null are binding, and the further
rules of silver (lists of values, patterns, bounds), which that database does not know, are not.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from c360.cdc.schema import NAMES, TOTAL, shop_tables
from c360.contracts.loader import load_contracts
from c360.contracts.model import Column, Contract

if TYPE_CHECKING:
    from collections.abc import Mapping

    from c360.cdc.schema import ShopTable

BRONZE = "bronze.shop_changes"
VERSION = "1.0.0"
MORE = "more"
"""Column with what the contract does not know, as a JSON object."""

_DESCRIBED = {TOTAL.name: "What the order's lines came to when it was placed, after discounts and without shipping."}
_MORE = Column(
    MORE,
    "string",
    description="Fields of the row that the contract does not know, as a JSON object; null if there are none.",
    classification="direct",
)
_CHANGE = (
    Column(
        "op",
        "string",
        required=True,
        description="What happened: c created, u updated, d deleted, r read as it was, t all removed.",
    ),
    Column(
        "lsn",
        "long",
        required=True,
        description="Position of the change in the log of the database; orders the changes of a key.",
    ),
    Column("transaction_id", "long", required=False, description="Transaction of the database that made the change."),
    Column(
        "committed_at",
        "timestamp",
        required=True,
        description="When the change was committed; when it was read, for r.",
    ),
    Column("changed_at", "timestamp", required=False, description="The row's own moment of change."),
)
_INFERRED = Column(
    "inferred",
    "boolean",
    required=True,
    description="A deletion that nobody told: the row was missing when all rows were read anew.",
)
_PLACE = (
    Column("kafka_partition", "int", required=True, description="Partition of the message that told it."),
    Column("kafka_offset", "long", required=True, description="Offset of the message in the partition."),
    Column("kafka_timestamp", "timestamp", required=True, description="When the message reached its topic."),
)


def history_name(table: str) -> str:
    """``orders`` → ``silver.shop_orders_history``."""
    return f"silver.shop_{table}_history"


def current_name(table: str) -> str:
    """``orders`` → ``silver.shop_orders``."""
    return f"silver.shop_{table}"


@cache
def shop_contracts() -> Mapping[str, Contract]:
    """Both contracts of every table of the shop, by name; ContractError if a contract they are made of is bad."""
    tables = [shop_tables()[name] for name in NAMES]
    made = [make(table) for table in tables for make in (history_contract, current_contract)]
    return MappingProxyType({contract.name: contract for contract in made})


def history_contract(table: ShopTable) -> Contract:
    """The contract of a table's changes: one row for each (key, lsn, op).

    No column of the table is required: a deletion may tell the key only, and ``t`` not even that.
    """
    columns = tuple(replace(column, required=False) for column in _columns(table))
    return replace(
        _contract(table),
        name=history_name(table.name),
        table=f"shop_{table.name}_history",
        description=f"Every change of a row of the shop's table {table.name}, as its database committed it.",
        columns=(*columns, _MORE, *_CHANGE, _INFERRED, *_PLACE),
        primary_key=(*table.key, "lsn", "op"),
        granularity="One row per key, position in the log and kind of change.",
        upstream=(BRONZE,),
    )


def current_contract(table: ShopTable) -> Contract:
    """The contract of a table's rows as they are now."""
    return replace(
        _contract(table),
        name=current_name(table.name),
        table=f"shop_{table.name}",
        description=f"The rows of the shop's table {table.name} as they are now.",
        columns=(*_columns(table), _MORE, *_CHANGE, *_PLACE),
        primary_key=table.key,
        granularity=f"One row per row of the shop's table {table.name}.",
        upstream=(history_name(table.name),),
    )


def _contract(table: ShopTable) -> Contract:
    """What both have from silver's contract of the same table."""
    return replace(
        load_contracts()[f"silver.{table.name}"],
        version=VERSION,
        business_key=table.key,
        version_column=None,
        partitioning=(),
        freshness_hours=None,
        source=None,
        rules=(),
        # Keyed features are functions of the whole history: what is cut off would change them.
        retention_days=None,
        properties={},
        tags=(),
    )


def _columns(table: ShopTable) -> tuple[Column, ...]:
    known = {column.name: column for column in load_contracts()[f"silver.{table.name}"].columns}
    made = []
    for column in table.columns:
        own = known.get(column.name)
        made.append(
            Column(
                name=column.name,
                type=column.type,
                required=column.required,
                description=own.description if own else _DESCRIBED.get(column.name, f"{column.name} of the shop."),
                classification=own.classification if own else "none",
                examples=own.examples if own else (),
            )
        )
    return tuple(made)
