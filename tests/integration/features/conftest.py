"""Kafka and Flink for the tests of features: a company played into fresh topics, and tables as of moments."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from c360.cdc.connector import topics as shop_topics
from c360.cdc.manage import install_topics
from c360.contracts.loader import load_stream_contracts
from c360.errors import C360Error
from c360.events import KafkaAdminManager
from c360.lakehouse import Lakehouse
from c360.streams.features import feature_topics, install_feature_topics, key_of, load_features, topic_of
from c360.streams.job import load_jobs
from c360.streams.runner import Streams
from c360.streams.sql import statements
from mock_data.shop_light import heartbeat
from tests.integration.streams.conftest import World, started

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from c360.engines.stack import Stack
    from c360.settings import Settings
    from c360.streams.job import StreamJob
    from mock_data.shop_light import Message

Row = dict[str, Any]
CHECKPOINT_S = 2.0
IDLE = "SET 'table.exec.source.idle-timeout' = '1 s'"


class Features(World):
    """The engines with jobs of features, and what they wrote."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        self.jobs = {
            name: replace(job, parallelism=2, checkpoint_seconds=CHECKPOINT_S)
            for name, job in load_jobs().items()
            if job.family == "features"
        }
        self.streams = Streams(self.settings, self.jobs)
        self._producer = Producer(
            {"bootstrap.servers": self.settings.kafka_servers, "partitioner": "murmur2_random", "linger.ms": 20}
        )
        self._beats = 0

    def begin(self, *jobs: str, idle: str = "1 s") -> None:
        """End all jobs, forget what was played and written, and start these; a partition is idle after that time."""

        def render(job: StreamJob, settings: Settings) -> list[str]:
            return [text.replace(IDLE, IDLE.replace("1 s", idle)) for text in statements(job, settings)]

        self._cancel()
        admin, brokers = KafkaAdminManager(self.settings.kafka_servers), 1
        names = [topic.name for topic in (*shop_topics(brokers), *feature_topics(brokers))]
        if present := admin.describe(*names):
            admin.delete(*present)
        install_topics(self.settings)
        install_feature_topics(self.settings)
        with Lakehouse(self.settings) as lake:
            for name in load_features():
                if lake.exists(name):
                    lake.catalog.drop_table(name)
                lake.ensure(load_stream_contracts()[name])
        self.streams.close()
        self.streams = Streams(self.settings, self.jobs, render)
        for job in jobs:
            try:
                self.streams.start(job, fresh=True, wait=90)
            except C360Error:  # the first SQL of new engines takes long on a busy machine
                self._cancel(job)
                self.streams.start(job, fresh=True, wait=90)

    def _cancel(self, name: str | None = None) -> None:
        for each in self.streams.flink.jobs(name):
            if each.active:
                self.streams.flink.cancel(each.id)

    def close(self) -> None:
        """Let go of the connections."""
        self.streams.close()
        del self._producer

    def play(self, messages: Iterable[Message]) -> None:
        """Send them as they are."""
        for topic, key, value in messages:
            self._producer.produce(topic, value, key)
            self._producer.poll(0)
        assert self._producer.flush(60) == 0

    def tell_time(self, moment: datetime) -> None:
        """A heartbeat, a little later than the one before."""
        self._beats += 1
        self.play([heartbeat(moment + timedelta(milliseconds=self._beats))])

    def as_of(self, table: str, moment: datetime) -> dict[str, Row]:
        """The rows of a feature that are valid then, by key."""
        contract = load_features()[f"features.{table}"]
        rows = self.read(contract.name).filter(pl.col("effective_at") <= moment).sort("version", "effective_at")
        return {row[key_of(contract)]: row for row in rows.iter_rows(named=True)}

    def in_topic(self, table: str) -> dict[str, Row]:
        """The newest rows of a feature in its topic, by key."""
        contract = load_features()[f"features.{table}"]
        topic, key, found = topic_of(contract), key_of(contract), dict[str, Row]()
        consumer = Consumer({"bootstrap.servers": self.settings.kafka_servers, "group.id": "test"})
        try:
            partitions = [TopicPartition(topic, p, 0) for p in consumer.list_topics(topic).topics[topic].partitions]
            consumer.assign(partitions)
            left = sum(consumer.get_watermark_offsets(each, timeout=10)[1] for each in partitions)
            deadline = time.monotonic() + 60
            while left > 0:
                assert time.monotonic() < deadline
                for message in consumer.consume(left, 1.0):
                    assert message.error() is None
                    row, name = json.loads(message.value() or b""), (message.key() or b"").decode()
                    assert row[key] == name
                    found[name] = max(found.get(name, row), row, key=lambda r: (r["version"], r["effective_at"]))
                    left -= 1
        finally:
            consumer.close()
        return found

    def differences(
        self, table: str, moment: datetime, wanted: Mapping[str, Row], patience: float = 90.0
    ) -> list[tuple[str, Row | None, Row | None]]:
        """Keys whose row as of a moment is not as wanted, once all is read or patience has ended, as time goes on."""
        deadline = time.monotonic() + patience
        while True:
            self.tell_time(moment)
            found = self.as_of(table, moment)
            differing = [key for key in wanted.keys() | found.keys() if not _same(wanted.get(key), found.get(key))]
            if not differing or time.monotonic() > deadline:
                return [(key, wanted.get(key), found.get(key)) for key in sorted(differing)]
            time.sleep(1)


def as_json(row: Row) -> Row:
    """A row of a table as its topic has it."""
    return {
        name: f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        if isinstance(value, datetime)
        else value
        if value is None or isinstance(value, str | int | float)
        else str(value)
        for name, value in row.items()
    }


def _same(wanted: Row | None, found: Row | None) -> bool:
    return wanted is not None and found is not None and all(found[name] == value for name, value in wanted.items())


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Features]:
    """Running engines for all tests of features; each begins anew."""
    with started(tmp_path_factory.mktemp("features")) as world:
        found = Features(world.stack)
        try:
            yield found
        finally:
            found.close()
