"""The real streaming engines: a Kafka broker, Apicurio Registry and a Flink session cluster, killed and healed.

The tests share one running set, in the order of the file; each leaves it whole.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from c360.engines.flink import FlinkCluster
from c360.engines.flink_conf import catalog_ddl
from c360.engines.flink_sql import sql_session
from c360.engines.kafka import KafkaBroker
from c360.engines.registry import SchemaRegistry
from c360.engines.stack import Stack
from c360.errors import EngineError
from c360.settings import Settings
from tests.conftest import free_port
from tests.unit.engines.engine_specs import eventually, gone, tagged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyiceberg.catalog import Catalog

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
PROCESSES = ("kafka", "registry", "flink-jobmanager", "flink-taskmanager", "flink-gateway")
PORTS = ("kafka", "kafka_controller", "registry", "registry_admin", "flink", "flink_gateway", "flink_rpc")


def new_settings(home: Path) -> Settings:
    return Settings(home=home, **{f"{name}_port": free_port() for name in PORTS})  # type: ignore[arg-type]


def pid(stack: Stack, name: str) -> int:
    return {engine.name: engine.pid for engine in stack.status()}[name]


def states(stack: Stack) -> dict[str, str]:
    return {engine.name: engine.state for engine in stack.status()}


def kill(stack: Stack, name: str) -> None:
    """End one process without a word, and wait until the stack says so."""
    os.kill(pid(stack, name), signal.SIGKILL)
    assert eventually(lambda: states(stack)[name] == "dead")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All streaming engines in a home with a space and letters beyond ASCII in its name; ends without orphans."""
    stack = Stack(new_settings(tmp_path_factory.mktemp("stream") / "a hömé"))
    started: list[psutil.Process] = []
    try:
        stack.up("kafka", "registry", "flink")
        yield stack
    finally:
        started = tagged(stack.settings)
        stack.down()
    assert len(started) >= 2 * len(PROCESSES)  # each with its guard
    assert [process for process in started if not gone(process.pid)] == []


def create_topic(settings: Settings, name: str) -> None:
    client = AdminClient({"bootstrap.servers": settings.kafka_servers})
    client.create_topics([NewTopic(name, num_partitions=2, replication_factor=1)])[name].result(20)


def produce(settings: Settings, topic: str, numbers: range) -> None:
    """Send each number once, and return only when the broker has acknowledged all."""
    producer = Producer({"bootstrap.servers": settings.kafka_servers, "enable.idempotence": True})
    failures: list[object] = []
    for number in numbers:
        producer.produce(
            topic,
            json.dumps({"id": number, "amount": number / 4}),
            key=str(number),
            on_delivery=lambda error, _: failures.append(error) if error else None,
        )
    assert producer.flush(30) == 0
    assert failures == []


