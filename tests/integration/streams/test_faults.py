"""Readers, upkeep and faults while a stream reads: healed or told, and every message where it belongs, once.

These tests have engines of their own, because the ledger's tests compare whole tables.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import polars as pl
import pytest

from c360.lakehouse import Lakehouse
from c360.lakehouse.maintenance import Policy, maintain
from c360.streams.health import judge
from c360.streams.reconcile import Outcome, heal, reconcile
from c360.streams.status import describe
from tests.integration.streams.conftest import started
from tests.integration.streams.sending import METRICS, STREAM, TABLES, WINDOW, Sender, require_exact
from tests.unit.engines.engine_specs import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

    from tests.integration.streams.conftest import World

pytestmark = [pytest.mark.integration, pytest.mark.faults]
STRICT = Policy(keep_snapshots_for=timedelta(0), keep_snapshots_at_least=1, small_files_at_least=2)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Engines of this file's own, where one stream runs."""
    with started(tmp_path_factory.mktemp("faults")) as world:
        assert eventually(lambda: tick(world).ok and checkpointed(world), 180)  # a busy machine may need a second try
        yield world


def heads(world: World) -> dict[str, int | None]:
    with Lakehouse(world.settings) as lake:
        return {table: lake.snapshot(table) if lake.exists(table) else None for table in TABLES}


def test_three_engines_read_the_same_while_flink_commits(world: World, spark: SparkSession) -> None:
    """Nine of ten messages have one key, which must not cost any either."""
    before = heads(world)
    read: dict[str, set[int]] = {table: set() for table in TABLES}
    with Sender(world) as sender:
        assert eventually(lambda: all(heads(world)[table] not in {before[table], None} for table in TABLES), 120)
        began = heads(world)
        while any(len(found) < 2 for found in read.values()):
            for table, snapshot in heads(world).items():
                assert snapshot is not None
                if snapshot in read[table]:
                    continue
                counts = world.read_by_each(
                    spark, table, "event_count" if table == METRICS else "kafka_offset", snapshot
                )
                assert len(set(counts.values())) == 1, (table, counts)
                read[table].add(snapshot)
        assert all(heads(world)[table] != began[table] for table in TABLES)
    require_exact(world, sender)
    rows = world.of(METRICS, "raw-metrics", "window_start", "window_end", "measure", "event_count")
    counted = rows.filter(pl.col("measure") == sender.name)
    windows = {row[0]: row[2] for row in counted.select("window_start", "window_end", "event_count").iter_rows()}
    assert len(windows) == counted.height > 0
    closed = max(windows) + WINDOW
    assert windows == {start: count for start, count in sender.windows.items() if start + WINDOW <= closed}


def test_upkeep_in_a_loop_beside_flink_loses_no_commit(world: World, spark: SparkSession) -> None:
    rewritten = expired = 0
    with Sender(world) as sender, Lakehouse(world.settings) as lake:
        for round_ in range(2):
            for table in TABLES:
                soon = datetime.now(UTC) + timedelta(minutes=5)
                done = maintain(lake, spark, table, needed={}, now=soon, policy=STRICT)
                rewritten, expired = rewritten + done.rewritten_files, expired + done.expired_snapshots
            if round_ == 0:  # a sink that is restored finds its last commit although upkeep came after it
                world.kill("flink-taskmanager")
                world.tick(STREAM)
            sender.wait_more()
    assert rewritten > 0
    assert expired > 0
    require_exact(world, sender)
    assert {commit.table for commit in world.streams.look(STREAM).commits if commit.known} == set(TABLES)


def job_id(world: World) -> str:
    [job] = world.streams.look(STREAM).active
    return job.id


def checkpointed(world: World) -> bool:
    active = world.streams.look(STREAM).active
    return (
        len(active) == 1 and active[0].state == "RUNNING" and world.streams.flink.checkpoint(active[0].id) is not None
    )


def has_failed_checkpoints(world: World, job: str) -> bool:
    """As Flink itself tells."""
    told = httpx.get(f"{world.settings.flink_address}/jobs/{job}/checkpoints", timeout=20).json()
    return int(told["counts"]["failed"]) > 0


def tick(world: World) -> Outcome:
    """One tick of the reconciling sensor."""
    heal(world.settings)
    return reconcile(world.streams, STREAM)


