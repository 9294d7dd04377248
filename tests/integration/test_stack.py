"""The real engines: Spark Connect on the packaged Java, and Dagster's web server and daemon."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from c360.engines import class_archive, jars
from c360.engines.java import find_java
from c360.engines.spark import SparkConnectServer, connect, pyspark_home, session
from c360.engines.stack import Stack
from c360.engines.state import StackState
from c360.errors import EngineError
from c360.settings import Settings
from tests.conftest import free_port
from tests.unit.engines.engine_specs import eventually, gone, tagged

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]


def new_settings(home: Path) -> Settings:
    return Settings(home=home, spark_port=free_port(), dagster_port=free_port(), spark_memory="1g")


def copied_cache(cache: Path) -> Path:
    """A jar cache of the test's own with the jars that Spark needs."""
    user = Settings()
    for jar in jars.fetch(["spark"], user):
        copy = cache / jar.relative_to(user.jar_cache)
        copy.parent.mkdir(parents=True)
        shutil.copy2(jar, copy)
    return cache


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A running Spark in a home with a space and letters beyond ASCII in its name."""
    settings = new_settings(tmp_path_factory.mktemp("stack") / "a hömé")
    with Stack(settings).running("spark"):
        yield settings


def test_written_by_spark_read_by_spark_and_pyiceberg(lake: Settings) -> None:
    from pyiceberg.catalog.sql import SqlCatalog

    with session(lake) as spark:
        spark.sql("CREATE NAMESPACE IF NOT EXISTS lake.probe")
        spark.sql("CREATE TABLE lake.probe.squares USING iceberg AS SELECT id, id * id AS square FROM range(1000)")
        row = spark.sql("SELECT count(*) AS n, sum(square) AS s FROM lake.probe.squares").collect()[0]
    assert (row["n"], row["s"]) == (1000, sum(i * i for i in range(1000)))
    catalog = SqlCatalog("lake", uri=str(lake.catalog_uri), warehouse=str(lake.warehouse))
    try:
        rows = catalog.load_table("probe.squares").scan().to_arrow().to_pylist()
    finally:
        catalog.close()
    assert sorted((r["id"], r["square"]) for r in rows) == [(i, i * i) for i in range(1000)]


def test_each_call_gives_a_session_of_its_own(lake: Settings) -> None:
    with session(lake) as one, session(lake) as other:
        one.sql("SELECT 1 AS x").createOrReplaceTempView("mine")
        one.conf.set("spark.sql.shuffle.partitions", "7")
        assert one.sql("SHOW VIEWS").count() == 1
        assert other.sql("SHOW VIEWS").count() == 0
        assert other.conf.get("spark.sql.shuffle.partitions") == "2"


def test_session_is_utc_and_adaptive(lake: Settings) -> None:
    with session(lake) as spark:
        assert spark.sql("SELECT current_timezone() AS zone").collect()[0]["zone"] == "UTC"
        assert spark.conf.get("spark.sql.adaptive.enabled") == "true"


def test_python_functions_run_on_this_interpreter(lake: Settings) -> None:
    from pyspark.sql.functions import udf

    with session(lake) as spark:
        interpreter = udf(lambda _: sys.executable, "string")
        assert spark.range(1).select(interpreter("id").alias("python")).collect()[0]["python"] == sys.executable


def test_nothing_listens_beyond_this_machine(lake: Settings) -> None:
    listening = [
        connection.laddr.ip
        for process in tagged(lake)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert {address.removeprefix("::ffff:") for address in listening} <= {"127.0.0.1", "::1"}


def test_open_files_are_inside_the_home(lake: Settings) -> None:
    spark_pid = StackState(lake.home).entries()["spark"].engine_pid
    with session(lake) as spark:
        spark.range(100_000).repartition(4).count()
        written = [f.path for f in psutil.Process(spark_pid).open_files() if f.mode != "r"]
    assert written
    assert [path for path in written if not path.startswith(str(lake.home))] == []
    assert psutil.Process(spark_pid).cwd() == str(lake.home / "spark")
    assert (lake.home / "spark" / "spark.conf").stat().st_mode & 0o077 == 0


def test_second_start_is_refused(lake: Settings) -> None:
    (engine,) = Stack(lake).status()
    with pytest.raises(EngineError, match=rf"pid {engine.pid}.*c360 down"):
        Stack(lake).up("spark")
    assert Stack(lake).status()[0].state == "running"


def test_spark_port_of_a_stranger(tmp_path: Path) -> None:
    settings = new_settings(tmp_path)
    refusal = pytest.raises(EngineError, match=f"Port {settings.spark_port}.*C360_SPARK_PORT")
    with socket.create_server(("127.0.0.1", settings.spark_port)), refusal:
        Stack(settings).up("spark")


def test_server_that_accepts_but_says_nothing(tmp_path: Path) -> None:
    settings = new_settings(tmp_path)
    with socket.create_server(("127.0.0.1", settings.spark_port)):
        began = time.monotonic()
        with pytest.raises(EngineError, match="does not answer"):
            connect(settings)
        assert time.monotonic() - began < 15


def test_kills(tmp_path: Path) -> None:
    """A killed command leaves no orphan; a killed Spark is said within seconds, and healed with its tables."""
    settings = new_settings(tmp_path / "home").model_copy(update={"jar_cache": copied_cache(tmp_path / "cache")})
    archive = class_archive.archive_path(settings, find_java(settings), pyspark_home())
    archive.parent.mkdir()
    archive.write_bytes(b"a damaged class archive is ignored")
    script = (
        "import sys, time; from c360.settings import Settings; from c360.engines.stack import Stack\n"
        "with Stack(Settings()).running('spark'):\n"
        "    print('ready', flush=True); time.sleep(600)"
    )
    env = os.environ | {
        "C360_HOME": str(settings.home),
        "C360_SPARK_PORT": str(settings.spark_port),
        "C360_SPARK_MEMORY": "1g",
        "C360_JAR_CACHE": str(settings.jar_cache),
    }
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=env, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        started = tagged(settings)
        assert any(process.name() == "java" for process in started)
        parent.kill()
    assert eventually(lambda: all(gone(process.pid) for process in started), 20)
    stack = Stack(settings)
    assert stack.status()[0].state == "dead"

    (engine,) = stack.up("spark")
    try:
        with session(settings) as spark:
            spark.sql("CREATE NAMESPACE lake.probe")
            spark.sql("CREATE TABLE lake.probe.t USING iceberg AS SELECT 42 AS x")
            os.kill(engine.pid, signal.SIGKILL)
            began = time.monotonic()
            with pytest.raises(EngineError, match=r"does not answer.*c360 up spark"):
                spark.sql("SELECT 1").collect()
        assert time.monotonic() - began < 15
        assert stack.status()[0].state == "dead"
        with pytest.raises(EngineError, match="c360 up spark"):
            connect(settings)

        (healed,) = stack.up("spark")
        assert healed.pid != engine.pid
        with session(settings) as spark:
            assert spark.table("lake.probe.t").collect()[0]["x"] == 42
        assert SparkConnectServer(settings).health() is None
    finally:
        started = tagged(settings)
        stack.down()
    assert all(gone(process.pid) for process in started)


DEFINITIONS = """
import os, dagster as dg

