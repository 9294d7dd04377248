"""The job ``events`` written by hand: confluent-kafka, msgspec and PyIceberg in one process, without any recovery.

    python -m tests.bench.streams_in_python '{"home": …, "kafka_port": …}' 200000

Started by ``bench_streams --peers``. Seen ids are a set in memory; what is read is appended every so many messages. It
prints ``ready``, starts at a line on its input, and stays until its input ends.
"""

from __future__ import annotations

import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import pyarrow as pa

from c360.lakehouse import Lakehouse
from c360.settings import Settings
from tests.bench.stream_messages import TOPIC
from tests.bench.stream_watch import BRONZE, JOB, SILVER, fresh_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from confluent_kafka import Message

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class _Metadata(msgspec.Struct):
    correlation_id: str
    causation_id: str | None = None
    producer: str | None = None


class _Payload(msgspec.Struct):
    user_id: str | None = None
    session_id: str | None = None
    product_id: str | None = None
    order_id: str | None = None
    device: Literal["desktop", "mobile", "tablet"] | None = None
    ip_address: str | None = None
    email: str | None = None
    properties: msgspec.Raw = msgspec.Raw()


class _Event(msgspec.Struct):
    event_id: str
    event_timestamp: datetime
    source_system: str
    schema_version: int
    metadata: _Metadata
    event_type: Literal[
        "session_start", "page_view", "product_view", "search", "add_to_cart", "remove_from_cart", "checkout",
        "purchase", "support_ticket",
    ]  # fmt: skip
    payload: _Payload


def main() -> None:
    settings, batch = Settings.model_validate_json(sys.argv[1]), int(sys.argv[2])
    with Lakehouse(settings) as lake:
        fresh_tables(lake)
        print("ready", flush=True)
        sys.stdin.readline()
        _read(lake, settings, batch)
        sys.stdin.read()


def _read(lake: Lakehouse, settings: Settings, batch: int) -> None:
    decode = msgspec.json.Decoder(_Event).decode
    seen: set[str] = set()
    counts: Counter[tuple[int, str]] = Counter()
    bronze: list[tuple[Any, ...]] = []
    silver: list[tuple[Any, ...]] = []
    refused: list[tuple[Any, ...]] = []
    window = JOB.window_seconds * 1000

    def write() -> None:
        for name, rows in ((BRONZE, bronze), (SILVER, silver), ("silver.dead_letters", refused)):
            _append(lake, name, rows)

    for message in _messages(settings):
        value, position = message.value(), (message.partition(), message.offset(), message.timestamp()[1])
        bronze.append((*position, message.key(), value))
        try:
            event = decode(value or b"")
        except msgspec.MsgspecError:
            refused.append((TOPIC, *position, message.key(), value, "malformed", None, None, JOB.topic.version))
        else:
            if event.event_id not in seen:
                seen.add(event.event_id)
                moment = int((event.event_timestamp - EPOCH) / timedelta(milliseconds=1))
                about, act = event.metadata, event.payload
                silver.append((
                    event.event_id, moment, event.source_system, event.schema_version, about.correlation_id,
                    about.causation_id, about.producer, event.event_type, act.user_id, act.session_id, act.product_id,
                    act.order_id, act.device, act.ip_address, act.email, bytes(act.properties).decode() or None,
                    *position,
                ))  # fmt: skip
                counts[moment // window, event.event_type] += 1
        if len(bronze) >= batch:
            write()
    write()
    _append(lake, "gold.event_metrics", [
        (start * window, (start + 1) * window, TOPIC, kind, "events", count, 0, None, None)
        for (start, kind), count in counts.items()
    ])  # fmt: skip


def _append(lake: Lakehouse, name: str, rows: list[tuple[Any, ...]]) -> None:
    """Append the rows, their moments in milliseconds, and empty the list."""
    if not rows:
        return
    schema = lake.empty(name).schema
    columns = []
    for field, values in zip(schema, zip(*rows, strict=True), strict=True):
        moment = pa.types.is_timestamp(field.type)
        column = pa.array(values, pa.timestamp("ms", "UTC") if moment else field.type)
        columns.append(column.cast(field.type))
    lake.table(name).append(pa.table(columns, schema=schema))
    rows.clear()


def _messages(settings: Settings) -> Iterator[Message]:
    """All messages that the topic holds."""
    from confluent_kafka import Consumer, KafkaError, TopicPartition

    consumer = Consumer({
        "bootstrap.servers": settings.kafka_servers,
        "group.id": "peer",
        "enable.partition.eof": True,
        "queued.max.messages.kbytes": 131_072,
        "fetch.message.max.bytes": 4 << 20,
        "check.crcs": False,
    })  # fmt: skip
    partitions = consumer.list_topics(TOPIC).topics[TOPIC].partitions
    consumer.assign([TopicPartition(TOPIC, partition, 0) for partition in partitions])
    open_ones = len(partitions)
    while open_ones:
        for message in consumer.consume(10_000, 1.0):
            error = message.error()
            if error is None:
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:
                open_ones -= 1
            else:
                raise SystemExit(str(error))
    consumer.close()


if __name__ == "__main__":
    main()
