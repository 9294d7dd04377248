"""What a consumer has not seen yet: each appended row once, and everything when the difference is not known."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pyiceberg.table import Table, Transaction
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update import AddSnapshotUpdate

from c360.contracts import Column, PartitionBy
from c360.lakehouse import Lakehouse
from c360.lakehouse.commits import add_snapshot
from c360.lakehouse.files import read_tasks, write_rows
from c360.lakehouse.retention import retain
from tests.unit.lakehouse.shapes import commit, contract, ids, put, things

NAME = contract().name


def compact(lake: Lakehouse, name: str) -> None:
    """Replace all data files by one with the same rows, as a compaction does: a snapshot that changes no row."""
    table = lake.table(name)
    tasks = list(table.scan().plan_files())
    files = write_rows(table, read_tasks(table, tasks).cast(lake.empty(name).schema))

    def change(fresh: Table) -> Transaction:
        transaction = fresh.transaction()
        add_snapshot(transaction, MAIN_BRANCH, {}, files, [task.file for task in tasks])
        [added] = [u for u in transaction._updates if isinstance(u, AddSnapshotUpdate)]
        assert added.snapshot.summary is not None
        object.__setattr__(added.snapshot.summary, "operation", Operation.REPLACE)
        return transaction

    lake.commit(name, change, "compact")
    assert lake.history(name)[0].operation == "replace"


@pytest.fixture
def seen(lake: Lakehouse) -> int:
    """The snapshot a consumer has read: rows 0 to 2."""
    lake.ensure(contract(partitioning=(PartitionBy("day", "month"),), retention_days=30))
    return put(lake, NAME, things(range(3)))


def test_nothing_new(lake: Lakehouse, seen: int) -> None:
    found = lake.changes(NAME, seen)
    assert (found.rows.num_rows, found.snapshot_id, found.is_full) == (0, seen, False)
    assert found.rows.column_names == ["id", "name", "day"]


def test_the_first_look_is_full(lake: Lakehouse, seen: int) -> None:
    found = lake.changes(NAME, None)
    assert (ids(found.rows), found.snapshot_id, found.is_full) == ([0, 1, 2], seen, True)


def test_rows_of_all_commits_since_each_once(lake: Lakehouse, seen: int) -> None:
    for i in (10, 11):
        with lake.stage(NAME, commit()) as staged:
            staged.append(things([i]))
            assert staged.changed_rows().num_rows == 1
            staged.append(things([i + 10]))
            head = staged.publish()
    found = lake.changes(NAME, seen, ["id"])
    assert (ids(found.rows), found.snapshot_id, found.is_full) == ([10, 11, 20, 21], head, False)
    assert found.rows.column_names == ["id"]


def test_compaction_repeats_and_hides_no_row(lake: Lakehouse, seen: int) -> None:
    put(lake, NAME, things([10]))
    compact(lake, NAME)
    put(lake, NAME, things([11]))
    compact(lake, NAME)
    found = lake.changes(NAME, seen)
    assert (ids(found.rows), found.is_full) == ([10, 11], False)
    assert ids(lake.read(NAME)) == [0, 1, 2, 10, 11]


def test_retention_repeats_and_hides_no_row(lake: Lakehouse, seen: int) -> None:
    put(lake, NAME, things([10]))
    of = contract(partitioning=(PartitionBy("day", "month"),), retention_days=30)
    # Rows 0 and 1 lie on January 1 and 2, 2025.
    assert retain(lake, of, datetime(2025, 2, 2, tzinfo=UTC), "upkeep") == 2
    put(lake, NAME, things([11]))
    assert ids(lake.read(NAME)) == [2, 10, 11]
    found = lake.changes(NAME, seen)
    assert (ids(found.rows), found.is_full) == ([10, 11], False)
    last = lake.last_commit(NAME)
    assert last is not None
    assert last.run_id == "run"


@pytest.mark.parametrize("how", ["overwrite", "overwrite where", "delete", "merge", "replace"])
def test_rows_replaced_since_are_a_full_difference(lake: Lakehouse, seen: int, how: str) -> None:
    with lake.stage(NAME, commit()) as staged:
        match how:
            case "overwrite":
                staged.overwrite(things([7]))
            case "overwrite where":
                staged.overwrite(things([1], "x"), where="id = 1")
            case "delete":
                staged.delete("id = 1")
            case "merge":
                staged.merge(things([1], "x"), ["id"])
            case "replace":
                staged.replace(things([1], "x"), ["id"], things([1]))
        staged.publish()
    put(lake, NAME, things([30]))
    found = lake.changes(NAME, seen)
    assert found.is_full
    assert ids(found.rows) == ids(lake.read(NAME))


def test_a_merge_of_new_keys_only_is_an_append(lake: Lakehouse, seen: int) -> None:
    with lake.stage(NAME, commit()) as staged:
        staged.merge(things([1, 50]), ["id"])
        staged.publish()
    found = lake.changes(NAME, seen)
    assert (ids(found.rows), found.is_full) == ([50], False)


def test_a_rollback_is_a_full_difference(lake: Lakehouse, seen: int) -> None:
    later = put(lake, NAME, things([10]))
    lake.rollback(NAME, seen)
    put(lake, NAME, things([20]))
    assert lake.changes(NAME, later).is_full
    assert ids(lake.changes(NAME, later).rows) == [0, 1, 2, 20]
    assert ids(lake.changes(NAME, seen).rows) == [20]


def test_an_expired_snapshot_is_a_full_difference(lake: Lakehouse, seen: int) -> None:
    put(lake, NAME, things([10]))
    last = put(lake, NAME, things([20]))
    lake.table(NAME).maintenance.expire_snapshots().by_id(seen).commit()
    assert lake.changes(NAME, seen).is_full
    assert ids(lake.changes(NAME, seen).rows) == [0, 1, 2, 10, 20]
    assert not lake.changes(NAME, last).is_full


def test_a_gap_in_the_line_is_a_full_difference(lake: Lakehouse, seen: int) -> None:
    gap = put(lake, NAME, things([10]))
    put(lake, NAME, things([20]))
    lake.table(NAME).maintenance.expire_snapshots().by_id(gap).commit()
    found = lake.changes(NAME, seen)
    assert (ids(found.rows), found.is_full) == ([0, 1, 2, 10, 20], True)


def test_rows_of_before_and_after_an_evolution(lake: Lakehouse, seen: int) -> None:
    put(lake, NAME, things([10]))
    wider = contract(
        (*contract().columns, Column("more", "string")), partitioning=(PartitionBy("day", "day"),), version="1.1.0"
    )
    lake.ensure(wider)
    put(lake, NAME, things([11]))
    found = lake.changes(NAME, seen)
    assert (ids(found.rows), found.is_full) == ([10, 11], False)
    assert found.rows.column_names == ["id", "name", "day", "more"]


def test_an_unknown_snapshot_is_a_full_difference(lake: Lakehouse, seen: int) -> None:
    assert lake.changes(NAME, 12345).is_full
    assert lake.changes(NAME, 12345).snapshot_id == seen
