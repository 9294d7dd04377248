"""The features, and rows for some of them."""

from __future__ import annotations

from typing import Any

from c360.features.tables import feature_tables

TABLES = feature_tables()


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
        "threshold": "1000.00", "orders_counted": 1, "is_active": active, "effective_at": moment(second),
        "version": version,
    }  # fmt: skip
