"""Publishing to a real broker, with schemas in a real registry; what arrived is read by another client."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from c360.contracts.model import Column
from c360.contracts.topic import TopicContract
from c360.events import (
    MAX_EVENT_BYTES,
    EventMetrics,
    EventProducer,
    EventSchema,
    KeyRing,
    ProducerConfig,
    RegistryClient,
)
from c360.events.config import Profile
from c360.events.errors import RegistryUnreachable, SchemaRefused
from tests.conftest import free_port
from tests.integration.events.conftest import Record, World
from tests.unit.events.examples import FULL, KEY, action, payment

pytestmark = pytest.mark.integration

KEYS = KeyRing("k1", {"k1": KEY})
Read = Callable[[str], list[Record]]


def producer(world: World, profile: Profile = "throughput", **more: object) -> EventProducer:
    config = ProducerConfig(world.engines.kafka, profile, **more)  # type: ignore[arg-type]
    return EventProducer(config, RegistryClient(world.engines.registry), KEYS, world.schemas, world.metrics)


@pytest.mark.parametrize("profile", ["reliability", "throughput", "latency"])
def test_every_acknowledged_event_is_there_once_where_its_result_says(
    world: World, read_all: Read, profile: Profile
) -> None:
    events = [action(user_id=f"C{i % 97}", properties={"n": i}) for i in range(6000)]
    with producer(world, profile) as publish:
        results = publish.publish_batch(events[:5000])
        results += [publish.publish_event(event) for event in events[5000:5050]]
        results += publish.publish_batch(events[5050:])
    assert all(result.ok for result in results)
    records = read_all(world.topics["raw-events"])
    ids = {(r.partition, r.offset): json.loads(r.value or b"")["event_id"] for r in records}
    assert Counter(ids.values()) == Counter(event.event_id for event in events)
    assert [ids[r.partition or 0, r.offset or 0] for r in results] == [event.event_id for event in events]
    by_key: dict[bytes | None, set[int]] = {}
    for record in records:
        by_key.setdefault(record.key, set()).add(record.partition)
    assert all(len(partitions) == 1 for partitions in by_key.values())
    for user in ("C0", "C1", "C96"):
        order = [json.loads(r.value or b"")["payload"]["properties"]["n"] for r in records if r.key == user.encode()]
        assert order == sorted(order)


def test_each_type_reaches_its_topic_and_nothing_personal_is_on_the_wire(world: World, read_all: Read) -> None:
    with producer(world) as publish:
        results = publish.publish_batch(FULL)
    assert [r.topic for r in results] == [
        world.topics[n] for n in ("raw-events", "raw-transactions", "raw-system-events", "raw-metrics", "raw-logs")
    ]
    wire = b"".join((record.value or b"") for topic in set(world.topics.values()) for record in read_all(topic))
    assert wire.count(b'"enc1.k1.') == 4
    for secret in (b"ana@example.com", b"203.0.113", b"Ana Silva"):
        assert secret not in wire


def test_an_event_over_the_limit_fails_alone_and_one_at_the_limit_arrives(world: World, read_all: Read) -> None:
    frame = len(world.schemas["page_view"].ready(action(properties={"p": ""}), None).value)
    fits = action(properties={"p": "x" * (MAX_EVENT_BYTES - frame)})
    over = action(properties={"p": "x" * (MAX_EVENT_BYTES - frame + 1)})
    with producer(world, "reliability") as publish:
        results = publish.publish_batch([action(), over, fits, action()])
    assert [type(r.error).__name__ for r in results] == ["NoneType", "EventTooLarge", "NoneType", "NoneType"]
    assert max(len(r.value or b"") for r in read_all(world.topics["raw-events"])) == MAX_EVENT_BYTES


def test_without_a_broker_each_event_gets_a_named_error_in_time(world: World) -> None:
    config = ProducerConfig(f"127.0.0.1:{free_port()}", delivery_timeout=1.5)
    registry = RegistryClient(world.engines.registry)
    began = time.monotonic()
    with EventProducer(config, registry, KEYS, world.schemas, world.metrics) as publish:
        results = publish.publish_batch([action(), {"event_type": "daydream"}, payment()])
    assert [type(r.error).__name__ for r in results] == ["BrokerUnreachable", "UnknownEventType", "BrokerUnreachable"]
    assert time.monotonic() - began < 10


def test_a_topic_that_does_not_exist_is_named(world: World) -> None:
    absent = EventSchema(replace(world.schemas["metric"].contract, name="raw-absent"))
    config = ProducerConfig(
        world.engines.kafka, delivery_timeout=3, overrides={"topic.metadata.propagation.max.ms": 500}
    )
    with EventProducer(config, None, KEYS, {"metric": absent}, world.metrics) as publish:
        (result,) = publish.publish_batch([FULL[3]])
    assert type(result.error).__name__ in ("DeliveryRefused", "BrokerUnreachable")


def test_a_transaction_shows_all_of_a_batch_or_nothing(world: World, read_all: Read) -> None:
    once = f"t-{world.topics['raw-events']}"
    with producer(world, "exactly-once", transactional_id=once) as publish:
        good = publish.publish_batch([action(), payment()])
        bad = publish.publish_batch([action(), {"event_type": "daydream"}, action()])
        again = publish.publish_batch([action()])
    assert all(r.ok for r in [*good, *again])
    assert [type(r.error).__name__ for r in bad] == ["TransactionAborted", "UnknownEventType", "TransactionAborted"]
    assert len(read_all(world.topics["raw-events"])) == 2


def changed(contract: TopicContract, **changes: object) -> EventSchema:
    return EventSchema(replace(contract, **changes))  # type: ignore[arg-type]


def test_a_forbidden_change_of_a_schema_is_refused_at_publish_and_by_the_check(world: World, read_all: Read) -> None:
    metric = FULL[3]
    contract = world.schemas["metric"].contract
    registry = RegistryClient(world.engines.registry)
    with producer(world) as publish:
        assert publish.publish_event(metric).ok

    required = Column("payload.host", "string", required=True, description="x")
    for forbidden in (
        changed(contract, fields=(*contract.fields, required), version="1.1.0"),
        changed(contract, fields=tuple(f for f in contract.fields if f.name != "payload.unit"), version="1.1.0"),
        changed(
            contract,
            fields=tuple(replace(f, type="string") if f.name == "payload.value" else f for f in contract.fields),
        ),
    ):
        with pytest.raises(SchemaRefused, match="refuses version"):
            registry.check(forbidden)
        config = ProducerConfig(world.engines.kafka)
        with EventProducer(config, registry, KEYS, {"metric": forbidden}, world.metrics) as publish:
            result = publish.publish_event(metric)
        assert isinstance(result.error, SchemaRefused)
    assert len(read_all(contract.name)) == 1

    optional = changed(contract, fields=(*contract.fields, replace(required, required=False)), version="1.1.0")
    registry.check(optional)
    first, second = registry.admit(world.schemas["metric"]), registry.admit(optional)
    assert first != second
    assert registry.admit(world.schemas["metric"]) == first, "an older producer goes on beside the newer one"


def test_a_silent_registry_stops_new_topics_and_not_the_admitted_ones(world: World) -> None:
    nowhere = RegistryClient(f"http://127.0.0.1:{free_port()}/apis/ccompat/v7", timeout=1)
    config = ProducerConfig(world.engines.kafka)
    with EventProducer(config, nowhere, KEYS, world.schemas, world.metrics) as publish:
        assert [type(r.error) for r in publish.publish_batch([action(), action()])] == [RegistryUnreachable] * 2
    with producer(world) as publish:
        assert publish.publish_event(action()).ok
        publish._registry = nowhere
        assert publish.publish_event(action()).ok
        assert isinstance(publish.publish_event(payment()).error, RegistryUnreachable)


def test_delivery_and_latency_are_counted(world: World) -> None:
    metrics: EventMetrics = world.metrics
    events = [action() for _ in range(200)]
    with producer(world) as publish:
        results = publish.publish_batch([*events, msgspec.structs.replace(events[0], event_id="42")])
    topic = world.topics["raw-events"]
    assert sum(r.ok for r in results) == 200
    samples = {
        (s.name, s.labels.get("outcome"), s.labels.get("le")): s.value
        for family in [*metrics.published.collect(), *metrics.latency.collect()]
        for s in family.samples
        if s.labels.get("topic") == topic
    }
    assert samples["c360_events_published_total", "ok", None] == 200
    assert samples["c360_events_published_total", "InvalidEvent", None] == 1
    assert samples["c360_event_delivery_seconds_bucket", None, "+Inf"] == 200
    assert samples["c360_event_delivery_seconds_sum", None, None] > 0
