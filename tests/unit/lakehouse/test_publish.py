"""Write, audit, publish: main changes by one checked swap, or not at all."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from pyiceberg.table import Table

from c360.contracts import PartitionBy
from c360.errors import LakehouseError, PublishConflict
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from tests.unit.lakehouse.shapes import commit, contract, ids, put, things

NAME = contract().name


@pytest.fixture
def table(lake: Lakehouse) -> Table:
    return lake.ensure(contract())


@pytest.mark.usefixtures("table")
class TestLedger:
    def test_what_the_writer_said_is_read_back(self, lake: Lakehouse) -> None:
        head = put(
            lake,
            NAME,
            things(range(4)),
            "run-1",
            sources={"bronze.a": 2**62, "bronze.b": 7},
            watermark="2025-03-01",
            contract_version="1.2.0",
            extra={"c360.files": "3"},
        )
        found = lake.last_commit(NAME)
        assert found is not None
        assert (found.snapshot_id, found.run_id, found.watermark) == (head, "run-1", "2025-03-01")
        assert (found.contract_version, found.rows, found.extra["c360.files"]) == ("1.2.0", 4, "3")
        assert found.sources == {"bronze.a": 2**62, "bronze.b": 7}

    def test_a_commit_of_nothing_is_recorded(self, lake: Lakehouse) -> None:
        put(lake, NAME, things([1]), "first", watermark="2025-01-01")
        for run, rows in (("empty table", things([])), ("nothing", None)):
            before = lake.snapshot(NAME)
            with lake.stage(NAME, commit(run, watermark="2025-01-02")) as staged:
                if rows is not None:
                    staged.append(rows)
                staged.publish()
            last = lake.last_commit(NAME)
            assert last is not None
            assert (last.run_id, last.watermark, last.rows) == (run, "2025-01-02", 1)
            assert lake.changes(NAME, before).rows.num_rows == 0
            assert not lake.changes(NAME, before).is_full

    def test_a_snapshot_of_another_engine_gets_the_ledger_on_top(self, lake: Lakehouse) -> None:
        with lake.stage(NAME, commit("outside", sources={"x.y": 1})) as staged:
            lake.table(NAME).append(things([5]).cast(lake.empty(NAME).schema), branch=staged.branch)
            assert ids(staged.changed_rows()) == [5]
            head = staged.publish()
        assert [(c.snapshot_id == head, c.run_id) for c in lake.history(NAME)[:2]] == [(True, "outside"), (False, None)]
        last = lake.last_commit(NAME)
        assert last is not None
        assert (last.snapshot_id, last.sources) == (head, {"x.y": 1})


@pytest.mark.usefixtures("table")
class TestPublish:
    def test_the_audit_sees_the_write_and_readers_do_not(self, lake: Lakehouse) -> None:
        base = put(lake, NAME, things(range(3)))
        with lake.stage(NAME, commit()) as staged:
            staged.append(things([10]))
            staged.append(things([11]))
            assert ids(staged.changed_rows()) == [10, 11]
            assert staged.changed_rows(["name"]).to_pylist() == [{"name": "n10"}, {"name": "n11"}]
            assert ids(staged.rows()) == [0, 1, 2, 10, 11]
            assert ids(staged.rows(["id"], where="id >= 2")) == [2, 10, 11]
            assert ids(lake.read(NAME)) == [0, 1, 2]
            assert lake.snapshot(NAME) == base
            head = staged.publish()
        assert lake.snapshot(NAME) == head
        assert ids(lake.read(NAME)) == [0, 1, 2, 10, 11]
        assert set(lake.refs(NAME)) == {"main"}

    def test_after_a_replacement_the_audit_sees_its_scope_alone(self, lake: Lakehouse) -> None:
        put(lake, NAME, things(range(6)))
        with lake.stage(NAME, commit()) as staged:
            staged.replace(things([2, 40], "x"), ["id"], things([1, 2, 40]).select(["id"]))
            assert sorted(ids(staged.changed_rows(["id"]))) == [2, 40]
            assert set(staged.changed_rows(["name"])["name"].to_pylist()) == {"x2", "x40"}
            staged.append(things([50]))
            # with another write beside it the scope says nothing: all rows of the new files
            assert sorted(ids(staged.changed_rows())) == [0, 2, 3, 4, 5, 40, 50]

    def test_before_a_write_there_is_nothing_changed_and_no_branch(self, lake: Lakehouse) -> None:
        put(lake, NAME, things([1]))
        with lake.stage(NAME, commit()) as staged:
            assert staged.changed_rows(["id"]).num_rows == 0
            assert ids(staged.rows()) == [1]
        assert set(lake.refs(NAME)) == {"main"}

    def test_leaving_without_publishing_keeps_main_and_the_branch(self, lake: Lakehouse) -> None:
        base = put(lake, NAME, things([1]))
        with lake.stage(NAME, commit("lost")) as staged:
            staged.append(things([2]))
        assert lake.snapshot(NAME) == base
        assert ids(lake.read(NAME, ref=staged.branch)) == [1, 2]
        assert staged.branch.startswith("audit_lost_")
        with pytest.raises(LakehouseError, match="already published or abandoned"):
            staged.publish()

    def test_an_abandoned_write_says_why(self, lake: Lakehouse) -> None:
        base = put(lake, NAME, things([1]))
        with lake.stage(NAME, commit()) as staged:
            staged.append(things([2]))
            staged.abandon("two is too many")
            with pytest.raises(LakehouseError, match="already published or abandoned"):
                staged.publish()
        head = lake.last_commit(NAME, staged.branch)
        assert head is not None
        assert head.extra["c360.abandoned"] == "two is too many"
        assert lake.snapshot(NAME) == base

    def test_an_error_inside_leaves_main(self, lake: Lakehouse) -> None:
        base = put(lake, NAME, things([1]))
        with pytest.raises(LakehouseError, match="columns its table lacks"), lake.stage(NAME, commit()) as staged:  # noqa: PT012
            staged.append(things([2]))
            staged.append(things([3]).rename_columns(["id", "name", "date"]))
        assert lake.snapshot(NAME) == base

    def test_a_moved_main_refuses_and_names_the_mend(self, lake: Lakehouse) -> None:
        put(lake, NAME, things([1]))
        with lake.stage(NAME, commit("slow")) as slow:
            slow.append(things([2]))
            winner = put(lake, NAME, things([3]), "fast")
            with pytest.raises(PublishConflict, match="rerun"):
                slow.publish()
        assert lake.snapshot(NAME) == winner
        assert ids(lake.read(NAME)) == [1, 3]
        put(lake, NAME, things([2]), "slow again")
        assert ids(lake.read(NAME)) == [1, 2, 3]

    def test_main_moved_away_and_back_is_not_a_conflict(self, lake: Lakehouse) -> None:
        base = put(lake, NAME, things([1]))
        with lake.stage(NAME, commit()) as staged:
            staged.append(things([2]))
            put(lake, NAME, things([3]))
            lake.rollback(NAME, base)
            staged.publish()
        assert ids(lake.read(NAME)) == [1, 2]

    def test_a_branch_that_does_not_descend_from_main_is_refused(self, lake: Lakehouse) -> None:
        first = lake.snapshot(NAME)
        assert first is not None
        base = put(lake, NAME, things([1]))
        with lake.stage(NAME, commit()) as staged:
            staged.append(things([2]))
            assert ids(staged.rows()) == [1, 2]
            table = lake.table(NAME)
            table.manage_snapshots().remove_branch(staged.branch).commit()
            lake.table(NAME).manage_snapshots().create_branch(first, staged.branch).commit()
            with pytest.raises(PublishConflict, match="does not descend"):
                staged.publish()
        assert lake.snapshot(NAME) == base

    def test_refs_that_others_change_do_not_stand_in_the_way(self, lake: Lakehouse) -> None:
        base = put(lake, NAME, things([1]))
        with lake.stage(NAME, commit()) as staged:
            staged.append(things([2]))
            lake.tag(NAME, "t", base)
            with lake.stage(NAME, commit("other")) as other:
                other.append(things([3]))
            staged.publish()
        assert ids(lake.read(NAME)) == [1, 2]
        assert set(lake.refs(NAME)) == {"main", "t", other.branch}


@pytest.mark.parametrize("partitioning", [(), (PartitionBy("day", "month"),), (PartitionBy("id", "identity"),)])
def test_overwrite_and_delete(lake: Lakehouse, partitioning: tuple[PartitionBy, ...]) -> None:
    lake.ensure(contract(partitioning=partitioning))
    put(lake, NAME, things(range(6)))
    with lake.stage(NAME, commit("some")) as staged:
        staged.overwrite(things([2, 40], "x"), where="id >= 2 and id <= 3")
        assert 2 in ids(staged.changed_rows())
        staged.publish()
    assert ids(lake.read(NAME)) == [0, 1, 2, 4, 5, 40]
    assert lake.read(NAME, where="id = 2")["name"].to_pylist() == ["x2"]
    with lake.stage(NAME, commit("none met")) as staged:
        staged.overwrite(things([]), where="id > 1000")
        staged.delete("id > 1000")
        staged.publish()
    assert ids(lake.read(NAME)) == [0, 1, 2, 4, 5, 40]
    with lake.stage(NAME, commit("delete")) as staged:
        staged.delete("id < 2")
        staged.publish()
    assert ids(lake.read(NAME)) == [2, 4, 5, 40]
    with lake.stage(NAME, commit("all")) as staged:
        staged.append(things([77]))
        staged.overwrite(things([7]))
        staged.publish()
    assert ids(lake.read(NAME)) == [7]
    last = lake.last_commit(NAME)
    assert last is not None
    assert (last.run_id, last.rows) == ("all", 1)


def test_killed_between_write_and_publish_leaves_main_and_a_rerun_succeeds(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with Lakehouse(Settings(home=home)) as lake:
        lake.ensure(contract())
        base = put(lake, NAME, things([1]))
        writer = """
            import sys, time
            from pathlib import Path
            from c360.lakehouse import Lakehouse
            from c360.settings import Settings
            from tests.unit.lakehouse.shapes import commit, contract, things

            lake = Lakehouse(Settings(home=Path(sys.argv[1])))
            with lake.stage(contract().name, commit("rerun")) as staged:
                staged.append(things([2, 3]))
                assert staged.changed_rows().num_rows == 2
                print("staged", flush=True)
                time.sleep(60)
                staged.publish()
        """
        command = [sys.executable, "-c", textwrap.dedent(writer), str(home)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": "."}) as run:
            assert run.stdout is not None
            assert run.stdout.readline() == "staged\n"
            run.send_signal(signal.SIGKILL)
            assert run.wait(10) == -signal.SIGKILL
        assert lake.snapshot(NAME) == base
        assert ids(lake.read(NAME)) == [1]
        assert len(lake.refs(NAME)) == 2
        put(lake, NAME, things([2, 3]), "rerun")
        assert ids(lake.read(NAME)) == [1, 2, 3]


def _publish_many(home: Path, first: int, count: int, tables: list[str]) -> None:
    with Lakehouse(Settings(home=home)) as lake:
        for i in range(first, first + count):
            for name in tables:
                for _ in range(200):
                    try:
                        put(lake, name, things([i]), f"run {i}")
                    except PublishConflict:
                        time.sleep(0.01)
                        continue
                    break


def test_two_processes_publishing_to_shared_and_own_tables_lose_nothing(tmp_path: Path) -> None:
    home, count = tmp_path / "home", 6
    with Lakehouse(Settings(home=home)) as lake:
        for table in ("shared", "own0", "own1"):
            lake.ensure(contract(name=f"silver.{table}"))
        processes = multiprocessing.get_context("spawn")
        runs = [
            processes.Process(target=_publish_many, args=(home, 100 * i, count, ["silver.shared", f"silver.own{i}"]))
            for i in range(2)
        ]
        for run in runs:
            run.start()
        for run in runs:
            run.join(120)
        assert [run.exitcode for run in runs] == [0, 0]
        assert ids(lake.read("silver.shared")) == [*range(count), *range(100, 100 + count)]
        assert ids(lake.read("silver.own0")) == [*range(count)]
        assert ids(lake.read("silver.own1")) == [*range(100, 100 + count)]
        runs_of_shared = [c.run_id for c in lake.history("silver.shared") if c.run_id]
        assert sorted(runs_of_shared) == sorted(f"run {i}" for i in (*range(count), *range(100, 100 + count)))


def test_a_catalog_locked_for_too_long_is_said_and_nothing_is_published(settings: Settings) -> None:
    with Lakehouse(settings, lock_timeout_s=0.5) as lake:
        lake.ensure(contract())
        base = put(lake, NAME, things([1]))
        with lake.stage(NAME, commit()) as staged:
            staged.append(things([2]))
            other = sqlite3.connect(settings.home / "catalog.db", isolation_level=None)
            try:
                other.execute("BEGIN EXCLUSIVE")
                started = time.monotonic()
                with pytest.raises(LakehouseError, match=r"locked for longer than the timeout.*Mend: let that process"):
                    staged.publish()
                assert time.monotonic() - started < 10
            finally:
                other.rollback()
                other.close()
            assert lake.snapshot(NAME) == base
            staged.publish()
        assert ids(lake.read(NAME)) == [1, 2]


def test_a_catalog_locked_for_a_moment_is_waited_for(settings: Settings) -> None:
    with Lakehouse(settings, lock_timeout_s=20) as lake:
        lake.ensure(contract())
        holder = """
            import sqlite3, sys, time
            held = sqlite3.connect(sys.argv[1], isolation_level=None)
            held.execute("BEGIN EXCLUSIVE")
            print("held", flush=True)
            time.sleep(1.5)
            held.rollback()
        """
        command = [sys.executable, "-c", textwrap.dedent(holder), str(settings.home / "catalog.db")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            assert run.stdout.readline() == "held\n"
            put(lake, NAME, things([1]))
            assert run.wait(10) == 0
        assert ids(lake.read(NAME)) == [1]
