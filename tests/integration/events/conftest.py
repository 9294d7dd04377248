"""A broker and a registry for the tests of the event SDK, and names of topics that no other test uses."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from c360.contracts.topic import TopicContract, load_topics
from c360.engines.stack import ENGINES, Stack
from c360.events import EventMetrics, EventSchema, KafkaAdminManager, TopicConfig
from c360.settings import Settings
from tests.conftest import free_ports

NEEDED = ("kafka", "registry")


@dataclass(frozen=True)
class Engines:
    """Addresses of what runs."""

    kafka: str
    registry: str

    @property
    def admin(self) -> KafkaAdminManager:
        return KafkaAdminManager(self.kafka)


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """Those that the environment names (C360_TEST_KAFKA, C360_TEST_REGISTRY), else the stack's own."""
    kafka, registry = os.environ.get("C360_TEST_KAFKA"), os.environ.get("C360_TEST_REGISTRY")
    if kafka and registry:
        yield Engines(kafka, registry)
        return
    if not set(NEEDED) <= set(ENGINES):
        pytest.skip("the stack has no Kafka and no registry; set C360_TEST_KAFKA and C360_TEST_REGISTRY")
    ports = free_ports()
    settings = Settings.model_validate({"home": tmp_path_factory.mktemp("events"), **ports})
    with Stack(settings).running(*NEEDED):
        yield Engines(settings.kafka_servers, settings.registry_address)


@dataclass(frozen=True)
class World:
    """The product's topics under names of one test's own: ``schemas`` by event type, ``topics`` by the true name."""

    engines: Engines
    schemas: dict[str, EventSchema]
    topics: dict[str, str]
    dlq: str
    metrics: EventMetrics


@pytest.fixture
def world(engines: Engines, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    from dataclasses import replace

    mark = uuid.uuid4().hex[:8]
    contracts: dict[str, TopicContract] = {
        name: replace(contract, name=f"{name}-{mark}") for name, contract in load_topics().items()
    }
    admin = engines.admin
    admin.create(*(TopicConfig.of(contract, admin.brokers()) for contract in contracts.values()))
    schemas = {
        event_type: schema
        for schema in (EventSchema(contract) for contract in contracts.values() if contract.format == "json")
        for event_type in schema.event_types
    }
    names = {name: contract.name for name, contract in contracts.items()}
    monkeypatch.setattr("c360.events.dead_letters.DLQ", names["events.dlq"])
    yield World(engines, schemas, names, names["events.dlq"], EventMetrics(CollectorRegistry()))
    admin.delete(*names.values())


@dataclass(frozen=True)
class Record:
    """A message as another client of Kafka sees it."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, str]


@pytest.fixture
def read_all(engines: Engines) -> Callable[[str], list[Record]]:
    """All committed messages of a topic, read to its end without the SDK."""

    def read(topic: str) -> list[Record]:
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({
            "bootstrap.servers": engines.kafka, "group.id": uuid.uuid4().hex, "enable.auto.commit": False,
            "enable.partition.eof": True, "isolation.level": "read_committed",
        })  # fmt: skip
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
            found, ended = [], 0
            while ended < len(partitions):
                for message in consumer.consume(5000, timeout=0.3):
                    if message.error() is not None:
                        ended += 1
                        continue
                    headers = {key: value.decode() for key, value in cast("Any", message.headers() or [])}
                    at = (message.partition() or 0, message.offset() or 0)
                    found.append(Record(*at, message.key(), message.value(), headers))
            return found
        finally:
            consumer.close()

    return read


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"
