"""The oracle's gold tables of alerts and inventory, by the rules that its features follow."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from tests.oracle.features.rules import alerts, insight

if TYPE_CHECKING:
    import duckdb

_MOMENT, _MONEY = pa.timestamp("us"), pa.decimal128(18, 2)
_ALERTS: dict[str, pa.DataType] = {
    **dict.fromkeys(("alert_id", "customer_id", "order_id", "rule", "severity"), pa.string()),
    "raised_at": _MOMENT, "amount": _MONEY, "threshold": _MONEY, "orders_counted": pa.int64(),
}  # fmt: skip
_INSIGHTS: dict[str, pa.DataType] = {
    "product_id": pa.string(), "stock_on_hand": pa.int64(), "units_sold_7d": pa.int64(),
    "units_per_day": pa.decimal128(18, 4), "days_until_stock_out": _MONEY, "status": pa.string(),
    "dead_stock": pa.bool_(), "last_sold_at": _MOMENT, "restock_quantity": pa.int64(),
    "restock_urgency": pa.string(), "as_of": _MOMENT,
}  # fmt: skip


def add_features(connection: duckdb.DuckDBPyConnection, as_of: datetime) -> None:
    """Create ``anomaly_alerts`` and ``inventory_insights`` from the facts, the products and the stock there."""
    now = as_of.astimezone(UTC).replace(tzinfo=None)
    orders = connection.execute("""
        SELECT o.order_id, o.customer_id, o.ordered_at, coalesce(sum(f.net_amount), 0)::DECIMAL(18,2)
        FROM latest_orders o LEFT JOIN fact_sales f USING (order_id) GROUP BY ALL""").fetchall()
    moves = connection.execute("SELECT product_id, moved_at, quantity FROM stock").fetchall()
    lines = connection.execute(
        "SELECT product_id, ordered_at, quantity FROM fact_sales WHERE NOT is_cancelled AND ordered_at IS NOT NULL"
    ).fetchall()
    products = connection.execute("SELECT product_id FROM dim_product WHERE is_current AND product_sk <> -1").fetchall()
    stock: dict[str, int] = defaultdict(int)
    sales = defaultdict(list)
    for product, moment, quantity in moves:
        stock[product] += quantity if moment <= now else 0
    for product, moment, quantity in lines:
        if moment <= now:
            sales[product].append((moment, quantity))
    insights = [insight(product, stock[product], sales[product], now) for (product,) in products]
    for name, rows, schema in (
        ("anomaly_alerts", alerts(orders, now), _ALERTS),
        ("inventory_insights", insights, _INSIGHTS),
    ):
        connection.register("told", pa.Table.from_pylist(rows, schema=pa.schema(schema)))
        connection.execute(f"CREATE TABLE {name} AS SELECT * FROM told")
        connection.unregister("told")
