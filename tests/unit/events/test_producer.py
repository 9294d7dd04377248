"""The producer without a broker: results by position, the registry's gate, the profiles."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from c360.errors import SettingsError
from c360.events import ConsumerConfig, EventMetrics, EventProducer, EventSchema, ProducerConfig, RegistryClient
from c360.events.config import PROFILES, Profile
from c360.events.errors import RegistryUnreachable, SchemaRefused
from tests.unit.events.examples import action, payment

NOWHERE = "127.0.0.1:1"


class Wire:
    """Stands in for the client: takes everything, answers at the flush, in reverse order."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, str | None, Callable[..., None]]] = []

    def produce(
        self, topic: str, value: bytes, key: str | None, on_delivery: Callable[..., None], timestamp: int
    ) -> None:
        assert timestamp == 0
        self.sent.append((topic, value, key, on_delivery))

    def poll(self, _timeout: float) -> int:
        return 0

    def flush(self, _timeout: float) -> int:
        for offset, (_, _, _, answered) in reversed(list(enumerate(self.sent))):
            answered(None, Place(offset))
        self.sent = []
        return 0


class Place:
    def __init__(self, offset: int) -> None:
        self._offset = offset

    def partition(self) -> int:
        return 1

    def offset(self) -> int:
        return self._offset

    def latency(self) -> float:
        return 0.01


class Gate:
    """Stands in for the registry."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[str] = []

    def admit(self, schema: EventSchema) -> int:
        self.asked.append(schema.topic)
        if self.error is not None:
            raise self.error
        return 1


def producer(gate: Gate | None = None, metrics: EventMetrics | None = None) -> EventProducer:
    made = EventProducer(
        ProducerConfig(NOWHERE, delivery_timeout=0.2),
        cast("RegistryClient", gate),
        metrics=metrics or EventMetrics(CollectorRegistry()),
    )
    cast("Any", made)._producer = Wire()
    return made


def test_each_event_has_its_own_result_in_its_own_place() -> None:
    registry = CollectorRegistry()
    events: list[Any] = [action(), {"event_type": "daydream", "event_id": "x"}, payment(), {"event_type": "metric"}, 7]
    results = producer(metrics=EventMetrics(registry)).publish_batch(events)
    assert [(r.topic, r.offset, type(r.error).__name__) for r in results] == [
        ("raw-events", 0, "NoneType"),
        (None, None, "UnknownEventType"),
        ("raw-transactions", 1, "NoneType"),
        ("raw-metrics", None, "InvalidEvent"),
        (None, None, "UnknownEventType"),
    ]
    assert [r.event_id for r in results] == [events[0].event_id, "x", events[2].event_id, None, None]
    assert [r.ok for r in results] == [True, False, True, False, False]
    counted = registry.get_sample_value
    assert counted("c360_events_published_total", {"topic": "raw-events", "outcome": "ok"}) == 1
    assert counted("c360_events_published_total", {"topic": "raw-metrics", "outcome": "InvalidEvent"}) == 1
    assert counted("c360_event_delivery_seconds_count", {"topic": "raw-events"}) == 1


def test_an_empty_batch_is_fine() -> None:
    assert producer().publish_batch([]) == []


def test_the_registry_is_asked_once_for_each_topic() -> None:
    gate = Gate()
    made = producer(gate)
    made.publish_batch([action(), action(), payment()])
    made.publish_event(action())
    assert gate.asked == ["raw-events", "raw-transactions"]


@pytest.mark.parametrize("error", [RegistryUnreachable("a", "b"), SchemaRefused("a", "b")])
def test_a_closed_gate_fails_each_event_by_name_and_is_not_stormed(error: Exception) -> None:
    gate = Gate(error)
    made = producer(gate)
    results = made.publish_batch([action() for _ in range(50)])
    assert [type(r.error) for r in results] == [type(error)] * 50
    assert len(traceback.extract_tb(error.__traceback__)) < 10, "one refusal for many events does not grow"
    assert gate.asked == ["raw-events"]
    for topic, (kept, _) in list(cast("Any", made)._gates.items()):
        cast("Any", made)._gates[topic] = (kept, 0.0)  # the time to wait is over
    gate.error = None
    assert made.publish_event(action()).ok
    assert made.publish_event(action()).ok
    assert gate.asked == ["raw-events", "raw-events"]


@pytest.mark.parametrize("profile", PROFILES)
def test_no_profile_gives_up_idempotence_or_acknowledgement(profile: Profile) -> None:
    once = "p1" if profile == "exactly-once" else None
    found = ProducerConfig(NOWHERE, profile, transactional_id=once).to_librdkafka()
    assert (found["enable.idempotence"], found["acks"]) == (True, "all")
    assert ConsumerConfig(NOWHERE, "g", profile, transactional_id=once).to_librdkafka()["enable.auto.commit"] is False


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: ProducerConfig(NOWHERE, "exactly-once"),
        lambda: ProducerConfig(NOWHERE, "latency", transactional_id="t"),
        lambda: ProducerConfig(NOWHERE, cast("Profile", "speed")),
        lambda: ProducerConfig(NOWHERE, overrides={"acks": 1}),
        lambda: ProducerConfig(NOWHERE, overrides={"enable.idempotence": False}),
        lambda: ProducerConfig(NOWHERE, delivery_timeout=0),
        lambda: ConsumerConfig(NOWHERE, "g", "exactly-once"),
        lambda: ConsumerConfig(NOWHERE, "g", overrides={"enable.auto.commit": True}),
        lambda: ConsumerConfig(NOWHERE, "g", batch=0),
    ],
)
def test_settings_that_contradict_the_promises_are_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(SettingsError):
        wrong()
