"""The live part with a real broker: nothing is missed over kills of the follower and the broker, and garbage."""

from __future__ import annotations

import json
import os
import random
import signal
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from confluent_kafka import Producer

from api.security.keys import KeyStore, key_path
from api.security.principal import Role
from c360.contracts.topic import load_topics
from c360.engines.stack import Stack
from c360.events import KafkaAdminManager
from c360.lakehouse import Lakehouse
from c360.privacy.keyed import hash_key
from c360.serving.model import TABLES
from c360.serving.release import release
from c360.serving.store import Store
from c360.settings import Settings
from tests.conftest import free_ports
from tests.unit.engines.engine_specs import eventually, gone, tagged
from tests.unit.serving.company import Company

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.faults]

CUSTOMERS = [f"C{number:07}" for number in range(20)]
GARBAGE = (b"", b"{", b"\xff\xfe", b"[" * 5000, b'{"event_id": 1}')


class Shop:
    """Sends events and remembers each customer's newest."""

    def __init__(self, servers: str) -> None:
        self.producer = Producer({"bootstrap.servers": servers, "acks": "all"})
        self.of, self.sent, self.newest = random.Random(4), 0, dict[str, tuple[str, str]]()

    def send(self, count: int) -> None:
        for _ in range(count):
            self.sent += 1
            customer = self.of.choice(CUSTOMERS)
            # Not in the order of their times, as on their way one overtakes the other.
            happened = datetime.now(UTC) - timedelta(milliseconds=self.of.randrange(60_000))
            at, name = happened.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), f"00000000-0000-4000-8000-{self.sent:012}"
            event = {
                "event_id": name, "event_type": "page_view", "event_timestamp": at, "source_system": "web",
                "schema_version": 1, "metadata": {"correlation_id": "c-1"}, "payload": {"user_id": customer},
            }  # fmt: skip
            self.producer.produce("raw-events", json.dumps(event).encode(), customer)
            if self.sent % 50 == 0:
                self.producer.produce("raw-events", self.of.choice(GARBAGE), customer)
            self.newest[customer] = max(self.newest.get(customer, ("", "")), (at, name))
        assert self.producer.flush(60) == 0


class Reader:
    """Asks the API for the live part."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def ask(self, customer: str) -> Any:
        answer = self.client.get(f"/v1/customers/{customer}/live")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def state(self) -> str:
        return str(self.ask(CUSTOMERS[0])["live"]["state"])

    def newest(self) -> dict[str, tuple[str, str]]:
        parts = {customer: self.ask(customer)["data"]["parts"]["last_event"] for customer in CUSTOMERS}
        return {
            customer: (part["event_time"], part["record"]["event_id"])
            for customer, part in parts.items()
            if part is not None and part["source"] == "stream"
        }


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    ports = free_ports()
    settings = Settings.model_validate({"home": tmp_path_factory.mktemp("live"), **ports})
    with Lakehouse(settings) as lake:
        Company(lake, customers=len(CUSTOMERS)).publish()
        found = release(lake, TABLES)
        store = Store(settings.serving_dir)
        store.serve(store.build(lake, found, hash_key(settings)).release)
    stack = Stack(settings)
    try:
        stack.up("kafka", "api")
        admin = KafkaAdminManager(settings.kafka_servers)
        admin.apply(admin.plan(load_topics().values()))
        yield stack
    finally:
        left = tagged(settings)
        stack.down()
    assert [process for process in left if not gone(process.pid)] == []


@pytest.fixture
def reader(stack: Stack) -> Iterator[Reader]:
    keys = KeyStore(key_path(stack.settings.home))
    key = keys.create("live", [Role.SUPPORT])
    keys.close()
    address = f"http://127.0.0.1:{stack.settings.api_port}"
    with httpx.Client(base_url=address, headers={"x-api-key": key}, timeout=20) as client:
        yield Reader(client)


def kill(stack: Stack, name: str) -> None:
    [pid] = [engine.pid for engine in stack.status() if engine.name == name]
    os.kill(pid, signal.SIGKILL)
    assert eventually(partial(gone, pid))


def test_nothing_is_missed_whatever_is_killed(stack: Stack, reader: Reader) -> None:
    shop = Shop(stack.settings.kafka_servers)
    shop.send(500)
    assert reader.state() == "absent"
    assert reader.newest() == {}

    stack.up("live")
    assert eventually(lambda: reader.newest() == shop.newest, 60)
    assert eventually(lambda: reader.state() == "live", 20)

    for _ in range(3):
        shop.send(300)
        kill(stack, "live")
        shop.send(300)
        stack.up("live")
        assert eventually(lambda: reader.newest() == shop.newest, 60)

    kill(stack, "kafka")
    assert eventually(lambda: reader.state() == "stopped", 30)
    assert reader.newest() == shop.newest  # what is known stays readable, and says that it may be old
    stack.up("kafka")
    shop.send(300)
    assert eventually(lambda: reader.newest() == shop.newest, 60)
    assert eventually(lambda: reader.state() == "live", 30)

    kill(stack, "live")
    assert eventually(lambda: reader.state() == "stopped", 30)
    stack.up("live")
    assert eventually(lambda: reader.state() == "live", 30)
    said = httpx.get(f"http://127.0.0.1:{stack.settings.live_port}/metrics", timeout=10).text
    assert "c360_live_up 1.0" in said
