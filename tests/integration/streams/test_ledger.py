"""A play with every kind of defect through the real streams, with kills in the middle, against its ledger.

The tests share one running set, in the order of the file. TEST_STREAM_EVENTS=1000000 plays at full size.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import polars as pl
import pytest
from confluent_kafka import Consumer

from c360.events import EventProducer, ProducerConfig
from c360.events.crypto import key_ring
from c360.lakehouse import Lakehouse
from c360.streams.job import METRICS
from c360.streams.parity import metrics_parity, silver_parity
from c360.streams.repair import fold, recompute_metrics
from mock_data.company import company_of
from mock_data.play import Played, play
from mock_data.play_source import source
from tests.integration.streams.expected import Expected

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import SparkSession

    from tests.integration.streams.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.faults]
EVENTS = int(os.environ.get("TEST_STREAM_EVENTS", "60000"))
STREAMS = {
    "events": "raw-events",
    "transactions": "raw-transactions",
    "metrics": "raw-metrics",
    "system-events": "raw-system-events",
    "logs": "raw-logs",
}
SILVER = {
    "events": "silver.user_action_events",
    "transactions": "silver.transaction_events",
    "metrics": "silver.metric_events",
    "system-events": "silver.system_events",
    "logs": "silver.log_events",
}
BRONZE = {name: f"bronze.{topic.replace('-', '_')}" for name, topic in STREAMS.items()}
WAIT_S = 120 + EVENTS / 5000


@pytest.fixture(scope="module")
def played(world: World) -> Played:
    """The play, and the streams that read it while TaskManager and JobManager are killed.

    A short second play follows: a window closes when a later message has been read, and the last before a kill may have
    been read before it.
    """
    made: list[Played] = []
    start = datetime.now(UTC)

    def run(folder: Path, until: datetime, span: timedelta, limit: int) -> None:
        made.append(played_into(world, folder, until, span, limit, EVENTS / 25))

    thread = threading.Thread(target=run, args=(world.ledger, start, timedelta(days=2), EVENTS))
    thread.start()
    # A stream that has waited for its first message counts its partitions as idle: the first of them to get one would
    # then carry the clock, which runs thousands of times too fast here, past the messages of the others.
    wait_until(world, partial(world.sent, EVENTS // 20, *STREAMS.values()))
    for name in STREAMS:
        world.streams.start(name)
    for at, victim in ((8, "flink-taskmanager"), (16, "flink-jobmanager")):
        wait_until(world, partial(arrived, world, EVENTS * at // 100), *STREAMS)
        world.kill(victim)
        world.tick(*STREAMS)
    thread.join()
    run(world.tail, start + timedelta(minutes=4), timedelta(minutes=4), 3000)
    wait_until(world, lambda: all(settled(world, name) for name in STREAMS), *STREAMS)
    time.sleep(12)  # whatever comes too often comes by the next checkpoint
    assert made[1].errors == {}
    return made[0]


def played_into(world: World, folder: Path, until: datetime, span: timedelta, limit: int, rate: float) -> Played:
    of = source(company_of(EVENTS / 300_000, 11, date(2025, 1, 1), 365))
    config = ProducerConfig(world.settings.kafka_servers, "throughput")
    with EventProducer(config, None, key_ring(world.settings)) as producer:
        return play(of, producer, folder, until=until, span=span, limit=limit, rate=rate, renewed=folder.name)


def arrived(world: World, count: int) -> bool:
    return sum(map(world.rows, BRONZE.values())) > count


def wait_until(world: World, done: Callable[[], bool], *streams: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline, {name: world.rows(table) for name, table in BRONZE.items()}
        world.tick(*streams)
        time.sleep(1)


def settled(world: World, stream: str) -> bool:
    """Whether as many rows as the ledger tells are there, and every window that must be closed.

    A partition without messages since a restart holds the windows back until it counts as idle.
    """
    truth, topic = expected(world, stream), STREAMS[stream]
    if world.rows(BRONZE[stream]) < len(truth.places) or world.rows(SILVER[stream]) < len(truth.accepted):
        return False
    if world.of("silver.dead_letters", topic, "kafka_offset").height < len(truth.refused):
        return False
    if world.of("silver.late_events", topic, "kafka_offset").height < len(truth.late):
        return False
    closed = world.of(METRICS, topic, "window_start").get_column("window_start").max()
    return isinstance(closed, datetime) and closed >= last_due(truth)


def last_due(truth: Expected) -> datetime:
    """Start of the last window that must be closed: the slowest partition has passed it by lateness and a window."""
    arrived = truth.rows.group_by("partition").agg(pl.col("arrived").max()).get_column("arrived").min()
    assert isinstance(arrived, datetime)
    due = truth.metrics(until=arrived - timedelta(minutes=15)).get_column("window_start").max()
    assert isinstance(due, datetime)
    return due


def expected(world: World, stream: str) -> Expected:
    return Expected.of(STREAMS[stream], world.ledger, world.tail)


@pytest.mark.parametrize("stream", STREAMS)
def test_every_message_is_where_the_ledger_says_and_only_there(world: World, played: Played, stream: str) -> None:
    assert played.errors == {}
    truth = expected(world, stream)
    places = ("kafka_partition", "kafka_offset")

    bronze = list(world.read(BRONZE[stream], *places).iter_rows())
    assert len(bronze) == len(truth.places)
    assert set(bronze) == truth.places

    silver = list(world.read(SILVER[stream], "event_id", *places).iter_rows())
    assert len(silver) == len(truth.accepted)
    assert set(silver) == truth.accepted

    refused = list(world.of("silver.dead_letters", STREAMS[stream], *places, "reason").iter_rows())
    assert len(refused) == len(truth.refused)
    assert set(refused) == truth.refused

    late = list(world.of("silver.late_events", STREAMS[stream], "event_id", *places).iter_rows())
    assert len(late) == len(truth.late)
    assert late or stream == "system-events"
    assert set(late) == truth.late


@pytest.mark.parametrize("stream", STREAMS)
def test_closed_windows_are_those_of_the_ledger(world: World, played: Played, stream: str) -> None:
    columns = ("window_start", "event_type", "measure", "event_count", "value_count", "value_sum")
    found = world.of(METRICS, STREAMS[stream], *columns, "window_end")
    truth = expected(world, stream)
    closed = found.get_column("window_end").max()
    assert isinstance(closed, datetime)
    assert closed >= last_due(truth) + timedelta(minutes=5)
    wanted = truth.metrics(until=closed)
    got = found.select(columns).sort("window_start", "event_type", "measure")
    assert got.with_columns(pl.col("value_sum").fill_null(0)).equals(wanted)
    assert wanted.height > (500 if stream in ("events", "transactions", "logs") else 50)


def test_dead_letters_are_in_kafka_once_with_their_reason_and_place(world: World, played: Played) -> None:
    consumer = Consumer({
        "bootstrap.servers": world.settings.kafka_servers, "group.id": "test", "isolation.level": "read_committed",
        "auto.offset.reset": "earliest", "enable.partition.eof": True,
    })  # fmt: skip
    consumer.subscribe(["events.dlq"])
    found: list[tuple[str, int, int, str]] = []
    ended: set[int] = set()
    partitions = len(consumer.list_topics("events.dlq").topics["events.dlq"].partitions)
    while len(ended) < partitions:
        message = consumer.poll(20)
        assert message is not None
        error = message.error()
        if error is not None:
            ended.add(int(message.partition() or 0))
            continue
        told = {str(pair[0]): pair[1].decode() for pair in cast("Any", message.headers())}
        place = (told["source_topic"], int(told["source_partition"]), int(told["source_offset"]))
        if place[0] in STREAMS.values():
            found.append((*place, told["error_class"]))
    consumer.close()
    wanted = {(topic, *row) for name, topic in STREAMS.items() for row in expected(world, name).refused}
    assert len(found) == len(wanted)
    assert set(found) == wanted


@pytest.mark.parametrize("stream", STREAMS)
def test_batch_equals_stream_once_late_events_are_folded_in(world: World, played: Played, stream: str) -> None:
    job = world.streams.job(stream)
    with Lakehouse(world.settings) as lake:
        assert silver_parity(lake, job).total == 0
        before = metrics_parity(lake, job)
        assert before.total > 0 or stream == "system-events"
        assert before.unexplained == 0
        assert fold(lake, job, "test") == before.total
        assert metrics_parity(lake, job).total == 0
        assert fold(lake, job, "test") == 0
    columns = ("window_start", "event_type", "measure", "event_count", "value_count", "value_sum")
    found = world.of(METRICS, STREAMS[stream], *columns, "window_end")
    wanted = expected(world, stream).metrics(late=True, until=found.get_column("window_end").max())  # type: ignore[arg-type]
    got = found.select(columns).sort("window_start", "event_type", "measure")
    assert got.with_columns(pl.col("value_sum").fill_null(0)).equals(wanted)


def test_an_injected_discrepancy_is_red_until_it_is_repaired(world: World, played: Played) -> None:
    job = world.streams.job("events")
    late = expected(world, "events")
    touched = late.rows.filter("late").get_column("event_timestamp").dt.truncate("5m").unique()
    windows = world.of(METRICS, "raw-events", "window_start").get_column("window_start")
    window = windows.filter(~windows.is_in(touched.implode()))[0]
    with Lakehouse(world.settings) as lake:
        lake.table(METRICS).delete(f"source_topic = 'raw-events' and window_start = '{window.isoformat()}'")
        red = metrics_parity(lake, job)
        assert red.unexplained == red.total > 0
        assert {row["window_start"] for row in red.missing.to_dicts()} == {window}
        assert recompute_metrics(lake, job, "test") == red.total
        assert metrics_parity(lake, job).total == 0


def test_a_stopped_stream_resumes_from_its_savepoint_and_counts_nothing_twice(world: World, played: Played) -> None:
    before = world.rows(BRONZE["events"])
    savepoint = world.streams.stop("events")
    assert savepoint is not None
    assert (Path(savepoint.removeprefix("file:")) / "_metadata").exists()
    world.tick(*STREAMS)
    assert not world.streams.look("events").active
    world.streams.start("events")
    time.sleep(15)
    assert world.rows(BRONZE["events"]) == before
    with Lakehouse(world.settings) as lake:
        assert silver_parity(lake, world.streams.job("events")).total == 0


def test_three_engines_read_the_same_of_every_table_while_flink_commits(
    world: World, played: Played, spark: SparkSession
) -> None:
    columns = dict.fromkeys(
        (*BRONZE.values(), *SILVER.values(), "silver.late_events", "silver.dead_letters"), "kafka_offset"
    )
    columns |= {METRICS: "event_count"}
    more = (world.settings.home / "more", datetime.now(UTC), timedelta(hours=20), 3000, 60)
    thread = threading.Thread(target=played_into, args=(world, *more))
    before = {table: world.head(table) for table in columns}
    read: dict[str, set[int]] = {table: set() for table in columns}
    thread.start()
    deadline = time.monotonic() + WAIT_S
    while any(not found - {before[table]} for table, found in read.items()):
        assert time.monotonic() < deadline, {table: len(found) for table, found in read.items()}
        for table, column in columns.items():
            snapshot = world.head(table)
            if snapshot not in read[table]:
                counts = world.read_by_each(spark, table, column, snapshot)
                assert len(set(counts.values())) == 1, (table, counts)
                read[table].add(snapshot)
    thread.join()
