"""The events of the company as Python values; :mod:`c360.events.schema` holds them to the topics' contracts.

Constructing an event checks nothing: publishing does, on the bytes that go out, so that nothing is checked twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from decimal import Decimal
from typing import Literal

from msgspec import Struct, field

_correlation: ContextVar[str | None] = ContextVar("c360_correlation_id", default=None)

Scalars = Mapping[str, str | int | float | bool]
"""Texts, numbers and flags by name."""


def new_event_id() -> str:
    """A new UUID in the form the contracts ask for."""
    return str(uuid.uuid4())


def correlation_id() -> str:
    """The correlation id of the current context, or a new one outside of :func:`correlated`."""
    return _correlation.get() or new_event_id()


@contextmanager
def correlated(identifier: str | None = None) -> Iterator[str]:
    """Give all events made within the block one correlation id (a new one without ``identifier``)."""
    chosen = identifier or new_event_id()
    token = _correlation.set(chosen)
    try:
        yield chosen
    finally:
        _correlation.reset(token)


class Metadata(Struct, kw_only=True, omit_defaults=True):
    """What an event belongs to, apart from its content."""

    correlation_id: str = field(default_factory=correlation_id)
    causation_id: str | None = None
    producer: str | None = None


class Event(Struct, kw_only=True, omit_defaults=True):
    """The envelope that all events share.

    ``event_timestamp`` is an aware datetime in UTC. To publish an event again, keep its ``event_id``: readers count
    an id once.
    """

    event_timestamp: datetime
    source_system: str
    event_id: str = field(default_factory=new_event_id)
    metadata: Metadata = field(default_factory=Metadata)


class UserAction(Struct, kw_only=True, omit_defaults=True):
    """What a visitor did; ``ip_address`` and ``email`` are encrypted on the wire."""

    user_id: str | None = None
    session_id: str | None = None
    product_id: str | None = None
    order_id: str | None = None
    device: Literal["desktop", "mobile", "tablet"] | None = None
    ip_address: str | None = None
    email: str | None = None
    properties: Scalars | None = None


UserActionType = Literal[
    "session_start", "page_view", "product_view", "search", "add_to_cart", "remove_from_cart", "checkout", "purchase",
    "support_ticket",
]  # fmt: skip


class UserActionEvent(Event, kw_only=True):
    """An action of a visitor: topic ``raw-events``, key ``user_id`` (``session_id`` for strangers)."""

    event_type: UserActionType
    payload: UserAction
    schema_version: int = field(default_factory=lambda: 2)


class Transaction(Struct, kw_only=True, omit_defaults=True):
    """A state of a payment or refund; ``amount`` has at most two places; ``account_holder`` is encrypted."""

    transaction_id: str
    account_id: str
    order_id: str
    amount: Decimal
    currency: Literal["USD"]
    status: Literal["captured", "failed", "pending"]
    method: Literal["card", "paypal", "transfer", "wallet", "cash"] | None = None
    account_holder: str | None = None


class TransactionEvent(Event, kw_only=True):
    """A payment or refund takes a state: topic ``raw-transactions``, key ``account_id``."""

    event_type: Literal["payment", "refund"]
    payload: Transaction
    schema_version: int = field(default_factory=lambda: 1)


class SystemChange(Struct, kw_only=True, omit_defaults=True):
    """What happened to a service or host."""

    source: str
    severity: Literal["info", "warning", "error", "critical"]
    status: Literal["up", "degraded", "down"] | None = None
    duration_ms: int | None = None
    message: str | None = None
    details: Scalars | None = None


class SystemEvent(Event, kw_only=True):
    """Something happens to a service: topic ``raw-system-events``, key ``source``."""

    event_type: Literal["service_started", "service_stopped", "deployment", "health_check", "incident"]
    payload: SystemChange
    schema_version: int = field(default_factory=lambda: 1)


class Metric(Struct, kw_only=True, omit_defaults=True):
    """A measured value; not-a-number and infinities are refused."""

    metric_name: str
    kind: Literal["counter", "gauge", "histogram"]
    value: float
    unit: str | None = None
    labels: Scalars | None = None


class MetricEvent(Event, kw_only=True):
    """A measurement: topic ``raw-metrics``, key ``metric_name``."""

    payload: Metric
    event_type: Literal["metric"] = field(default_factory=lambda: "metric")
    schema_version: int = field(default_factory=lambda: 1)


class LogLine(Struct, kw_only=True, omit_defaults=True):
    """A line of a log; ``client_ip`` is encrypted on the wire."""

    application: str
    level: Literal["debug", "info", "warning", "error", "critical"]
    message: str
    logger: str | None = None
    host: str | None = None
    client_ip: str | None = None
    fields: Scalars | None = None


class LogEvent(Event, kw_only=True):
    """A log line: topic ``raw-logs``, key ``application``."""

    payload: LogLine
    event_type: Literal["log"] = field(default_factory=lambda: "log")
    schema_version: int = field(default_factory=lambda: 1)


EVENTS: Mapping[str, type[Event]] = {
    "raw-events": UserActionEvent,
    "raw-transactions": TransactionEvent,
    "raw-system-events": SystemEvent,
    "raw-metrics": MetricEvent,
    "raw-logs": LogEvent,
}
"""Topic → the class of its events."""
