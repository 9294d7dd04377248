"""Watches a reader of the shop's changes from outside: rows in its topics, CPU of its processes, its checkpoints."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import psutil
from confluent_kafka import Consumer, TopicPartition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from c360.settings import Settings
    from c360.streams.flink import Checkpoint, FlinkClient
    from c360.streams.job import StreamJob

    Windows = Mapping[str, tuple[int, int, int]]

LOOK_S, ASK_S = 0.25, 1.0
QUIET_S = 8.0
PATIENCE_S = 1200.0


@dataclass(frozen=True)
class Spent:
    """Until the last row: seconds by the clock, CPU seconds, and rows; ``checkpoints`` of each job, oldest first."""

    seconds: float
    cpu: float
    rows: int
    checkpoints: Mapping[str, list[Checkpoint]]


class Watch:
    """Begins when it is made. ``pids`` are processes that count, with all that they started; ``jobs`` have the ids."""

    def __init__(
        self,
        settings: Settings,
        outputs: Iterable[str],
        pids: Iterable[int],
        flink: FlinkClient | None = None,
        jobs: Mapping[str, str] | None = None,
    ) -> None:
        self._consumer = Consumer({"bootstrap.servers": settings.kafka_servers, "group.id": "c360-bench"})
        self._outputs, self._processes = tuple(outputs), [psutil.Process(pid) for pid in pids]
        self._flink, self._jobs = flink, jobs or {}
        self._first, self._cpu, self._began = self._rows(), self._spent(), time.perf_counter()

    def until(self, complete: Callable[[], bool]) -> Spent:
        """Wait until no row has come for a while and ``complete``; SystemExit if that takes too long."""
        rows, moved, used, asked = self._first, self._began, self._cpu, 0.0
        checkpoints: dict[str, dict[int, Checkpoint]] = {name: {} for name in self._jobs}
        try:
            while True:
                time.sleep(LOOK_S)
                now, cpu, found = time.perf_counter(), self._spent(), self._rows()
                if self._flink and now - asked > ASK_S:
                    asked = now
                    for name, job_id in self._jobs.items():
                        if seen := self._flink.checkpoint(job_id):
                            checkpoints[name][seen.id] = seen
                if found != rows:
                    rows, moved, used = found, now, cpu
                elif now - moved > QUIET_S and complete():
                    told = {name: list(each.values()) for name, each in checkpoints.items()}
                    return Spent(moved - self._began, used - self._cpu, rows - self._first, told)
                if now - self._began > PATIENCE_S:
                    raise SystemExit(f"not done after {PATIENCE_S:.0f} s: {rows - self._first} rows")
        finally:
            self._consumer.close()

    def _rows(self) -> int:
        return sum(high for _, high in ends(self._consumer, *self._outputs))

    def _spent(self) -> float:
        return sum(map(cpu_of, self._processes))


def cpu_of(root: psutil.Process) -> float:
    """CPU seconds of a process and those that it started and that still run; 0 if it has ended."""
    total = 0.0
    with suppress(psutil.NoSuchProcess):
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
    return total


def ends(consumer: Consumer, *topics: str) -> Iterator[tuple[TopicPartition, int]]:
    """Each partition of the topics and where it ends."""
    for topic in topics:
        for number in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
            place = TopicPartition(topic, number)
            yield place, int(consumer.get_watermark_offsets(place, timeout=10)[1])


def has_read(settings: Settings, job: StreamJob) -> bool:
    """Whether a checkpoint of the job has seen the end of all that was sent."""
    consumer = Consumer({"bootstrap.servers": settings.kafka_servers, "group.id": f"c360-{job.name}"})
    try:
        found = dict(ends(consumer, *job.inputs))
        committed = consumer.committed(list(found), timeout=10)
        # The last message of a transaction is followed by its mark, which a reader does not count.
        return all(max(place.offset, 0) >= found[place] - 1 for place in committed)
    finally:
        consumer.close()


def told_windows(settings: Settings, topic: str) -> dict[str, tuple[int, int, int]]:
    """Orders, cancellations and cents of each window in a topic of sales, by its beginning: what was told last."""
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka_servers, "group.id": "c360-bench", "auto.offset.reset": "earliest"}
    )
    try:
        found: dict[str, tuple[int, int, int]] = {}
        places = {place: high for place, high in ends(consumer, topic) if high}
        consumer.assign([TopicPartition(place.topic, place.partition, 0) for place in places])
        left = dict.fromkeys((place.partition for place in places), 0)
        highest = {place.partition: high for place, high in places.items()}
        while any(left[number] < highest[number] for number in left):
            for message in consumer.consume(10_000, 1.0):
                if message.error() is None:
                    left[message.partition() or 0] = (message.offset() or 0) + 1
                    row: dict[str, Any] = json.loads(message.value() or b"{}")
                    sums = int(row["orders"]), int(row["cancellations"]), int(Decimal(str(row["revenue"])) * 100)
                    # Of two tellings the one that is made of more holds.
                    found[row["metric_id"]] = max(found.get(row["metric_id"], sums), sums)
        return found
    finally:
        consumer.close()


def agree(told: Windows, wanted: Windows) -> bool:
    """Whether all wanted windows were told; SystemExit if one of those told says something else."""
    for start, sums in wanted.items():
        if start in told and told[start] != sums:
            raise SystemExit(f"the hour from {start} is {told[start]}, but {sums}")
    return wanted.keys() <= told.keys()
