"""Reading from a real broker: nothing is lost, and what cannot be taken lies in the dead letters byte for byte."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from c360.events import ConsumerConfig, EventConsumer, EventProducer, KeyRing, Metadata, ProducerConfig, Received
from c360.events.config import Profile
from c360.events.errors import BrokerUnreachable
from tests.integration.events.conftest import Record, World
from tests.unit.events.examples import KEY, action

pytestmark = pytest.mark.integration

KEYS = KeyRing("k1", {"k1": KEY})
Read = Callable[[str], list[Record]]


def send_raw(world: World, topic: str, values: list[bytes | None]) -> None:
    from confluent_kafka import Producer

    raw = Producer({"bootstrap.servers": world.engines.kafka, "message.max.bytes": 2_000_000})
    for value in values:
        raw.produce(topic, value, b"some-key")
    assert raw.flush(10) == 0


def consumer(world: World, handler: Callable[[Received], None], group: str, profile: Profile) -> EventConsumer:
    once = f"c-{group}" if profile == "exactly-once" else None
    config = ConsumerConfig(world.engines.kafka, group, profile, transactional_id=once, batch=50, retry_wait=0.001)
    return EventConsumer(config, [world.topics["raw-events"]], handler, KEYS, world.schemas, world.metrics)


def publish(world: World, events: list[object]) -> None:
    config = ProducerConfig(world.engines.kafka)
    with EventProducer(config, None, KEYS, world.schemas, world.metrics) as producer:
        assert all(result.ok for result in producer.publish_batch(events))  # type: ignore[arg-type]


BROKEN: list[bytes | None] = [b"\xff\xfe\x00 not JSON", b"", None, b"[1]", b'{"event_id":"42"}', b"x" * 1_040_000]


@pytest.mark.parametrize("profile", ["reliability", "exactly-once"])
def test_what_is_refused_is_kept_byte_for_byte_with_its_reason_and_origin(
    world: World, read_all: Read, profile: Profile
) -> None:
    topic, seen = world.topics["raw-events"], list[Received]()
    events = [action(user_id=f"C{i}", email=f"c{i}@example.com") for i in range(120)]
    publish(world, list(events))
    send_raw(world, topic, BROKEN)
    origin = {(r.partition, r.offset): r.value for r in read_all(topic)}
    group = uuid.uuid4().hex
    with consumer(world, seen.append, group, profile) as reader:
        tally = reader.run(idle=1.5)
    assert (tally.read, tally.handled, dict(tally.dead)) == (126, 120, {"InvalidEvent": 6})
    assert {r.event.event_id: r.event.payload.email for r in seen} == {
        e.event_id: f"c{i}@example.com" for i, e in enumerate(events)
    }
    dead = read_all(world.dlq)
    # What a header says about the origin is looked up there.
    assert all(origin[int(d.headers["source_partition"]), int(d.headers["source_offset"])] == d.value for d in dead)
    assert sorted((d.value or b"") for d in dead) == sorted((v or b"") for v in BROKEN)
    assert sum(d.value is None for d in dead) == 1
    assert {d.key for d in dead} == {b"some-key"}
    assert {(d.headers["source_topic"], d.headers["error_class"], d.headers["contract_version"]) for d in dead} == {
        (topic, "InvalidEvent", "1.1.0")
    }
    assert all("breaks the contract" in d.headers["error_message"] for d in dead)
    with consumer(world, seen.append, group, profile) as reader:
        assert reader.run(idle=1.5).read == 0, "what was handled or dead-lettered is not read again"


def test_a_handler_that_fails_is_tried_again_and_then_the_event_is_a_dead_letter(world: World, read_all: Read) -> None:
    tries: dict[str, int] = {}
    events = [action(user_id=name) for name in ("fine", "shaky", "hopeless")]
    publish(world, list(events))

    def handler(received: Received) -> None:
        user = received.event.payload.user_id
        tries[user] = tries.get(user, 0) + 1
        if user == "hopeless" or (user == "shaky" and tries[user] < 3):
            raise ValueError("no luck")

    with consumer(world, handler, uuid.uuid4().hex, "reliability") as reader:
        tally = reader.run(idle=1.5)
    assert tries == {"fine": 1, "shaky": 3, "hopeless": 3}
    assert (tally.handled, dict(tally.dead)) == (2, {"HandlerFailed": 1})
    (letter,) = read_all(world.dlq)
    assert "ValueError: no luck" in letter.headers["error_message"]
    assert events[2].event_id.encode() in (letter.value or b"")


def test_a_reader_that_dies_in_a_batch_leaves_it_to_the_next(world: World) -> None:
    publish(world, [action(user_id=f"C{i}") for i in range(100)])
    group, seen = uuid.uuid4().hex, list[str]()

    def dies(received: Received) -> None:
        seen.append(received.event.event_id)
        if len(seen) == 60:
            raise KeyboardInterrupt

    with consumer(world, dies, group, "reliability") as reader, pytest.raises(KeyboardInterrupt):
        reader.run(idle=1.5)
    with consumer(world, lambda r: seen.append(r.event.event_id), group, "reliability") as reader:
        reader.run(idle=1.5)
    assert len(set(seen)) == 100


def test_without_a_place_for_dead_letters_nothing_is_committed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    send_raw(world, world.topics["raw-events"], [b"broken"])
    group = uuid.uuid4().hex
    with monkeypatch.context() as patch:
        patch.setattr("c360.events.dead_letters.DLQ", "events.nowhere")
        patch.setattr("c360.events.dead_letters.TIMEOUT", 2.0)
        with consumer(world, lambda _: None, group, "reliability") as reader, pytest.raises(BrokerUnreachable):
            reader.run(idle=3)
    with consumer(world, lambda _: None, group, "reliability") as reader:
        assert dict(reader.run(idle=1.5).dead) == {"InvalidEvent": 1}


def test_events_made_by_a_handler_carry_the_correlation_id(world: World) -> None:
    made = list[str]()
    publish(world, [action()])
    with consumer(
        world, lambda r: made.append(f"{Metadata().correlation_id == r.event.metadata.correlation_id}"),
        uuid.uuid4().hex, "latency",
    ) as reader:  # fmt: skip
        reader.run(idle=1.5)
    assert made == ["True"]
