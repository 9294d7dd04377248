"""The shop's changes as the bytes that Debezium writes, by hand, and what a stream of features made of them."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
from confluent_kafka import Producer

from c360.lakehouse import Lakehouse
from c360.streams.job import load_jobs
from c360.streams.runner import Streams
from c360.streams.sql import statements
from tests.oracle.features.cases import KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from c360.settings import Settings
    from c360.streams.job import StreamJob
    from tests.oracle.features.changes import Change, Row

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
HEARTBEATS = "__debezium-heartbeat.dbserver1"
ROW_KEYS = {"orders": "order_id", "order_items": "order_item_id", "products": "product_id", "stock": "movement_id"}

Message = tuple[str, bytes, bytes | None]


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - EPOCH) // MICROSECOND


def plain(value: Any) -> Any:
    """A value as it stands in an envelope: amounts as the base64 of their cents, moments as text in UTC."""
    if isinstance(value, Decimal):
        cents = int(value * 100)
        size = 1
        while not -(1 << 8 * size - 1) <= cents < 1 << 8 * size - 1:
            size += 1
        return base64.b64encode(cents.to_bytes(size, "big", signed=True)).decode()
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value


def messages(change: Change, lsn: int) -> list[Message]:
    """What the capture writes about a change: the envelope, and a tombstone after a deletion."""
    row = change.content or {}
    key = ROW_KEYS[change.table]
    name = json.dumps({key: row.get(key, "unknown")}).encode()
    sides = [side and {k: plain(v) for k, v in side.items()} for side in (change.before, change.after)]
    source = {"ts_ms": micros(change.at) // 1000, "ts_us": micros(change.at), "lsn": lsn, "table": change.table}
    body = {"before": sides[0], "after": sides[1], "source": source, "op": change.op, "ts_ms": source["ts_ms"]}
    topic = f"dbserver1.public.{change.table}"
    told: list[Message] = [(topic, name, json.dumps(body).encode())]
    return [*told, (topic, name, None)] if change.op == "d" else told


class ShopStream:
    """Sends changes to topics of the shop, and reads the features that streams make of them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lsn = 1 << 24
        self._producer = Producer({"bootstrap.servers": settings.kafka_servers, "linger.ms": 5})

    def tell(self, changes: Iterable[Change], partition: int = -1) -> None:
        """Send changes in this order; to one partition, or where their keys belong."""
        for change in changes:
            self._lsn += 64
            self.send(messages(change, self._lsn if change.lsn is None else change.lsn), partition)
        self.flush()

    def send(self, told: Iterable[Message], partition: int = -1) -> None:
        for topic, key, value in told:
            self._producer.produce(topic, value, key, partition)
            self._producer.poll(0)

    def flush(self) -> None:
        assert self._producer.flush(30) == 0

    def pass_time(self, moment: datetime) -> None:
        """Heartbeats as of a moment, so long that readers take partitions without messages for idle."""
        for _ in range(3):
            self.send([(HEARTBEATS, b"{}", json.dumps({"ts_ms": micros(moment) // 1000}).encode())])
            self.flush()
            time.sleep(1)

    def written(self, table: str) -> pl.DataFrame:
        """All rows of a table of features."""
        with Lakehouse(self._settings) as lake:
            return pl.DataFrame(pl.from_arrow(lake.read(f"features.{table}")))

    def valid(self, table: str, as_of: datetime) -> dict[str, Row]:
        """The row of each key that holds at a moment: of those in effect the newest, unless it is not active."""
        return valid(self.written(table).to_dicts(), KEYS[table], as_of)


def valid(rows: list[Row], key: str, as_of: datetime) -> dict[str, Row]:
    """Of rows those that hold at a moment, by key."""
    found: dict[str, Row] = {}
    for row in rows:
        newest = found.get(row[key])
        if row["effective_at"] <= as_of and (newest is None or _age(newest) < _age(row)):
            found[row[key]] = row
    return {name: row for name, row in found.items() if row.get("is_active", True)}


def _age(row: Row) -> tuple[int, datetime]:
    return row["version"], row["effective_at"]


def feature_jobs(*names: str) -> dict[str, StreamJob]:
    """Jobs of the product with a checkpoint each second, so that tables are written soon."""
    return {name: replace(load_jobs()[name], checkpoint_seconds=1.0) for name in names}


def feature_streams(
    settings: Settings, *names: str, render: Callable[[StreamJob, Settings], list[str]] = statements
) -> Streams:
    """Streams of these jobs."""
    return Streams(settings, feature_jobs(*names), render)
