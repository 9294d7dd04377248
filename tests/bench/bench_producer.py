"""Events published a second by one process: through the SDK, each validated and answered, and by the bare client.

    python -m tests.bench.bench_producer --events 300000

``sdk`` takes events that are made already, ``made`` makes them too; both publish batches with the profile throughput.
The peer hands ready bytes to confluent-kafka with the same settings and waits until all were taken. All write to the
same topic of a broker in a temporary home; CPU seconds are those of this process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from c360.contracts.topic import load_topics
from c360.engines.stack import Stack
from c360.events import EventProducer, KafkaAdminManager, Metadata, ProducerConfig, UserAction, UserActionEvent
from c360.settings import Settings
from tests.bench.meter import Cost, Meter
from tests.bench.stream_messages import TOPIC
from tests.conftest import free_ports

if TYPE_CHECKING:
    from collections.abc import Sequence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--batch", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ports = free_ports()
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as folder:
        settings = Settings.model_validate({"home": folder, **ports})
        with Stack(settings).running("kafka"):
            admin = KafkaAdminManager(settings.kafka_servers)
            admin.apply(admin.plan(load_topics().values()))
            config = ProducerConfig(settings.kafka_servers, profile="throughput")
            with EventProducer(config) as producer:
                producer.publish_batch(events(0, 10_000))
                for _ in range(options.rounds):
                    ready = events(0, options.events)
                    with Meter() as meter:
                        for start in range(0, len(ready), options.batch):
                            _publish(producer, ready[start : start + options.batch])
                    _show("sdk", options.events, meter.cost)
                    with Meter() as meter:
                        for start in range(0, options.events, options.batch):
                            _publish(producer, events(start, options.batch))
                    _show("made", options.events, meter.cost)
                    _show("peer", options.events, bare(config, events(0, options.events)))


def events(first: int, count: int) -> list[UserActionEvent]:
    """Valid events like those of the stream benchmark."""
    now = datetime.now(UTC)
    return [
        UserActionEvent(
            event_timestamp=now + timedelta(milliseconds=i),
            source_system="web-shop",
            event_type="product_view",
            metadata=Metadata(correlation_id=f"W{i:010}", producer="bench/1"),
            payload=UserAction(
                user_id=f"C{i * 7919 % 1_000_000:07}",
                session_id=f"W{i // 8:010}",
                product_id=f"P{i % 90_000:06}",
                device="mobile",
                properties={"page": f"/shoes/{i % 500}", "price": i % 90 + 0.95},
            ),
        )
        for i in range(first, first + count)
    ]


def bare(config: ProducerConfig, made: Sequence[UserActionEvent]) -> Cost:
    """The same events as ready bytes, without validation or an answer for each."""
    from confluent_kafka import Producer

    encode = msgspec.json.Encoder().encode
    ready = [(encode(event), event.payload.user_id) for event in made]
    producer = Producer(config.to_librdkafka())
    producer.list_topics(TOPIC)
    with Meter() as meter:
        for index, (value, key) in enumerate(ready):
            while True:
                try:
                    producer.produce(TOPIC, value, key)
                    break
                except BufferError:
                    producer.poll(0.05)
            if index % 500 == 0:
                producer.poll(0)
        if producer.flush(60):
            raise SystemExit("Kafka did not take all messages")
    return meter.cost


def _publish(producer: EventProducer, batch: Sequence[UserActionEvent]) -> None:
    failed = [result for result in producer.publish_batch(batch) if not result.ok]
    if failed:
        raise SystemExit(f"{len(failed)} events failed: {failed[0].error}")


def _show(who: str, count: int, cost: Cost) -> None:
    figures = {
        "seconds": round(cost.wall, 2),
        "cpu_s": round(cost.cpu, 2),
        "events_per_s": round(count / cost.wall),
        "events_per_cpu_s": round(count / cost.cpu),
    }
    print(json.dumps({who: figures}), flush=True)


if __name__ == "__main__":
    main()
