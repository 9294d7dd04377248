"""The sink on a real broker and DynamoDB Local: killed, throttled and cut off, it stores what a sort gives."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import uuid
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
from confluent_kafka import Consumer, Producer
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from c360.engines import ports
from c360.engines.stack import Stack
from c360.features.client import client_of
from c360.features.manage import install
from c360.features.reading import FeatureReader
from c360.features.retrying import Retrying
from c360.features.rows import Rows, record_of
from c360.features.store import FeatureStore
from c360.features.writing import Writer
from c360.settings import Settings
from tests.conftest import free_port, free_ports
from tests.integration.features.throttling import BROKEN, FAIL, LOST, PASS, THROTTLE, Proxy
from tests.unit.engines.engine_specs import eventually, gone, tagged
from tests.unit.features.feature_tables import TABLES, alert, segment

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.faults]
ROOT = Path(__file__).parents[3]
Record = dict[str, Any]
GARBAGE = (b"", b"{", b"\xff", b"[1]", b'{"customer_id": "C0000001"}', None)


def table_of(record: Record) -> str:
    return "customer_segments" if "segment" in record else "anomaly_alerts"


def oracle(records: list[Record]) -> dict[tuple[str, str], Record]:
    """The last of each key, of all rows sorted by version and moment."""
    ordered = sorted(records, key=lambda record: (record["version"], record["effective_at"]))
    return {(table_of(record), record[TABLES[table_of(record)].key]): record for record in ordered}


def company(of: random.Random, count: int) -> list[Record]:
    """Rows in shuffled order, one in five of them more than once."""
    once: list[Record] = []
    while len(once) < count * 5 // 6:
        key, version, second = of.randrange(200), of.randrange(1, 40), of.randrange(600)
        once.append(segment(key, version, second) if of.random() < 0.7 else alert(key, version, second))
    found = [*once, *of.choices(once, k=count - len(once))]
    of.shuffle(found)
    return found


def send(servers: str, records: list[Record], garbage: int = 0) -> None:
    producer = Producer({"bootstrap.servers": servers, "acks": "all"})
    for number, record in enumerate(records):
        table = TABLES[table_of(record)]
        producer.produce(table.topic, json.dumps(record).encode(), record[table.key])
        producer.poll(0)
        if garbage and number % (len(records) // garbage) == 0:
            producer.produce(table.topic, GARBAGE[number % len(GARBAGE)], b"C0000001")
    assert producer.flush(60) == 0


def stored(settings: Settings) -> dict[tuple[str, str], Record]:
    """Everything that is in the tables, read past the product's reader."""
    client, found = client_of(settings, "writer"), dict[tuple[str, str], Record]()
    for table in TABLES.values():
        asked: dict[str, Any] = {"TableName": f"{settings.feature_prefix}{table.store}", "ConsistentRead": True}
        while True:
            answer = client.scan(**asked)
            records = [record_of(table, item) for item in answer["Items"]]
            found |= {(table.name, record[table.key]): record for record in records}
            if "LastEvaluatedKey" not in answer:
                break
            asked["ExclusiveStartKey"] = answer["LastEvaluatedKey"]
    client.close()
    return found


def holds(settings: Settings, records: list[Record]) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    try:
        return stored(settings) == oracle(records)
    except (BotoCoreError, ClientError):
        return False


