"""Messages for the stream benchmark: web events of about 380 bytes with random ids, some repeated, some broken."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from c360.settings import Settings

TOPIC = "raw-events"
REPEATED_EVERY, BROKEN_EVERY = 100, 500
SPAN_MS = 6 * 3600 * 1000
"""The messages arrive over six hours, so that 5-minute windows open and close while they are read."""

_TEMPLATE = (
    '{"event_id":"%s","event_timestamp":"%s","source_system":"web-shop","schema_version":1,"metadata":'
    '{"correlation_id":"W%010d","producer":"bench/1"},"event_type":"%s","payload":{"user_id":"C%07d",'
    '"session_id":"W%010d","product_id":"P%06d","device":"mobile","properties":{"page":"/shoes/%d","price":%d.95}}}'
)
_TYPES = ("page_view", "product_view", "add_to_cart", "search", "checkout")


@dataclass(frozen=True)
class Sent:
    """What went in: messages, distinct valid ids, repetitions, broken ones and bytes."""

    messages: int
    distinct: int
    repeated: int
    broken: int
    size: int


def publish(settings: Settings, count: int, start_ms: int | None = None) -> Sent:
    """Publish about ``count`` messages as fast as one process can, past the SDK: what is measured is the reader."""
    from confluent_kafka import Producer

    producer = Producer({
        "bootstrap.servers": settings.kafka_servers,
        "linger.ms": 50,
        "batch.size": 1_000_000,
        "compression.type": "lz4",
        "queue.buffering.max.messages": 2_000_000,
        "queue.buffering.max.kbytes": 1_000_000,
    })  # fmt: skip
    start = start_ms if start_ms is not None else int(time.time() * 1000) - SPAN_MS
    repeated = broken = size = sent = 0
    for index in range(count):
        arrived = start + SPAN_MS * index // count
        if index % 1000 == 0:
            ids = os.urandom(16_000).hex()
        raw = ids[32 * (index % 1000) : 32 * (index % 1000) + 32]
        event_id = f"{raw[:8]}-{raw[8:12]}-{raw[12:16]}-{raw[16:20]}-{raw[20:]}"
        key, value = message(index, event_id, arrived - 1500)
        if index % BROKEN_EVERY == 17:
            value, broken = value[:-20], broken + 1
        times = 2 if index % REPEATED_EVERY == 3 and index % BROKEN_EVERY != 17 else 1
        repeated += times - 1
        for _ in range(times):
            size += len(value)
            sent += 1
            while True:
                try:
                    producer.produce(TOPIC, value, key, timestamp=arrived)
                    break
                except BufferError:
                    producer.poll(0.1)
        if index % 10_000 == 0:
            producer.poll(0)
    if producer.flush(120):
        raise SystemExit("Kafka did not take all messages")
    return Sent(sent, count - broken, repeated, broken, size)


def message(index: int, event_id: str, happened_ms: int) -> tuple[str, str]:
    """Key and value of a valid message."""
    seconds, millis = divmod(happened_ms, 1000)
    moment = f"{_utc(seconds)}.{millis:03}Z"
    customer, number = index * 7919 % 1_000_000, index // 8
    value = _TEMPLATE % (
        event_id, moment, number, _TYPES[index % 5], customer, number, index % 90_000, index % 500, index % 90,
    )  # fmt: skip
    return f"C{customer:07}", value


_seen: dict[int, str] = {}


def _utc(seconds: int) -> str:
    found = _seen.get(seconds)
    if found is None:
        _seen.clear()
        found = _seen[seconds] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return found
