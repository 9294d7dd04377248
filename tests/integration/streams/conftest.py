"""Kafka and Flink for the tests of the streams, shared by all of them: each test file plays into topics of its own."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pytest
from confluent_kafka import Consumer, TopicPartition

from c360.contracts.topic import load_topics
from c360.engines.spark import connect
from c360.engines.stack import Stack
from c360.events import KafkaAdminManager
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from c360.streams.reconcile import heal, reconcile
from c360.streams.runner import Streams
from tests.conftest import free_ports
from tests.unit.engines.engine_specs import gone, tagged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import SparkSession


class World:
    """The engines, the streams, and PyIceberg's view of what they write."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.settings = stack, stack.settings
        self.streams = Streams(self.settings)
        self.ledger, self.tail = self.settings.home / "ledger", self.settings.home / "tail"

    def read(self, table: str, *columns: str) -> pl.DataFrame:
        with Lakehouse(self.settings) as lake:
            return pl.DataFrame(pl.from_arrow(lake.read(table, columns=columns or None)))

    def of(self, table: str, topic: str, *columns: str) -> pl.DataFrame:
        """Rows of one topic of a table that several streams share."""
        rows = self.read(table, "source_topic", *columns)
        return rows.filter(pl.col("source_topic") == topic).drop("source_topic")

    def read_by_each(self, spark: SparkSession, table: str, column: str, snapshot: int) -> dict[str, tuple[int, int]]:
        """Rows, and a sum over a column, of one snapshot by engine."""
        with Lakehouse(self.settings) as lake:
            frame = pl.DataFrame(pl.from_arrow(lake.read(table, [column], snapshot_id=snapshot)))
            batches = duckdb.from_arrow(lake.reader(table, [column], snapshot_id=snapshot))
            [by_duckdb] = batches.aggregate(f"count(*), coalesce(sum({column}), 0)::BIGINT").fetchall()
        sql = f"SELECT count(*), coalesce(sum({column}), 0) FROM lake.{table} VERSION AS OF {snapshot}"
        [by_spark] = spark.sql(sql).collect()
        return {
            "pyiceberg": (frame.height, int(frame.get_column(column).sum())),
            "duckdb": (by_duckdb[0], by_duckdb[1]),
            "spark": (int(by_spark[0]), int(by_spark[1])),
        }

    def sent(self, count: int, *topics: str) -> bool:
        """Whether there are so many messages in these topics."""
        consumer = Consumer({"bootstrap.servers": self.settings.kafka_servers, "group.id": "test"})
        try:
            found = {topic: consumer.list_topics(topic).topics[topic].partitions for topic in topics}
            partitions = [TopicPartition(topic, number) for topic, numbers in found.items() for number in numbers]
            return sum(int(consumer.get_watermark_offsets(each, timeout=10)[1]) for each in partitions) >= count
        finally:
            consumer.close()

    def head(self, table: str) -> int:
        """The current snapshot."""
        with Lakehouse(self.settings) as lake:
            found = lake.snapshot(table)
        assert found is not None
        return found

    def rows(self, table: str) -> int:
        with Lakehouse(self.settings) as lake:
            return lake.row_count(table) if lake.exists(table) else 0

    def kill(self, name: str) -> None:
        pid = {engine.name: engine.pid for engine in self.stack.status()}[name]
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while not gone(pid):  # the kernel may need a moment
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def tick(self, *streams: str) -> None:
        """What the reconciling sensor does for these streams."""
        heal(self.settings)
        for name in streams:
            reconcile(self.streams, name)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Running engines with the product's topics, for the whole session."""
    with started(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture(scope="module")
def spark(world: World) -> Iterator[SparkSession]:
    """Spark beside the streams."""
    world.stack.up("spark")
    session = connect(world.settings)
    yield session
    session.stop()


@contextmanager
def started(home: Path, **settings: Any) -> Iterator[World]:
    """Running engines with the product's topics; ends without orphans."""
    stack = Stack(Settings.model_validate({"home": home, "flink_slots": 5, **free_ports(), **settings}))
    left: list[Any] = []
    try:
        stack.up("kafka", "flink")
        admin = KafkaAdminManager(stack.settings.kafka_servers)
        admin.apply(admin.plan(load_topics().values()))
        world = World(stack)
        try:
            yield world
        finally:
            world.streams.close()
    finally:
        left = tagged(stack.settings)
        stack.down()
    assert [process for process in left if not gone(process.pid)] == []
