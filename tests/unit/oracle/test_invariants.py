"""The invariants hold for the oracle's own gold, with and without data, and break when a figure is touched."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from tests.oracle.invariants import assert_consistent
from tests.unit.oracle.test_customer_360 import CONSENTS, EVENTS, SHIPMENTS, TRANSACTIONS
from tests.unit.oracle.world import AS_OF, SALES, gold

COMPANY: dict[str, list[dict[str, Any]]] = {
    **SALES,
    "consents": CONSENTS,
    "transactions": TRANSACTIONS,
    "shipments": SHIPMENTS,
    "events": EVENTS,
}


@pytest.fixture(scope="module")
def tables() -> dict[str, pa.Table]:
    return gold(**COMPANY)


def test_hold(tables: dict[str, pa.Table]) -> None:
    assert_consistent(tables, AS_OF)


def test_hold_for_nothing() -> None:
    assert_consistent(gold(), AS_OF)


@pytest.mark.parametrize(
    ("name", "column", "value", "message"),
    [
        ("sales_daily", "revenue_amount", 1, "sales_daily adds up"),
        ("sales_daily", "order_items", 9, "sales_daily adds up"),
        ("product_performance", "units_sold", 9, "product_performance adds up"),
        ("delivery_performance", "on_time", 9, "delivery_performance adds up"),
        ("customer_value", "revenue_amount", 5, "a customer's value is the sum"),
        ("customer_360", "recency_days", 5, "customer_360 repeats"),
        ("customer_360", "customer_id", "C7", "every current customer once"),
        ("customer_360", "segment_orders", 0, "every order with items was placed"),
        ("fact_sales", "net_amount", 5, "gross = net"),
        ("fact_sales", "customer_sk", 5, "fact_sales.customer_sk has its member"),
        ("fact_logistics", "ship_date_sk", 19000101, "fact_logistics.ship_date_sk has its member"),
        ("dim_customer", "valid_from", AS_OF, "versions of dim_customer join up"),
        ("dim_product", "version_number", 7, "versions of dim_product join up"),
    ],
)
def test_break(tables: dict[str, pa.Table], name: str, column: str, value: Any, message: str) -> None:
    table = tables[name]
    position = table.column_names.index(column)
    values = table.column(column).to_pylist()
    row = next(i for i, v in enumerate(values) if v not in (None, -1, "unknown"))
    values[row] = value
    spoiled = table.set_column(position, table.schema.field(column), pa.array(values, table.schema.field(column).type))
    with pytest.raises(AssertionError, match=message):
        assert_consistent({**tables, name: spoiled}, AS_OF)
