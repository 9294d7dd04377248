"""Four features as the specification has them, and rows for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from c360.contracts.model import Column, Contract
from c360.features.tables import FeatureTable, tables_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_COLUMNS = {
    "sales_metrics": (
        "metric_id string!", "window_start timestamp!", "window_end timestamp!", "orders long!", "cancellations long!",
        "revenue decimal(18,2)!", "average_order_value double", "unique_customers long!",
    ),
    "customer_segments": (
        "customer_id string!", "segment string!~", "orders long!", "spend decimal(18,2)!~", "last_order_at timestamp!~",
    ),
    "anomaly_alerts": (
        "alert_id string!", "customer_id string!", "order_id string!", "rule string!", "severity string!",
        "raised_at timestamp!", "amount decimal(18,2)~", "threshold decimal(18,2)", "orders_counted long",
        "is_active boolean!",
    ),
    "inventory_insights": (
        "product_id string!", "category string", "product_status string", "stock_on_hand long!", "units_sold_7d long!",
        "units_per_day double!", "days_until_stock_out double", "status string!", "dead_stock boolean!",
        "last_sold_at timestamp", "restock_quantity long!", "restock_urgency string!",
    ),
}  # fmt: skip


def _column(text: str) -> Column:
    """``name type``, with ``!`` if it is required and ``~`` if it may tell who somebody is."""
    name, kind = text.rstrip("!~").split(" ")
    return Column(name, kind, "!" in text, "Of a test.", "quasi" if "~" in text else "none")


def _contract(table: str) -> Contract:
    columns = tuple(map(_column, (*_COLUMNS[table], "effective_at timestamp!", "version long!")))
    return Contract(
        name=f"features.{table}", layer="features", table=table, version="1.0.0", domain="test", owner="test",
        description="Of a test.", columns=columns, primary_key=(columns[0].name, "effective_at", "version"),
    )  # fmt: skip


TABLES: Mapping[str, FeatureTable] = tables_of([_contract(table) for table in _COLUMNS])


def moment(second: int) -> str:
    """A moment of January 2025, as a message has it."""
    return f"2025-01-{1 + second // 86_400:02}T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}.000000Z"


def segment(number: int, version: int, second: int, /, **other: object) -> dict[str, Any]:
    """A row of customer_segments."""
    return {
        "customer_id": f"C{number:07}", "segment": "VIP" if version > 4 else "New", "orders": version,
        "spend": f"{version * 10 + number}.50", "last_order_at": moment(second), "effective_at": moment(second),
        "version": version, **other,
    }  # fmt: skip


def alert(number: int, version: int, second: int, *, active: bool = True, customer: int = 0) -> dict[str, Any]:
    """A row of anomaly_alerts."""
    return {
        "alert_id": f"O{number:07}-large_order", "customer_id": f"C{customer:07}", "order_id": f"O{number:07}",
        "rule": "large_order", "severity": "medium", "raised_at": moment(second), "amount": "1500.10",
        "threshold": "1000.00", "orders_counted": None, "is_active": active, "effective_at": moment(second),
        "version": version,
    }  # fmt: skip