class SinkProcess:
    """The sink as a process, with the settings of the test, and DynamoDB at an address of its own choice."""

    def __init__(self, settings: Settings, endpoint: str) -> None:
        self.port = free_port()
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("C360_", "AWS_"))}
        self.env |= {
            "C360_HOME": str(settings.home), "C360_KAFKA_BOOTSTRAP": settings.kafka_servers,
            "C360_SINK_PORT": str(self.port), "C360_FEATURE_PREFIX": settings.feature_prefix,
            "C360_DYNAMODB_ENDPOINT": endpoint, "AWS_ACCESS_KEY_ID": "c360", "AWS_SECRET_ACCESS_KEY": "c360",
        }  # fmt: skip
        self.log = (settings.home / f"sink-{self.port}.log").open("ab")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "c360.features"]
        self.process = subprocess.Popen(command, cwd=ROOT, env=self.env, stdout=self.log, stderr=self.log)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def metric(self, name: str) -> float:
        try:
            text = httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=5).text
        except httpx.HTTPError:
            return -1.0
        return next((float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} ")), -1.0)

    def end(self) -> int:
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(20)
        self.log.close()
        return code


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = Settings.model_validate({"home": tmp_path_factory.mktemp("features"), **free_ports()})
    stack = Stack(settings)
    try:
        stack.up("kafka", "dynamodb")
        yield stack
    finally:
        left = tagged(settings)
        stack.down()
    assert [process for process in left if not gone(process.pid)] == []


@pytest.fixture
def settings(stack: Stack, request: pytest.FixtureRequest) -> Settings:
    """A store of the test's own, beside those of the others."""
    prefix = f"{request.node.name[:40].replace('_', '-')}-"
    return stack.settings.model_copy(update={"feature_prefix": prefix})


@pytest.fixture
def proxy(stack: Stack) -> Iterator[Proxy]:
    proxy = Proxy(stack.settings.dynamodb_address)
    yield proxy
    proxy.close()


@pytest.fixture
def sink(settings: Settings, proxy: Proxy) -> Iterator[SinkProcess]:
    sink = SinkProcess(settings, proxy.address)
    yield sink
    if sink.process is not None and sink.process.poll() is None:
        sink.end()
    sink.log.close()


def kill(stack: Stack, name: str) -> None:
    [pid] = [engine.pid for engine in stack.status() if engine.name == name]
    os.kill(pid, signal.SIGKILL)
    assert eventually(partial(gone, pid))


def clean_topics(stack: Stack) -> None:
    from c360.events import KafkaAdminManager

    admin = KafkaAdminManager(stack.settings.kafka_servers)
    names = [table.topic for table in TABLES.values()]
    if there := admin.describe(*names):
        admin.delete(*there)
        assert eventually(lambda: not admin.describe(*names), 20)
    install(stack.settings)


def test_dynamodb_listens_on_loopback_only(stack: Stack) -> None:
    port = stack.settings.dynamodb_port
    assert ports.answers(port)
    addresses = {each.address for of in psutil.net_if_addrs().values() for each in of if each.family == socket.AF_INET}
    assert not any(ports.answers(port, address) for address in addresses if not address.startswith("127."))
    listening = {tuple(each.laddr) for each in psutil.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    assert {address for address, number in listening if number == port} <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_the_store_is_that_of_a_sort_whatever_is_killed_or_throttled(
    stack: Stack, settings: Settings, sink: SinkProcess, proxy: Proxy
) -> None:
    clean_topics(stack)
    records, servers = company(random.Random(7), 5000), settings.kafka_servers
    send(servers, records[:1500], garbage=12)
    sink.start()
    assert eventually(lambda: sink.metric("c360_features_written_total") > 0, 60)
    sink.kill()
    send(servers, records[1500:2500])
    sink.start()
    for mode in (THROTTLE, FAIL, LOST, BROKEN):
        proxy.mode, proxy.refused = mode, 0
        send(servers, records[2500:2600])
        assert eventually(lambda: proxy.refused > 3, 60)
    sink.kill()
    proxy.mode = PASS
    send(servers, records[2600:4000])
    sink.start()
    assert eventually(lambda: sink.metric("c360_features_read_total") > 0, 60)
    kill(stack, "dynamodb")
    send(servers, records[4000:])
    stack.up("dynamodb")
    assert eventually(lambda: holds(settings, records), 120)

    # Once more from the beginning, with everything stored already: nothing moves back.
    client = client_of(settings, "writer")
    client.delete_table(TableName=f"{settings.feature_prefix}feature-positions")
    client.close()
    sink.kill()
    sink.start()
    assert eventually(lambda: sink.metric("c360_features_superseded_total") >= 5000, 60)
    assert stored(settings) == oracle(records)
    assert sink.metric("c360_features_written_total") == 0
    assert sink.end() == 0


def test_dead_letters_tell_where_they_came_from(stack: Stack, settings: Settings, sink: SinkProcess) -> None:
    clean_topics(stack)
    send(settings.kafka_servers, [segment(1, 1, 1)])
    producer = Producer({"bootstrap.servers": settings.kafka_servers})
    bad = [b'{"customer_id": "C0000009", "segment": "private"}', b"private", b"x" * 10]
    for value in bad:
        producer.produce(TABLES["customer_segments"].topic, value, b"C0000009", partition=0)
    producer.flush(30)
    sink.start()
    assert eventually(lambda: sink.metric("c360_features_refused_total") == 3, 60)
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka_servers, "group.id": "letters", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["events.dlq"])
    found: dict[bytes, dict[str, str]] = {}

    def arrived() -> bool:
        message = consumer.poll(1)
        if message is not None and message.error() is None:
            given: dict[str, Any] = dict(message.headers() or ())
            headers = {name: text.decode() for name, text in given.items()}
            if headers["source_topic"] == TABLES["customer_segments"].topic:
                found[message.value() or b""] = headers
        return set(bad) <= found.keys()

    assert eventually(arrived, 60)
    consumer.close()
    letters = [found[value] for value in bad]
    assert {each["source_partition"] for each in letters} == {"0"}
    assert len({each["source_offset"] for each in letters}) == 3
    assert {each["consumer_group"] for each in letters} == {"c360-features"}
    assert {each["contract_version"] for each in letters} == {"1.0.0"}
    assert not any("private" in each["error_message"] for each in letters)
    sink.end()
    assert b"private" not in Path(sink.log.name).read_bytes()


def test_a_sink_that_fails_drops_no_batch_and_buffers_nothing_outside_its_offsets(
    stack: Stack, settings: Settings, sink: SinkProcess, proxy: Proxy
) -> None:
    clean_topics(stack)
    records = company(random.Random(11), 600)
    send(settings.kafka_servers, records[:300])
    sink.start()
    assert eventually(lambda: sink.metric("c360_features_read_total") >= 300, 60)
    places = [(TABLES[name].topic, number) for name in ("customer_segments", "anomaly_alerts") for number in (0, 1)]
    client = client_of(settings, "writer")
    store = FeatureStore(client, settings.feature_prefix, Retrying(threading.Event()))
    consumer = Consumer({"bootstrap.servers": settings.kafka_servers, "group.id": "x"})
    cluster = str(consumer.list_topics(timeout=10).cluster_id)
    consumer.close()
    before = store.positions(cluster, places)
    assert sum(before.values()) == 300

    # The store refuses: what was read stays unread by its positions, however long that lasts and however it ends.
    proxy.mode, proxy.refused = THROTTLE, 0
    send(settings.kafka_servers, records[300:])
    assert eventually(lambda: proxy.refused > 10, 60)
    assert store.positions(cluster, places) == before
    assert stored(settings) == oracle(records[:300])
    assert sink.metric("c360_features_read_total") == 300
    sink.kill()
    assert store.positions(cluster, places) == before

    # The next one begins where the positions are, and nothing is missing.
    proxy.mode = PASS
    sink.start()
    assert eventually(lambda: holds(settings, records), 60)
    assert eventually(lambda: sum(store.positions(cluster, places).values()) == 600, 20)
    client.close()
    assert sink.end() == 0


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=30), st.data())
@examples(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_dynamodb_itself_keeps_the_newest_in_any_order(
    stack: Stack, rows: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    prefix = f"any-{uuid.uuid4()}-"
    settings = stack.settings.model_copy(update={"feature_prefix": prefix})
    records = [segment(*row) for row in rows]
    client, ended = client_of(settings, "writer"), threading.Event()
    store, writer = FeatureStore(client, prefix, Retrying(ended)), Writer(client, prefix, ended)
    read = Rows(TABLES["customer_segments"])
    try:
        store.ensure(TABLES.values())
        for part in (data.draw(st.lists(st.sampled_from(records), max_size=15)), data.draw(st.permutations(records))):
            writer.write([read.of(str(record["customer_id"]).encode(), json.dumps(record).encode()) for record in part])
        assert stored(settings) == oracle(records)
        assert store.ensure(TABLES.values()) == []
    finally:
        writer.close()
        client.close()


def test_alerts_are_found_by_customer_newest_first_and_active_only(settings: Settings) -> None:
    client, ended = client_of(settings, "writer"), threading.Event()
    writer = Writer(client, settings.feature_prefix, ended)
    FeatureStore(client, settings.feature_prefix, Retrying(ended)).ensure(TABLES.values())
    records = [alert(number, 1, number, active=number % 3 > 0, customer=number % 2) for number in range(60)]
    read = Rows(TABLES["anomaly_alerts"])
    writer.write([read.of(record["alert_id"].encode(), json.dumps(record).encode()) for record in records])
    reader = FeatureReader(settings)
    nothing: list[Record] = []
    liveness, found = reader.ask(lambda: reader.of_customer("anomaly_alerts", "C0000001", 5, "is_active"), nothing)
    assert liveness.state == "absent"
    wanted = [record for record in reversed(records) if record["customer_id"] == "C0000001" and record["is_active"]]
    assert found == wanted[:5]
    assert reader.rows("anomaly_alerts", ["nobody", records[7]["alert_id"]]) == [records[7]]
    reader.close()
    writer.close()
    client.close()


def test_up_features_stores_what_comes_and_the_command_tells_it(stack: Stack, settings: Settings) -> None:
    own = settings.model_copy(update={"feature_prefix": "cli-"})
    other = Stack(own)
    clean_topics(stack)
    other.up("features", exist_ok=True)
    send(own.kafka_servers, [segment(7, 3, 3)])
    env = {**os.environ, **{f"C360_{name.upper()}": str(getattr(own, name)) for name in Settings.model_fields
                            if name.endswith("_port") or name in {"home", "feature_prefix"}}}  # fmt: skip

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "c360.cli", "features", *words], env=env, capture_output=True, text=True
        )

    assert eventually(lambda: run("get", "customer_segments", "C0000007").returncode == 0, 60)
    assert json.loads(run("get", "customer-segments", "C0000007").stdout) == segment(7, 3, 3)
    assert eventually(lambda: run("status").returncode == 0, 30)
    assert "features-customer-segments → customer-segments: " in run("status").stdout
    assert run("get", "customer_segments", "nobody").returncode == 1
    other.down("sink")