def levels(world: World) -> dict[str, str]:
    """What the sensor of health says."""
    sight, now = world.streams.look(STREAM), datetime.now(UTC)
    seen = describe(world.streams, sight)
    return {each.check: each.level for each in judge(sight.job, seen, sight.commits, seen.restarts, None, now)}


def test_killed_gateway_and_broker_are_healed_and_cost_no_message(world: World) -> None:
    with Sender(world) as sender:
        sender.wait_more()
        for victim in ("flink-gateway", "kafka"):
            world.kill(victim)
            assert eventually(partial(is_dead, world, victim))
            tick(world)
            assert state_of(world, victim) == "running"
            sender.wait_more()
    require_exact(world, sender)


def state_of(world: World, engine: str) -> str:
    return {each.name: each.state for each in world.stack.status()}[engine]


def is_dead(world: World, engine: str) -> bool:
    return state_of(world, engine) == "dead"


def test_a_command_killed_amid_a_start_leaves_one_job_and_no_gap(world: World) -> None:
    world.streams.stop(STREAM)
    before = world.streams.records.read(STREAM).newest
    settings = world.settings.model_dump(include={n for n in type(world.settings).model_fields if n.endswith("_port")})
    env = {**os.environ, **{f"C360_{name.upper()}": str(value) for name, value in settings.items()}}
    env |= {"C360_HOME": str(world.settings.home)}
    with Sender(world) as sender:
        script = "from c360.cli.main import main; main()"
        with subprocess.Popen([sys.executable, "-c", script, "streams", "start", STREAM], env=env) as command:
            assert eventually(lambda: world.streams.records.read(STREAM).newest != before, 60)
            command.kill()
        launch = world.streams.records.read(STREAM).newest
        assert launch is not None
        assert not launch.confirmed
        assert eventually(lambda: tick(world).action.kind == "leave" and checkpointed(world), 120)
    require_exact(world, sender)


def test_a_stopped_worker_is_told_within_two_ticks_and_goes_on(world: World) -> None:
    pid = {engine.name: engine.pid for engine in world.stack.status()}["flink-taskmanager"]
    with Sender(world) as sender:
        sender.wait_more()
        os.kill(pid, signal.SIGSTOP)
        try:
            assert eventually(lambda: not tick(world).ok, 30)  # two ticks of 15 s
            assert "no TaskManager" in tick(world).action.reason
        finally:
            os.kill(pid, signal.SIGCONT)
        assert eventually(lambda: tick(world).ok and checkpointed(world), 120)
    require_exact(world, sender)


def test_checkpoints_that_cannot_be_written_or_are_deleted_are_replaced_within_two_ticks(world: World) -> None:
    """A file in place of the folder fails every checkpoint; a deleted folder only those that build on what it held."""
    with Sender(world) as sender:
        for deleted in (False, True):
            job, before = job_id(world), levels(world)
            folder = world.settings.checkpoint_dir / job
            sender.wait_more()
            shutil.rmtree(folder)
            if not deleted:
                folder.write_text("no folder")
                assert eventually(partial(has_failed_checkpoints, world, job), 60)
            first = tick(world)
            assert (first.action.kind, first.error, first.ok) == ("renew", None, False), before
            second = tick(world)
            assert (second.action.kind, second.error) == ("resume", None)
            assert str(second.action.path).startswith(str(world.settings.savepoint_dir))
            assert eventually(lambda: checkpointed(world), 120)
            assert job_id(world) != job
    require_exact(world, sender)


def test_without_any_state_that_fits_nothing_starts_from_nothing(world: World) -> None:
    """The checkpoints are gone and the job with them: refused and told until they are back, and never from scratch."""
    with Sender(world) as sender:
        sender.wait_more()
        job, folder = job_id(world), world.settings.checkpoint_dir
        world.kill("flink-jobmanager")
        assert eventually(partial(is_dead, world, "flink-jobmanager"))
        away = folder.rename(folder.with_name("away"))
        folder.mkdir()
        try:
            told = [tick(world) for _ in range(2)]
            assert [each.ok for each in told] == [False, False]
            assert {each.action.kind for each in told} <= {"wait", "resume", "give_up"}
            assert world.streams.look(STREAM).active == ()
        finally:
            shutil.rmtree(folder)
            away.rename(folder)
        assert eventually(lambda: tick(world).ok and checkpointed(world), 150)
        newest = world.streams.records.read(STREAM).newest
        assert newest is not None
        assert Path(str(newest.restored_from)).parent.name == job
    require_exact(world, sender)