@dg.asset
def answer() -> int:
    return 42

defs = dg.Definitions(assets=[answer])
"""


def test_dagster_serves_heals_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster import DagsterInstance

    project = tmp_path / "project"
    project.mkdir()
    (project / "workspace.yaml").write_text("load_from:\n  - python_file: {relative_path: graph.py}\n")
    (project / "graph.py").write_text(DEFINITIONS)
    monkeypatch.chdir(project)
    settings = new_settings(tmp_path / "home")
    stack = Stack(settings)
    engines = {engine.name: engine for engine in stack.up("dagster")}
    try:
        assert {name: engine.state for name, engine in engines.items()} == {
            "dagster-webserver": "running",
            "dagster-daemon": "running",
        }
        query = {
            "query": "{ assetNodes { assetKey { path } } instance { daemonHealth { allDaemonStatuses { required } } } }"
        }
        answer = httpx.post(f"{engines['dagster-webserver'].address}/graphql", json=query, timeout=60).json()["data"]
        assert answer["assetNodes"] == [{"assetKey": {"path": ["answer"]}}]
        with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
            limits = instance.get_concurrency_config()
            assert limits.pool_config.default_pool_limit == 1
            assert str(limits.pool_config.pool_granularity).endswith("OP")
            assert limits.run_queue_config is not None
            assert limits.run_queue_config.max_concurrent_runs == 2
            assert not instance.telemetry_enabled
            assert not instance.nux_enabled
            assert instance.get_settings("freshness") == {"enabled": True}

        os.kill(engines["dagster-daemon"].pid, signal.SIGKILL)
        assert eventually(lambda: {e.name: e.state for e in stack.status()}["dagster-daemon"] == "dead")
        healed = {engine.name: engine for engine in stack.up("dagster")}
        assert healed["dagster-webserver"].pid == engines["dagster-webserver"].pid
        assert healed["dagster-daemon"].state == "running"
    finally:
        started = tagged(settings)
        stack.down()
    assert len(started) > 4  # two guards, two servers, and the code servers they started
    assert [process for process in started if not gone(process.pid)] == []


@pytest.mark.bench
def test_class_archive_is_built_and_used(tmp_path: Path) -> None:
    """A minute of CPU time, so not part of the suite; that Spark starts without one, every other test shows."""
    settings = new_settings(tmp_path / "home").model_copy(update={"jar_cache": copied_cache(tmp_path / "cache")})
    assert not [word for word in SparkConnectServer(settings).spec().command if "SharedArchiveFile" in word]
    archive = class_archive.build(settings)
    assert class_archive.build(settings) == archive
    with Stack(settings).running("spark") as stack:
        spark = psutil.Process(stack.status()[0].pid)
        assert str(archive) in {mapped.path for mapped in spark.memory_maps()}
