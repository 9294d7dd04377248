"""A sender of measurements that knows what must become of each: good, refused, late and repeated ones, one key hot.

What it knows comes from its own messages and Kafka's acknowledgements, not from the product. The time of arrival, which
a producer may set, begins hours ago and runs faster than the clock, so that windows close within seconds.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self

from confluent_kafka import Producer

from tests.unit.engines.engine_specs import eventually

if TYPE_CHECKING:
    from tests.integration.streams.conftest import World

STREAM, TOPIC = "metrics", "raw-metrics"
BRONZE, SILVER, LATE = "bronze.raw_metrics", "silver.metric_events", "silver.late_events"
REFUSED, METRICS = "silver.dead_letters", "gold.event_metrics"
TABLES = (BRONZE, SILVER, LATE, REFUSED, METRICS)
PLACE = ("kafka_partition", "kafka_offset")
WINDOW = timedelta(minutes=5)
STEP = timedelta(seconds=0.25)
PAUSE_S = 0.06
KINDS = ("bad", "late", *("good",) * 6, "repeated", "good")
Place = tuple[int, int]


class Sender:
    """Sends in a thread while its block runs; on leaving it waits until Kafka has acknowledged everything.

    Nine of ten messages have one key. Senders come one after another: their clock only moves on.
    """

    clock: ClassVar[datetime] = datetime.now(UTC) - timedelta(hours=22)

    def __init__(self, world: World) -> None:
        self.name = f"m-{uuid.uuid4().hex[:8]}"
        self.places: dict[str, dict[Place, str]] = {kind: {} for kind in KINDS}
        self.windows: Counter[datetime] = Counter()
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._producer = Producer({
            "bootstrap.servers": world.settings.kafka_servers, "enable.idempotence": True, "linger.ms": 5,
            "message.timeout.ms": 180_000,
        })  # fmt: skip

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def sent(self) -> int:
        return sum(map(len, self.places.values()))

    def wait_more(self, count: int = 200) -> None:
        """Until so many more have been acknowledged."""
        wanted = self.sent + count
        assert eventually(lambda: self.sent >= wanted or bool(self.errors), 120)
        assert self.errors[:3] == []

    def _run(self) -> None:
        number, last = 0, b""
        while not self._stop.is_set():
            for kind in KINDS:
                Sender.clock += STEP
                number += 1
                event = self._event(kind)
                last = event if kind == "good" else last
                value = {"bad": b"{", "repeated": last}.get(kind, event)
                key = f"k{number}" if kind == "late" else "hot"
                self._producer.produce(
                    TOPIC, value, key, timestamp=int(Sender.clock.timestamp() * 1000), on_delivery=self._noted(kind)
                )
                if kind == "good":
                    minute = Sender.clock.replace(minute=Sender.clock.minute // 5 * 5, second=0, microsecond=0)
                    self.windows[minute] += 1
            self._producer.poll(0)
            self._stop.wait(PAUSE_S)
        if self._producer.flush(180):
            self.errors.append("not acknowledged")

    def _event(self, kind: str) -> bytes:
        at = Sender.clock - timedelta(hours=3) if kind == "late" else Sender.clock
        return json.dumps({
            "event_id": str(uuid.uuid4()), "event_timestamp": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "source_system": "checkout", "schema_version": 1, "metadata": {"correlation_id": "c-1"},
            "event_type": "metric", "payload": {"metric_name": self.name, "kind": "gauge", "value": 1.5},
        }).encode()  # fmt: skip

    def _noted(self, kind: str) -> Any:
        def answered(error: object, message: Any) -> None:
            if error is not None:
                self.errors.append(str(error))
            else:
                self.places[kind][message.partition(), message.offset()] = kind

        return answered

    def wanted(self) -> dict[str, set[Place]]:
        """Places by table."""
        of = {kind: set(found) for kind, found in self.places.items()}
        return {
            BRONZE: set().union(*of.values()),
            SILVER: of["good"] | of["late"],
            LATE: of["late"],
            REFUSED: of["bad"],
        }


def found(world: World, *senders: Sender) -> dict[str, list[Place]]:
    """Places by table of what these senders have sent; one that is there twice is listed twice."""
    sent = set().union(*(sender.wanted()[BRONZE] for sender in senders))
    tables = {BRONZE: world.read(BRONZE, *PLACE), SILVER: world.read(SILVER, *PLACE)}
    tables |= {table: world.of(table, TOPIC, *PLACE) for table in (LATE, REFUSED)}
    return {table: [row for row in rows.iter_rows() if row in sent] for table, rows in tables.items()}


def require_exact(world: World, *senders: Sender, seconds: float = 120.0) -> None:
    """Every message of these senders comes to be where it must be, once, and nowhere else."""
    assert [error for sender in senders for error in sender.errors[:3]] == []
    wanted: dict[str, set[Place]] = {}
    for sender in senders:
        for table, places in sender.wanted().items():
            wanted[table] = wanted.get(table, set()) | places
    deadline = time.monotonic() + seconds
    while any(len(rows) < len(wanted[table]) for table, rows in found(world, *senders).items()):
        told = {table: (len(rows), len(wanted[table])) for table, rows in found(world, *senders).items()}
        assert time.monotonic() < deadline, told
        world.tick(STREAM)
        time.sleep(1)
    rows = found(world, *senders)
    for table, places in wanted.items():
        assert len(rows[table]) == len(places), table
        assert set(rows[table]) == places, table
