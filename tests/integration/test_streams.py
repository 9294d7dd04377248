"""Streams on a real Kafka and Flink: killed, stopped, started twice, changed; every number arrives once.

The tests share one running set, in the order of the file; each leaves the stream running.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import httpx
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from prometheus_client import CollectorRegistry

from c360.engines.flink_conf import catalog_ddl
from c360.engines.stack import Stack
from c360.errors import C360Error, StreamError
from c360.settings import Settings
from c360.streams.job import StreamJob
from c360.streams.reconcile import reconcile
from c360.streams.runner import Streams
from c360.streams.status import status
from c360.streams.upgrade import upgrade
from tests.conftest import free_port
from tests.unit.engines.engine_specs import eventually, gone, tagged

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.faults]
PORTS = ("kafka", "kafka_controller", "registry", "registry_admin", "flink", "flink_gateway", "flink_rpc")
NAME, TABLE = "numbers", "bronze.numbers"
PLAIN = "SELECT id, amount FROM numbers"


class World:
    """One stack, one stream whose SQL a test may change, and how many numbers were sent."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.settings, self.sent, self.select = stack, stack.settings, 0, PLAIN
        job = StreamJob(NAME, "", Path(), ("numbers",), (TABLE,), 1, 1.0, 1.0, "running")
        self.streams = Streams(self.settings, {NAME: job}, self.render)

    def render(self, job: StreamJob, settings: Settings) -> list[str]:
        return [
            catalog_ddl(settings),
            "SET 'execution.checkpointing.interval' = '1 s'",
            "CREATE DATABASE IF NOT EXISTS lake.bronze",
            f"CREATE TABLE IF NOT EXISTS lake.{TABLE} (id BIGINT, amount DOUBLE) WITH ('format-version' = '2')",
            (
                "CREATE TEMPORARY TABLE numbers (id BIGINT, amount DOUBLE, seen AS PROCTIME()) WITH "
                f"('connector' = 'kafka', 'topic' = 'numbers', 'properties.bootstrap.servers' = "
                f"'{settings.kafka_servers}', 'properties.group.id' = 'numbers', "
                "'scan.startup.mode' = 'earliest-offset', 'format' = 'json')"
            ),
            f"EXECUTE STATEMENT SET BEGIN INSERT INTO lake.{TABLE} {self.select}; END",
        ]

    def send(self, count: int = 500) -> None:
        producer = Producer({"bootstrap.servers": self.settings.kafka_servers, "enable.idempotence": True})
        for number in range(self.sent, self.sent + count):
            producer.produce("numbers", json.dumps({"id": number, "amount": 1.0}), key=str(number))
        assert producer.flush(30) == 0
        self.sent += count

    def rows(self) -> dict[int, float]:
        """Amount by id; a repeated id fails the test. Read by PyIceberg alone."""
        from pyiceberg.catalog.sql import SqlCatalog

        catalog = SqlCatalog("lake", uri=str(self.settings.catalog_uri), warehouse=str(self.settings.warehouse))
        try:
            if not catalog.table_exists(TABLE):
                return {}
            found = catalog.load_table(TABLE).scan().to_arrow()
        finally:
            catalog.close()
        rows = found.to_pylist()
        by_id = {int(row["id"]): float(row["amount"]) for row in rows}
        assert len(by_id) == len(rows)
        return by_id

    def snapshots(self) -> list[Any]:
        """Every snapshot of the table, oldest first."""
        from pyiceberg.catalog.sql import SqlCatalog

        catalog = SqlCatalog("lake", uri=str(self.settings.catalog_uri), warehouse=str(self.settings.warehouse))
        try:
            return list(catalog.load_table(TABLE).snapshots())
        finally:
            catalog.close()

    def arrived(self) -> bool:
        return eventually(lambda: len(self.rows()) >= self.sent, 40) and set(self.rows()) == set(range(self.sent))

    def running(self) -> list[str]:
        """Ids of the jobs that run, as Flink itself tells."""
        listed = httpx.get(f"{self.settings.flink_address}/jobs/overview", timeout=10).json()["jobs"]
        return [job["jid"] for job in listed if job["state"] == "RUNNING"]

    def active(self) -> list[str]:
        listed = httpx.get(f"{self.settings.flink_address}/jobs/overview", timeout=10).json()["jobs"]
        return [job["jid"] for job in listed if job["state"] not in {"CANCELED", "FINISHED", "FAILED"}]

    def kill(self, *names: str) -> None:
        pids = {engine.name: engine.pid for engine in self.stack.status()}
        for name in names:
            os.kill(pids[name], signal.SIGKILL)
        assert eventually(lambda: all(e.state == "dead" for e in self.stack.status() if e.name in names))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    home = tmp_path_factory.mktemp("streams") / "a hömé"
    stack = Stack(Settings(home=home, **{f"{name}_port": free_port() for name in PORTS}))  # type: ignore[arg-type]
    try:
        stack.up("kafka", "flink")
        client = AdminClient({"bootstrap.servers": stack.settings.kafka_servers})
        client.create_topics([NewTopic("numbers", num_partitions=2, replication_factor=1)])["numbers"].result(20)
        world = World(stack)
        yield world
        world.streams.close()
    finally:
        started = tagged(stack.settings)
        stack.down()
    assert [process for process in started if not gone(process.pid)] == []


