"""The classes of events against the contracts: two descriptions of one thing, so a test holds them together."""

from __future__ import annotations

import typing
from typing import Any

import msgspec
import pytest

from c360.contracts.topic import load_topics
from c360.events import EventMetrics, Metadata, correlated
from c360.events.model import EVENTS
from tests.unit.events.examples import FULL, action


def leaves(struct: Any, prefix: str = "") -> dict[str, tuple[bool, tuple[str, ...]]]:
    """Dotted field → required, and the allowed words; the envelope's defaults are always written."""
    found: dict[str, tuple[bool, tuple[str, ...]]] = {}
    hints = typing.get_type_hints(struct)
    for field in msgspec.structs.fields(struct):
        type_ = hints[field.name]
        if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
            found |= leaves(type_, f"{prefix}{field.name}.")
            continue
        options = [type_, *typing.get_args(type_)]
        words = next((typing.get_args(o) for o in options if typing.get_origin(o) is typing.Literal), ())
        found[f"{prefix}{field.encode_name}"] = (type(None) not in options, words)
    return found


@pytest.mark.parametrize("topic", EVENTS)
def test_each_class_has_the_fields_of_its_contract(topic: str) -> None:
    contract = load_topics()[topic]
    expected = {field.name: (field.required, field.enum) for field in contract.fields}
    assert leaves(EVENTS[topic]) == expected


def test_every_topic_of_events_has_a_class() -> None:
    assert set(EVENTS) == {name for name, topic in load_topics().items() if topic.format == "json"}


@pytest.mark.parametrize("event", FULL, ids=lambda e: type(e).__name__)
def test_new_events_carry_the_newest_schema_version(event: Any) -> None:
    topic = next(name for name, kind in EVENTS.items() if isinstance(event, kind))
    assert event.schema_version == load_topics()[topic].schema_versions


def test_events_made_together_share_a_correlation_id() -> None:
    with correlated("visit-1"):
        one, two = action(), action()
        with correlated() as inner:
            assert Metadata().correlation_id == inner != "visit-1"
    assert one.metadata.correlation_id == two.metadata.correlation_id == "visit-1"
    assert one.event_id != two.event_id
    assert action().metadata.correlation_id != action().metadata.correlation_id


def test_latencies_are_what_prometheus_shows() -> None:
    from prometheus_client import CollectorRegistry, Histogram, generate_latest

    from c360.events.metrics import BUCKETS

    registry, reference = CollectorRegistry(), CollectorRegistry()
    values = [0.0, 0.001, 0.0011, 0.03, 0.5, 31.0, 30.0]
    EventMetrics(registry).latency.observe("t", values)
    oracle = Histogram("c360_event_delivery_seconds", "x", ["topic"], buckets=BUCKETS, registry=reference)
    for value in values:
        oracle.labels("t").observe(value)

    def lines(of: CollectorRegistry) -> set[tuple[str, float]]:
        samples = [sample for family in of.collect() for sample in family.samples]
        return {
            (f"{s.name}{sorted((k, v if k != 'le' else str(float(v))) for k, v in s.labels.items())}", s.value)
            for s in samples
            if s.name.startswith("c360_event_delivery_seconds_") and not s.name.endswith("_created")
        }

    assert lines(registry) == lines(reference)
    assert b'c360_event_delivery_seconds_bucket{le="+Inf",topic="t"} 7.0' in generate_latest(registry)