def consume(settings: Settings, topic: str, group: str, count: int) -> list[int]:
    """Read ``count`` numbers as a group from where it stopped, and commit that."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_servers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    read: list[int] = []
    deadline = time.monotonic() + 40
    try:
        consumer.subscribe([topic])
        while len(read) < count and time.monotonic() < deadline:
            for message in consumer.consume(count - len(read), timeout=1.0):
                assert message.error() is None
                read.append(json.loads(message.value() or b"")["id"])
        consumer.commit(asynchronous=False)
    finally:
        consumer.close()
    return read


def test_all_serve_on_this_machine_only(stack: Stack) -> None:
    assert states(stack) == dict.fromkeys(PROCESSES, "running")
    listening = {
        connection.laddr.ip.removeprefix("::ffff:")
        for process in tagged(stack.settings)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening <= {"127.0.0.1", "::1"}
    assert sum(engine.memory for engine in stack.status()) < 2.5e9


def test_second_start_is_refused_and_names_all(stack: Stack) -> None:
    with pytest.raises(EngineError, match=rf"kafka \(pid {pid(stack, 'kafka')}\).*flink-gateway.*c360 down"):
        Stack(stack.settings).up("kafka", "registry", "flink")
    assert states(stack) == dict.fromkeys(PROCESSES, "running")


@pytest.mark.parametrize("setting", ["kafka_port", "kafka_controller_port", "flink_rpc_port", "registry_admin_port"])
def test_port_of_a_stranger_is_named_before_anything_starts(tmp_path: Path, setting: str) -> None:
    settings = new_settings(tmp_path)
    port = getattr(settings, setting)
    refusal = pytest.raises(EngineError, match=rf"Port {port}.*pid {os.getpid()}.*C360_{setting.upper()}")
    with socket.create_server(("127.0.0.1", port)), refusal:
        Stack(settings).up("kafka", "registry", "flink")
    assert Stack(settings).status() == []
    assert not (tmp_path / "kafka").exists()


def test_kafka_keeps_records_and_offsets_through_a_restart(stack: Stack) -> None:
    settings, cluster = stack.settings, KafkaBroker(stack.settings).cluster_id()
    create_topic(settings, "restart")
    produce(settings, "restart", range(1000))
    first = consume(settings, "restart", "readers", 400)
    assert stack.down("kafka") == ["kafka"]
    assert "does not answer" in str(KafkaBroker(settings).health())
    stack.up("kafka")
    assert KafkaBroker(settings).cluster_id() == cluster
    rest = consume(settings, "restart", "readers", 600)
    assert (len(first), len(rest)) == (400, 600)
    assert sorted(first + rest) == list(range(1000))


def test_killed_broker_is_healed_with_all_that_it_acknowledged(stack: Stack) -> None:
    settings = stack.settings
    create_topic(settings, "killed")
    produce(settings, "killed", range(500))
    kill(stack, "kafka")
    # The kernel may accept connections for a moment longer, until the last thread is gone.
    assert eventually(lambda: f"port {settings.kafka_port} does not answer" == KafkaBroker(settings).health())
    others = {name: pid(stack, name) for name in PROCESSES if name != "kafka"}
    stack.up("kafka", "registry", "flink")
    assert {name: pid(stack, name) for name in others} == others
    produce(settings, "killed", range(500, 1000))
    assert sorted(consume(settings, "killed", "readers", 1000)) == list(range(1000))


def test_registry_keeps_subjects_and_its_rule_through_a_kill(stack: Stack) -> None:
    address = f"{stack.settings.registry_address}/subjects/orders-value/versions"

    def register(*fields: dict[str, object]) -> int:
        schema = {"type": "record", "name": "Order", "fields": [{"name": "id", "type": "string"}, *fields]}
        return httpx.post(address, json={"schema": json.dumps(schema)}, timeout=30).status_code

    process = pid(stack, "registry")
    assert register() == 200
    os.kill(process, signal.SIGKILL)  # at once: what is written later would be lost
    assert eventually(lambda: states(stack)["registry"] == "dead")
    stack.up("registry")
    assert httpx.get(address, timeout=30).json() == [1]
    assert register({"name": "must", "type": "string"}) == 409
    assert register({"name": "may", "type": ["null", "string"], "default": None}) == 200
    assert SchemaRegistry(stack.settings).health() is None


def lake(settings: Settings) -> Catalog:
    from pyiceberg.catalog.sql import SqlCatalog

    return SqlCatalog("lake", uri=str(settings.catalog_uri), warehouse=str(settings.warehouse))


def ids(catalog: Catalog) -> list[Any]:
    table = catalog.load_table("bronze.payments")
    return table.scan().to_arrow()["id"].to_pylist()


def test_flink_carries_kafka_into_iceberg_through_kills_of_worker_and_broker(stack: Stack) -> None:
    """Each record is in the table once, as PyIceberg reads it, although both ends of the job were killed."""
    settings, flink = stack.settings, stack.settings.flink_address
    create_topic(settings, "payments")
    produce(settings, "payments", range(1000))
    with sql_session(settings, {"execution.checkpointing.interval": "1 s", "pipeline.name": "payments"}) as sql:
        sql.execute(catalog_ddl(settings))
        sql.execute("CREATE DATABASE lake.bronze")
        sql.execute("CREATE TABLE lake.bronze.payments (id BIGINT NOT NULL, amount DOUBLE) WITH ('format-version'='2')")
        sql.execute(
            "CREATE TEMPORARY TABLE payments (id BIGINT, amount DOUBLE) WITH ('connector' = 'kafka', "
            f"'topic' = 'payments', 'properties.bootstrap.servers' = '{settings.kafka_servers}', "
            "'properties.group.id' = 'bronze', 'scan.startup.mode' = 'earliest-offset', 'format' = 'json')"
        )
        job = sql.execute("INSERT INTO lake.bronze.payments SELECT id, amount FROM payments").job_id
        with pytest.raises(EngineError, match="'nowhere' not found"):
            sql.execute("SELECT * FROM nowhere")
    catalog = lake(settings)
    try:
        assert eventually(lambda: len(ids(catalog)) >= 1000, 40)
        os.kill(pid(stack, "flink-taskmanager"), signal.SIGKILL)
        kill(stack, "kafka")
        assert states(stack)["flink-taskmanager"] == "dead"
        stack.up("flink", "kafka")
        produce(settings, "payments", range(1000, 2000))
        assert eventually(lambda: len(ids(catalog)) >= 2000, 60)
        assert sorted(ids(catalog)) == list(range(2000))
        assert catalog.load_table("bronze.payments").metadata.format_version == 2
    finally:
        catalog.close()
    assert list(settings.checkpoint_dir.glob(f"{job}/chk-*/_metadata"))
    stop = httpx.post(f"{flink}/jobs/{job}/stop", json={"drain": False}, timeout=30).json()["request-id"]

    def saved() -> bool:
        answer = httpx.get(f"{flink}/jobs/{job}/savepoints/{stop}", timeout=30).json()
        return bool(answer["status"]["id"] == "COMPLETED" and "location" in answer["operation"])

    assert eventually(saved, 30)
    assert list(settings.savepoint_dir.glob("*/_metadata"))


def test_killed_job_manager_and_gateway_are_healed_and_find_the_worker(stack: Stack) -> None:
    worker = pid(stack, "flink-taskmanager")
    os.kill(pid(stack, "flink-gateway"), signal.SIGKILL)
    kill(stack, "flink-jobmanager")
    stack.up("flink")
    assert states(stack) == dict.fromkeys(PROCESSES, "running")
    assert pid(stack, "flink-taskmanager") == worker
    assert FlinkCluster(stack.settings).health() is None
    with sql_session(stack.settings, {"execution.runtime-mode": "batch"}) as sql:
        assert sql.execute("SELECT sum(x) FROM (VALUES (40), (2)) AS t (x)").rows == [[42]]


def test_killed_command_leaves_no_orphan(tmp_path: Path) -> None:
    settings = new_settings(tmp_path / "home")
    script = (
        "import time; from c360.settings import Settings; from c360.engines.stack import Stack\n"
        "with Stack(Settings()).running('kafka'):\n"
        "    print('ready', flush=True); time.sleep(600)"
    )
    env = os.environ | {"C360_HOME": str(settings.home)}
    env |= {f"C360_{name.upper()}_PORT": str(getattr(settings, f"{name}_port")) for name in PORTS}
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=env, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        started = tagged(settings)
        assert any(process.name() == "java" for process in started)
        parent.kill()
    assert eventually(lambda: all(gone(process.pid) for process in started), 20)
