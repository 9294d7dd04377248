"""How long after it was published an event can be read in silver: the job ``events`` under a steady flow.

    python -m tests.bench.bench_stream_latency --rate 10000 --seconds 120 --interval 1 10 60
    python -m tests.bench.bench_stream_latency --rate 1000 --commits 500

Published is the message's own timestamp, readable the timestamp of the snapshot that brought it; a reader that asks
again and again says how much later it saw that snapshot. With ``--commits`` the job commits every second until there
are so many, while upkeep runs over all its tables again and again, and the first commits are compared with the last.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from c360.contracts.topic import load_topics
from c360.engines.flink_sql import sql_session
from c360.engines.stack import Stack
from c360.events import KafkaAdminManager
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from c360.streams.flink import FlinkClient
from c360.streams.sql import statements
from tests.bench.stream_messages import TOPIC, message
from tests.bench.stream_watch import JOB, SILVER, fresh_tables
from tests.conftest import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

WARM_S = 15.0
ENDS = 20
TICK_S = 0.01


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=10_000, help="messages a second")
    parser.add_argument("--seconds", type=float, default=120.0, help="length of the flow, at least three intervals")
    parser.add_argument("--interval", type=float, nargs="*", default=[1.0, 10.0, 60.0], help="seconds between commits")
    parser.add_argument("--commits", type=int, default=0, help="instead: so many commits, one a second, with upkeep")
    options = parser.parse_args()
    ports = free_ports()
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as folder:
        settings = Settings.model_validate({"home": folder, "flink_slots": 2, "flink_memory_mb": 3072, **ports})
        engines = ("kafka", "flink", "spark") if options.commits else ("kafka", "flink")
        with Stack(settings).running(*engines), Lakehouse(settings) as lake:
            admin = KafkaAdminManager(settings.kafka_servers)
            admin.apply(admin.plan(load_topics().values()))
            if options.commits:
                print(json.dumps({"drift": drift(settings, lake, options.rate, options.commits)}), flush=True)
                return
            for interval in options.interval:
                seconds = max(options.seconds, 3 * interval)
                found = latency(settings, lake, options.rate, seconds, interval)
                print(json.dumps({"interval_s": interval, **found}), flush=True)


def latency(settings: Settings, lake: Lakehouse, rate: int, seconds: float, interval: float) -> dict[str, Any]:
    """Milliseconds from publication to readability in silver of what was published after the job had warmed up."""
    with running(settings, lake, interval), reading(lake) as seen:
        flow(settings, rate, WARM_S, threading.Event())
        begin = int(time.time() * 1000)
        flow(settings, rate, seconds, threading.Event())
        end = int(time.time() * 1000)
        deadline = time.monotonic() + 3 * interval + 60
        while (commits := _commits(lake.table(SILVER)))[-1].timestamp_ms < end + interval * 1000:
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
    table = lake.table(SILVER)
    published, waited = _waits(table, commits)
    waited = waited[published >= begin]
    p50, p99, worst = (round(each) for each in np.percentile(waited, (50, 99, 100)))
    after = [seen[each.snapshot_id] - each.timestamp_ms for each in commits if each.snapshot_id in seen]
    return {
        "events": len(waited),
        "p50_ms": p50,
        "p99_ms": p99,
        "max_ms": worst,
        "commits": len(commits),
        "reader_saw_it_after_ms": {"median": round(median(after)), "max": round(max(after))},
    }


def drift(settings: Settings, lake: Lakehouse, rate: int, wanted: int) -> dict[str, Any]:
    """The first and last commits of many, by the wait of their events and the time since the commit before."""
    over = threading.Event()
    rounds: list[float] = []
    with running(settings, lake, 1.0):
        flow(settings, rate, WARM_S, over)
        skipped = len(_commits(lake.table(SILVER)))
        threads = [
            threading.Thread(target=flow, args=(settings, rate, 1e6, over)),
            threading.Thread(target=_upkeep, args=(settings, over, rounds)),
        ]
        for thread in threads:
            thread.start()
        try:
            while len(_commits(lake.table(SILVER))) < skipped + wanted:
                time.sleep(1)
        finally:
            over.set()
            for thread in threads:
                thread.join()
    table = lake.table(SILVER)
    commits = _commits(table)[skipped : skipped + wanted]
    ends = {}
    for name, part in (("first", commits[:ENDS]), ("last", commits[-ENDS:])):
        p50, p99 = (round(each) for each in np.percentile(_waits(table, part)[1], (50, 99)))
        apart = (part[-1].timestamp_ms - part[0].timestamp_ms) / (len(part) - 1)
        ends[name] = {"p50_ms": p50, "p99_ms": p99, "ms_between_commits": round(apart)}
    ratio = round(ends["last"]["p50_ms"] / ends["first"]["p50_ms"], 2)
    return {"commits": len(commits), **ends, "ratio": ratio, "rounds_of_upkeep": len(rounds), "upkeep_s": rounds}


@contextmanager
def running(settings: Settings, lake: Lakehouse, interval: float) -> Iterator[None]:
    """The job over empty tables, its tasks running."""
    fresh_tables(lake)
    job, flink = replace(JOB, parallelism=2, checkpoint_seconds=interval), FlinkClient(settings)
    with sql_session(settings) as sql:
        for statement in statements(job, settings):
            started = sql.execute(statement)
    assert started.job_id
    while not all(each.state == "RUNNING" and each.settled for each in flink.jobs() if each.id == started.job_id):
        time.sleep(0.1)
    try:
        yield
    finally:
        flink.cancel(started.job_id)


@contextmanager
def reading(lake: Lakehouse) -> Iterator[dict[int, float]]:
    """A reader that asks for silver's snapshot all the time; by snapshot, when it saw it first (ms since 1970)."""
    seen: dict[int, float] = {}
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.02):
            snapshot = lake.snapshot(SILVER)
            if snapshot is not None:
                seen.setdefault(snapshot, time.time() * 1000)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def flow(settings: Settings, rate: int, seconds: float, over: threading.Event) -> None:
    """Publish evenly, each message with the moment at which it is handed over."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": settings.kafka_servers, "linger.ms": 5, "compression.type": "lz4"})
    start, sent = time.time(), 0
    while (gone := time.time() - start) < seconds and not over.is_set():
        for _ in range(int(gone * rate) - sent):
            now = int(time.time() * 1000)
            key, value = message(sent, str(uuid.uuid4()), now - 1500)
            producer.produce(TOPIC, value, key, timestamp=now)
            sent += 1
        producer.poll(0)
        time.sleep(TICK_S)
    if producer.flush(60):
        raise SystemExit("Kafka did not take all messages")


def _upkeep(settings: Settings, over: threading.Event, rounds: list[float]) -> None:
    from c360.engines.spark import session
    from c360.lakehouse.maintenance import maintain

    with Lakehouse(settings) as lake, session(settings) as spark:
        while not over.wait(30):
            start = time.monotonic()
            for table in JOB.outputs:
                maintain(lake, spark, table)
            rounds.append(round(time.monotonic() - start, 1))


def _commits(table: Table) -> list[Snapshot]:
    """The snapshots that Flink added rows with, oldest first."""
    found = [s for s in table.snapshots() if s.summary and "flink.job-id" in s.summary.additional_properties]
    return sorted((s for s in found if s.summary and s.summary["added-records"]), key=lambda s: s.timestamp_ms)


def _waits(table: Table, commits: list[Snapshot]) -> tuple[Any, Any]:
    """Arrays by event: when it was published, and how long until its commit, both in milliseconds."""
    published = []
    waited = []
    for commit in commits:
        for manifest in commit.manifests(table.io):
            if manifest.added_snapshot_id != commit.snapshot_id:
                continue
            for entry in manifest.fetch_manifest_entry(table.io):
                if entry.snapshot_id == commit.snapshot_id:
                    with table.io.new_input(entry.data_file.file_path).open() as stream:
                        column = pq.read_table(pa.BufferReader(stream.read()), columns=["kafka_timestamp"]).column(0)
                    moments = column.to_numpy().astype("datetime64[ms]").astype(np.int64)
                    published.append(moments)
                    waited.append(commit.timestamp_ms - moments)
    return np.concatenate(published), np.concatenate(waited)


if __name__ == "__main__":
    main()
