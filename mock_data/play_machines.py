"""What the company's services say while its customers act: log lines, measurements and events of the services."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from c360.events.model import (
    Event,
    LogEvent,
    LogLine,
    Metadata,
    Metric,
    MetricEvent,
    SystemChange,
    SystemEvent,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PRODUCER = "mock_data/1"
LOG_EVERY, METRIC_EVERY, SYSTEM_EVERY = 8, 12, 200
"""One log line for so many events of customers, and so on."""

_NAMES = uuid.UUID("0e7a3c54-9a55-5b0e-8d0b-0c36005e0360")
_SERVICES = ("shop", "payments", "search", "recommendations")
_LEVELS: tuple[Any, ...] = ("info", "debug", "info", "warning", "info", "error")
_METRICS: tuple[tuple[str, Any, str], ...] = (
    ("checkout_latency_ms", "histogram", "ms"),
    ("queue_depth", "gauge", "messages"),
    ("requests", "counter", "1"),
)
_CHANGES: tuple[tuple[Any, Any, Any], ...] = (
    ("health_check", "info", "up"),
    ("deployment", "info", "up"),
    ("incident", "error", "degraded"),
)


def with_machines(events: Iterable[Event]) -> Iterator[Event]:
    """The events, and after some of them what a service says at the same moment; the same for the same events."""
    for number, event in enumerate(events):
        yield event
        if number % LOG_EVERY == 1:
            yield _log(number, event)
        if number % METRIC_EVERY == 2:
            yield _metric(number, event)
        if number % SYSTEM_EVERY == 3:
            yield _change(number, event)


def _common(kind: str, event: Event, service: str) -> dict[str, Any]:
    return {
        "event_id": str(uuid.uuid5(_NAMES, f"{kind}|{event.event_id}")),
        "event_timestamp": event.event_timestamp,
        "source_system": service,
        "metadata": Metadata(
            correlation_id=event.metadata.correlation_id, causation_id=event.event_id, producer=PRODUCER
        ),
    }


def _log(number: int, event: Event) -> LogEvent:
    service, level = _SERVICES[number % 4], _LEVELS[number % 6]
    line = LogLine(
        application=service,
        level=level,
        message=f"request {number} answered",
        logger=f"{service}.http",
        client_ip=f"203.0.113.{number % 254 + 1}" if number % 5 == 0 else None,
        fields={"milliseconds": number % 700, "cached": number % 3 == 0},
    )
    return LogEvent(payload=line, **_common("log", event, service))


def _metric(number: int, event: Event) -> MetricEvent:
    name, kind, unit = _METRICS[number // METRIC_EVERY % 3]
    # Eighths: their sums are the same in every order and on every engine.
    measured = Metric(metric_name=name, kind=kind, value=number % 4000 / 8, unit=unit, labels={"zone": "a"})
    return MetricEvent(payload=measured, **_common("metric", event, _SERVICES[number % 4]))


def _change(number: int, event: Event) -> SystemEvent:
    service, (change, severity, status) = _SERVICES[number % 4], _CHANGES[number // SYSTEM_EVERY % 3]
    told = SystemChange(source=service, severity=severity, status=status, duration_ms=number % 5000)
    return SystemEvent(event_type=change, payload=told, **_common("system", event, service))
