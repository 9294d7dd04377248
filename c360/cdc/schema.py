"""The shop's tables, made from the contracts of silver: what silver keeps of a row is what the source has of it.

Silver keeps every version of a row and the place it was read from; the shop has the newest version only. So its key is
the business key, and the columns of the place are left out. The shop also writes down what an order came to when it was
placed, which in files follows from the order's lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from c360.contracts.loader import load_contracts
from c360.contracts.vocabulary import decimal_of
from c360.errors import ContractError

if TYPE_CHECKING:
    from c360.contracts.model import Contract

NAMES = ("customers", "locations", "products", "orders", "order_items", "shipments", "stock")
SCHEMA = "public"

_TYPES = {
    "string": "text",
    "int": "integer",
    "long": "bigint",
    "double": "double precision",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamptz",
}


@dataclass(frozen=True)
class ShopColumn:
    """A column: ``type`` as contracts write it, ``sql_type`` as PostgreSQL does."""

    name: str
    type: str
    sql_type: str
    required: bool

    @property
    def scale(self) -> int | None:
        """Digits behind the point of a decimal; None for other types."""
        decimal = decimal_of(self.type)
        return None if decimal is None else decimal[1]


TOTAL = ShopColumn("total_amount", "decimal(12,2)", "numeric(12,2)", required=True)
"""Of an order: what its lines came to when it was placed, after discounts and without shipping."""


@dataclass(frozen=True)
class ShopTable:
    """A table of the database ``shop`` with its primary key; ``changed`` is the column that says when a row changed."""

    name: str
    columns: tuple[ShopColumn, ...]
    key: tuple[str, ...]
    changed: str = "updated_at"

    @property
    def names(self) -> tuple[str, ...]:
        """Column names in order."""
        return tuple(column.name for column in self.columns)

    def ddl(self) -> tuple[str, ...]:
        """Statements that make the table if it is missing; changes and deletions then carry the whole old row."""
        lines = [f'"{c.name}" {c.sql_type}{" NOT NULL" if c.required else ""}' for c in self.columns]
        lines.append(f"PRIMARY KEY ({', '.join(self.key)})")
        return (
            f"CREATE TABLE IF NOT EXISTS {SCHEMA}.{self.name} ({', '.join(lines)})",
            f"ALTER TABLE {SCHEMA}.{self.name} REPLICA IDENTITY FULL",
        )


@cache
def shop_tables() -> dict[str, ShopTable]:
    """The tables by name.

    Raises:
        ContractError: a column has a type that the database lacks.
    """
    return {name: shop_table(load_contracts()[f"silver.{name}"]) for name in NAMES}


def shop_table(contract: Contract) -> ShopTable:
    """The source table of a silver table; ContractError for a type that the database lacks."""
    own = [column for column in contract.columns if not column.name.startswith("_")]
    columns = tuple(ShopColumn(c.name, c.type, _sql_type(contract, c.name, c.type), c.required) for c in own)
    more = (TOTAL,) if contract.table == "orders" else ()
    changed = "moved_at" if contract.table == "stock" else "updated_at"
    return ShopTable(contract.table, (*columns, *more), contract.business_key or contract.primary_key, changed)


def _sql_type(contract: Contract, column: str, kind: str) -> str:
    if decimal := decimal_of(kind):
        return "numeric({},{})".format(*decimal)
    if kind not in _TYPES:
        raise ContractError(
            f"{contract.name}: the shop's database has no type for {column} ({kind})",
            f"use a decimal or one of {', '.join(_TYPES)}",
        )
    return _TYPES[kind]