def test_started_by_several_at_once_it_runs_once(world: World) -> None:
    world.send()
    outcomes: list[object] = []

    def act(number: int) -> None:
        other = Streams(world.settings, world.streams.jobs, world.render)
        try:
            outcomes.append(reconcile(other, NAME) if number % 2 else other.start(NAME))
        except C360Error as error:
            outcomes.append(error)
        finally:
            other.close()

    threads = [threading.Thread(target=act, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 4
    assert eventually(lambda: len(world.running()) == 1, 30), outcomes
    with pytest.raises(StreamError, match=rf"runs already: {world.running()[0]}.*stop it first"):
        world.streams.start(NAME)
    assert world.arrived()
    assert len(world.running()) == 1


def test_killed_job_manager_and_worker_are_resumed_from_the_last_checkpoint(world: World) -> None:
    [before] = world.running()
    assert reconcile(world.streams, NAME).action.kind == "leave"
    world.kill("flink-jobmanager", "flink-taskmanager")
    world.send()
    noticed = reconcile(world.streams, NAME)
    assert (noticed.action.kind, noticed.ok) == ("wait", False)
    world.stack.up("flink")
    healed = reconcile(world.streams, NAME)
    assert (healed.action.kind, healed.error) == ("resume", None)
    assert healed.action.path is not None
    assert Path(healed.action.path).parent.name == before
    assert eventually(lambda: world.running() == [healed.job_id], 30)
    assert reconcile(world.streams, NAME).action.kind == "leave"
    assert world.arrived()


def test_stopped_by_a_person_it_stays_stopped_until_it_is_started_from_its_savepoint(world: World) -> None:
    savepoint = world.streams.stop(NAME)
    assert savepoint is not None
    world.send()
    assert [reconcile(world.streams, NAME).action.kind for _ in range(2)] == ["leave", "leave"]
    assert world.running() == []
    world.streams.start(NAME)
    newest = world.streams.records.read(NAME).newest
    assert newest is not None
    assert Path(str(newest.restored_from)).samefile(savepoint.removeprefix("file:"))
    assert world.arrived()


def test_cancelled_in_flinks_own_ui_it_is_held_and_said(world: World) -> None:
    [job] = world.running()
    httpx.patch(f"{world.settings.flink_address}/jobs/{job}", params={"mode": "cancel"}, timeout=10)
    assert eventually(lambda: world.active() == [], 30)
    held = reconcile(world.streams, NAME)
    assert (held.action.kind, held.ok) == ("hold", False)
    assert reconcile(world.streams, NAME).action.kind == "leave"
    world.streams.start(NAME)
    world.send()
    assert world.arrived()


def test_upgrade_that_died_between_two_jobs_is_resumed_from_its_savepoint(world: World) -> None:
    [job] = world.running()
    savepoint = world.streams.stop_job(world.streams.records.read(NAME), job)
    assert eventually(lambda: world.active() == [], 30)
    resumed = reconcile(world.streams, NAME)
    assert (resumed.action.kind, resumed.error) == ("resume", None)
    assert Path(str(resumed.action.path)).samefile(savepoint.removeprefix("file:"))
    world.send()
    assert world.arrived()


def test_state_older_than_the_tables_is_refused(world: World) -> None:
    savepoint = world.streams.stop(NAME)
    world.streams.start(NAME)
    world.send()
    assert world.arrived()
    world.streams.stop(NAME)
    with pytest.raises(StreamError, match=r"older than what stream numbers has committed.*newer state"):
        world.streams.start(NAME, savepoint)
    assert world.running() == []
    world.streams.start(NAME)
    assert world.arrived()


def test_start_without_state_is_refused_although_the_record_is_lost(world: World) -> None:
    world.streams.stop(NAME)
    settings, record = world.settings, world.streams.records.path(NAME)
    kept = record.read_text()
    hidden = [shutil.move(folder, f"{folder}-away") for folder in (settings.checkpoint_dir, settings.savepoint_dir)]
    record.unlink()
    try:
        with pytest.raises(StreamError, match=rf"no state to start from.*committed to {TABLE}.*--from PATH"):
            world.streams.start(NAME)
        given_up = reconcile(world.streams, NAME)
        assert (given_up.action.kind, given_up.ok) == ("give_up", False)
        assert world.running() == []
    finally:
        for folder in hidden:
            shutil.rmtree(folder.removesuffix("-away"), ignore_errors=True)
            shutil.move(folder, folder.removesuffix("-away"))
    # Checkpoints alone are enough: they tell whose they are.
    assert reconcile(world.streams, NAME).action.kind == "resume"
    record_now = record.read_text()
    assert record_now != kept
    world.send()
    assert world.arrived()


def test_compatible_sql_goes_on_with_the_state_and_incompatible_sql_back_to_the_old(world: World) -> None:
    boundary = world.sent
    world.select = "SELECT id, amount * 2 FROM numbers"
    assert status(world.streams, NAME).changed
    done = upgrade(world.streams, NAME)
    assert (done.result, done.reason) == ("upgraded", "")
    world.send()
    assert world.arrived()
    assert {number for number, amount in world.rows().items() if amount == 2.0} == set(range(boundary, world.sent))
    assert upgrade(world.streams, NAME).result == "unchanged"

    world.select = (
        "SELECT id, amount * 3 FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY id ORDER BY seen) AS n FROM numbers) "
        "WHERE n = 1"
    )
    fallen = upgrade(world.streams, NAME)
    assert fallen.result == "fell_back"
    assert "state" in fallen.reason
    assert world.running() == [fallen.job_id]
    world.send()
    assert world.arrived()
    assert set(world.rows().values()) == {1.0, 2.0}
    assert reconcile(world.streams, NAME).action.kind == "leave"
    seen = status(world.streams, NAME)
    assert (seen.as_wanted, seen.changed, seen.state) == (True, True, "RUNNING")


def test_dagsters_sensors_heal_and_tell_every_commit_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Worker and JobManager die; two ticks at most heal them and the job; commits are told once each."""
    from c360_assets.defs.streaming import sensors
    from c360_assets.resources.streams import StreamsResource

    jobs = world.streams.jobs
    monkeypatch.setattr("c360.streams.runner.load_jobs", lambda: jobs)
    monkeypatch.setattr("c360.streams.runner.statements", world.render)
    monkeypatch.setattr(sensors, "load_jobs", lambda: jobs)
    monkeypatch.setattr(StreamsResource, "open", lambda _: contextlib.nullcontext(world.streams))
    monkeypatch.setattr(StreamsResource, "settings", lambda _: world.settings)
    resources = {"streams": StreamsResource(home=str(world.settings.home))}
    cursors: dict[str, str | None] = {}

    with dg.DagsterInstance.ephemeral() as instance:

        def tick(sensor: dg.SensorDefinition) -> list[Any]:
            context = dg.build_sensor_context(
                instance=instance, cursor=cursors.get(sensor.name), resources=resources, sensor_name=sensor.name
            )
            result = sensor(context)
            assert isinstance(result, dg.SensorResult)
            cursors[sensor.name] = result.cursor
            for event in result.asset_events:
                instance.report_runless_asset_event(event)
            return list(result.asset_events)

        [fine] = tick(sensors.stream_reconciler)
        assert (fine.check_name, fine.passed) == ("running", True)
        assert tick(sensors.stream_reconciler) == []
        world.kill("flink-jobmanager", "flink-taskmanager")
        [healed] = tick(sensors.stream_reconciler)
        assert {engine.state for engine in world.stack.status()} == {"running"}
        if not healed.passed:  # the new worker was not known to the new JobManager yet
            assert healed.severity == dg.AssetCheckSeverity.ERROR
            [healed] = tick(sensors.stream_reconciler)
        assert healed.passed
        assert healed.description.startswith("wanted running: resume")
        [left] = tick(sensors.stream_reconciler)
        assert left.description.startswith("wanted running: leave")
        world.send()
        assert world.arrived()
        levels = {event.check_name: event.metadata["level"].value for event in tick(sensors.stream_health)}
        assert set(levels) == {
            *("lag", "checkpoint_age", "restarts", "commit_freshness", "event_time_freshness", "dead_letters")
        }
        assert levels["checkpoint_age"] == levels["commit_freshness"] == "ok"
        assert levels["restarts"] in {"warn", "error"}
        world.streams.stop(NAME)
        told = tick(sensors.stream_snapshots)
        assert tick(sensors.stream_snapshots) == []
        cursors[sensors.stream_snapshots.name] = None  # a crash before the cursor was stored
        assert tick(sensors.stream_snapshots) == []
        history = world.snapshots()
        assert [event.metadata["snapshot_id"].value for event in told] == [str(each.snapshot_id) for each in history]
        assert sum(event.metadata["rows_added"].value for event in told) == world.sent
        assert all(event.metadata["checkpoint_id"].value > 0 for event in told)
        [stopped] = tick(sensors.stream_reconciler)
        assert (stopped.passed, stopped.description) == (True, "wanted stopped: leave: it is wanted stopped")


def test_prometheus_is_told_what_flink_and_the_tables_say(world: World) -> None:
    from c360.streams.exporter import StreamCollector

    if not world.streams.look(NAME).active:
        world.streams.start(NAME)
    world.send()
    assert world.arrived()
    registry = CollectorRegistry()
    registry.register(StreamCollector(world.streams))

    def told(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert eventually(lambda: told("c360_stream_lag_records", stream=NAME) == 0, 60)
    assert told("c360_stream_running", stream=NAME) == told("c360_stream_as_wanted", stream=NAME) == 1
    assert told("c360_stream_scrape_error", stream=NAME) == 0
    age = told("c360_stream_commit_age_seconds", stream=NAME, table=TABLE)
    assert age is not None
    newest = max(snapshot.timestamp_ms for snapshot in world.snapshots()) / 1000
    assert 0 <= age <= time.time() - newest + 60
    assert told("c360_engine_up", engine="flink-taskmanager") == 1
    world.streams.stop(NAME)
    assert told("c360_stream_running", stream=NAME) == told("c360_stream_wanted", stream=NAME) == 0
    world.kill("flink-taskmanager")
    assert told("c360_engine_up", engine="flink-taskmanager") == 0
    world.stack.up("flink")
