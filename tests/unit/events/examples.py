"""One full event of each class, and one of each with nothing but what is required."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from c360.events import (
    Event,
    LogEvent,
    LogLine,
    Metadata,
    Metric,
    MetricEvent,
    SystemChange,
    SystemEvent,
    Transaction,
    TransactionEvent,
    UserAction,
    UserActionEvent,
)

AT = datetime(2025, 3, 14, 9, 26, 53, 120000, UTC)
KEY = b"0123456789abcdef0123456789abcdef"


def action(**payload: object) -> UserActionEvent:
    body = UserAction(**{"user_id": "C1", **payload})  # type: ignore[arg-type]
    return UserActionEvent(event_type="page_view", source_system="web-shop", event_timestamp=AT, payload=body)


def payment(amount: Decimal = Decimal("184.75"), **payload: object) -> TransactionEvent:
    body = Transaction(
        transaction_id="T1", account_id="C1", order_id="O1", amount=amount, currency="USD", status="captured", **payload  # type: ignore[arg-type]
    )  # fmt: skip
    return TransactionEvent(event_type="payment", source_system="payments", event_timestamp=AT, payload=body)


FULL: list[Event] = [
    UserActionEvent(
        event_type="purchase", source_system="mobile-app", event_timestamp=AT,
        metadata=Metadata(correlation_id="W1", causation_id="x", producer="test/1"),
        payload=UserAction(
            user_id="C1", session_id="W1", product_id="P1", order_id="O1", device="tablet", ip_address="203.0.113.7",
            email="ana@example.com", properties={"page": "/größe", "ms": 12, "ratio": 0.5, "new": True},
        ),
    ),
    payment(method="card", account_holder="Ana Silva"),
    SystemEvent(
        event_type="incident", source_system="monitor", event_timestamp=AT,
        payload=SystemChange(
            source="web-shop", severity="critical", status="down", duration_ms=1250, message="m", details={"a": 1}
        ),
    ),
    MetricEvent(
        source_system="monitor", event_timestamp=AT,
        payload=Metric(metric_name="latency", kind="gauge", value=12.5, unit="ms", labels={"route": "/"}),
    ),
    LogEvent(
        source_system="web-shop", event_timestamp=AT,
        payload=LogLine(
            application="web-shop", level="info", message="null and void", logger="l", host="h",
            client_ip="203.0.113.8", fields={"n": 1},
        ),
    ),
]  # fmt: skip

LEAN: list[Event] = [
    UserActionEvent(event_type="search", source_system="s", event_timestamp=AT, payload=UserAction()),
    payment(Decimal(0)),
    SystemEvent(
        event_type="deployment", source_system="s", event_timestamp=AT,
        payload=SystemChange(source="x", severity="info"),
    ),
    MetricEvent(
        source_system="s", event_timestamp=AT, payload=Metric(metric_name="m", kind="counter", value=-1.0)
    ),
    LogEvent(
        source_system="s", event_timestamp=AT, payload=LogLine(application="a", level="debug", message="")
    ),
]  # fmt: skip
