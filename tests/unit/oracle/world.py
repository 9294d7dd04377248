"""A company small enough to reckon by hand: its silver tables, and the gold that the oracle makes of them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from tests.oracle.gold import gold_from
from tests.oracle.silver import SCHEMAS

AS_OF = datetime(2024, 4, 1, tzinfo=UTC)


def at(text: str) -> datetime:
    """A moment in UTC from its ISO text."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def usd(amount: str | int) -> Decimal:
    """An exact number."""
    return Decimal(amount)


def silver(**rows: list[dict[str, Any]]) -> dict[str, pa.Table]:
    """Silver tables from rows that name only the columns they care about; ISO texts stand for moments, dates, money."""
    assert set(rows) <= set(SCHEMAS), "rows of no silver entity"
    return {
        entity: pa.Table.from_pylist(
            [{n: _typed(schema.field(n).type, v) for n, v in row.items()} for row in rows.get(entity, [])], schema
        )
        for entity, schema in SCHEMAS.items()
    }


def _typed(kind: pa.DataType, value: Any) -> Any:
    if value is None or not isinstance(value, str):
        return value
    if pa.types.is_timestamp(kind):
        return at(value)
    if pa.types.is_date(kind):
        return date.fromisoformat(value)
    return Decimal(value) if pa.types.is_decimal(kind) else value


def gold(**rows: list[dict[str, Any]]) -> dict[str, pa.Table]:
    """The oracle's gold of those rows, as of 1 April 2024."""
    return gold_at(AS_OF, **rows)


def gold_at(as_of: datetime, **rows: list[dict[str, Any]]) -> dict[str, pa.Table]:
    """The oracle's gold of those rows as of another moment."""
    return gold_from(silver(**rows), as_of)


def by(table: pa.Table, *keys: str) -> dict[Any, dict[str, Any]]:
    """Rows by key (a tuple where there are several)."""
    found = {}
    for row in table.to_pylist():
        found[row[keys[0]] if len(keys) == 1 else tuple(row[k] for k in keys)] = row
    assert len(found) == table.num_rows
    return found


def part(row: dict[str, Any], *columns: str) -> tuple[Any, ...]:
    """Some columns of a row."""
    return tuple(row[c] for c in columns)


CUSTOMERS: list[dict[str, Any]] = [
    {"customer_id": "C1", "first_name": "Ana", "last_name": "Gil", "loyalty_tier": "silver", "location_id": "L1",
     "registered_at": "2024-01-01", "updated_at": "2024-01-01"},
    # only the version column differs: no new version
    {"customer_id": "C1", "first_name": "Ana", "last_name": "Gil", "loyalty_tier": "silver", "location_id": "L1",
     "registered_at": "2024-01-01", "updated_at": "2024-02-01"},
    {"customer_id": "C1", "first_name": "Ana", "last_name": "Gil", "loyalty_tier": "gold", "location_id": "L2",
     "registered_at": "2024-01-01", "updated_at": "2024-03-01"},
    {"customer_id": "C2", "registered_at": "2024-01-05", "updated_at": "2024-01-05", "location_id": "L9"},
    {"customer_id": "C3", "last_name": "Ito", "registered_at": "2024-01-06", "updated_at": "2024-01-06"},
]  # fmt: skip
LOCATIONS: list[dict[str, Any]] = [
    {"location_id": "L1", "city": "Boston", "country_code": "US", "updated_at": "2024-01-01"},
    {"location_id": "L1", "city": "Salem", "country_code": "US", "updated_at": "2024-02-01"},
    {"location_id": "L2", "city": "Bonn", "country_code": "DE", "updated_at": "2024-01-01"},
]
PRODUCTS: list[dict[str, Any]] = [
    {"product_id": "P1", "product_name": "Pen", "category": "Desk", "unit_price": "10.00", "unit_cost": "4.00",
     "status": "active", "updated_at": "2024-01-01"},
    {"product_id": "P1", "product_name": "Pen", "category": "Art", "unit_price": "12.00", "unit_cost": "5.00",
     "status": "active", "updated_at": "2024-02-15"},
    {"product_id": "P2", "product_name": "Ink", "category": "Desk", "unit_price": "3.00", "status": "discontinued",
     "updated_at": "2024-01-01"},
]  # fmt: skip
ORDERS: list[dict[str, Any]] = [
    {"order_id": "O1", "customer_id": "C1", "ordered_at": "2024-02-10T10:00:00", "status": "paid", "channel": "web",
     "location_id": "L1", "currency": "USD", "updated_at": "2024-02-10T10:00:00"},
    {"order_id": "O1", "customer_id": "C1", "ordered_at": "2024-02-10T10:00:00", "status": "completed",
     "channel": "web", "location_id": "L1", "currency": "USD", "updated_at": "2024-02-14"},
    {"order_id": "O2", "customer_id": "C1", "ordered_at": "2024-03-05", "status": "cancelled", "location_id": "L2",
     "currency": "USD", "updated_at": "2024-03-05"},
    {"order_id": "O3", "customer_id": "C9", "ordered_at": "2024-03-05T23:59:59.999999", "status": "placed",
     "location_id": "L9", "currency": "USD", "updated_at": "2024-03-06"},
]  # fmt: skip
ITEMS: list[dict[str, Any]] = [
    {"order_item_id": "I1", "order_id": "O1", "line_number": 1, "product_id": "P1", "quantity": 9,
     "unit_price": "10.00", "updated_at": "2024-02-10T10:00:00"},
    {"order_item_id": "I1", "order_id": "O1", "line_number": 1, "product_id": "P1", "quantity": 3,
     "unit_price": "10.00", "discount_amount": "1.00", "returned_quantity": 1, "updated_at": "2024-02-20"},
    {"order_item_id": "I2", "order_id": "O2", "line_number": 1, "product_id": "P1", "quantity": 1,
     "unit_price": "12.00", "updated_at": "2024-03-05"},
    {"order_item_id": "I3", "order_id": "O3", "line_number": 1, "product_id": "P9", "quantity": 2,
     "unit_price": "5.00", "updated_at": "2024-03-06"},
    {"order_item_id": "I4", "order_id": "O9", "line_number": 1, "product_id": "P1", "quantity": 1,
     "unit_price": "12.00", "updated_at": "2024-03-06"},
]  # fmt: skip
SALES: dict[str, list[dict[str, Any]]] = {
    "customers": CUSTOMERS,
    "locations": LOCATIONS,
    "products": PRODUCTS,
    "orders": ORDERS,
    "order_items": ITEMS,
}
