"""Merge by key: which files it touches, what it refuses, and tables that are not as tidy as they should be."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from c360.contracts import Column, PartitionBy, to_arrow
from c360.errors import C360Error
from c360.lakehouse import Lakehouse, MergeResult
from tests.unit.lakehouse.shapes import commit, contract, ids, put, things

NAME = contract().name


def merge(lake: Lakehouse, rows: pa.Table, *on: str) -> MergeResult:
    with lake.stage(NAME, commit()) as staged:
        result = staged.merge(rows, on or ("id",))
        staged.publish()
    return result


def paths(lake: Lakehouse) -> set[str]:
    return {task.file.file_path for task in lake.table(NAME).scan().plan_files()}


def counts(result: MergeResult) -> tuple[int, int, int, int]:
    return result.inserted, result.replaced, result.unchanged, result.deleted


@pytest.fixture
def tens(lake: Lakehouse) -> Lakehouse:
    """Ten files of ten rows; each holds one range of ids."""
    lake.ensure(contract())
    with lake.stage(NAME, commit()) as staged:
        for i in range(10):
            staged.append(things(range(10 * i, 10 * i + 10)))
        staged.publish()
    return lake


def test_only_files_with_a_changed_row_are_rewritten(tens: Lakehouse) -> None:
    before = paths(tens)
    rows = pa.concat_tables([things([5], "x"), things([25, 26]), things([37], "y"), things([200])])
    result = merge(tens, rows)
    assert counts(result) == (1, 2, 2, 0)
    assert len(before & paths(tens)) == 8
    assert len(paths(tens)) == 11
    read = tens.read(NAME)
    assert ids(read) == [*range(100), 200]
    assert {r["id"]: r["name"] for r in read.to_pylist() if r["id"] in {5, 25, 37, 200}} == {
        5: "x5",
        25: "n25",
        37: "y37",
        200: "n200",
    }


def test_rewritten_files_keep_their_key_range(tens: Lakehouse) -> None:
    for turn in range(3):
        merge(tens, things([5, 15], f"x{turn}"))
    assert len(paths(tens)) == 10
    untouched = merge(tens, things([5, 15], "x2"))
    assert counts(untouched) == (0, 0, 2, 0)
    assert (untouched.added, untouched.removed) == ([], [])


def test_files_out_of_bounds_are_not_opened(tens: Lakehouse) -> None:
    table = tens.table(NAME)
    for task in table.scan().plan_files():
        if task.file.lower_bounds and task.file.lower_bounds[1] != b"\x1e" + b"\0" * 7:
            table.io.delete(task.file.file_path)
    assert counts(merge(tens, things([30, 31, 39], "x"))) == (0, 3, 0, 0)
    assert counts(merge(tens, things([1000, -5]))) == (2, 0, 0, 0)


def test_an_unchanged_merge_makes_no_file_and_still_records_the_ledger(tens: Lakehouse) -> None:
    before, files = tens.snapshot(NAME), paths(tens)
    result = merge(tens, things(range(100)))
    assert counts(result) == (0, 0, 100, 0)
    assert paths(tens) == files
    assert tens.snapshot(NAME) != before
    assert not tens.changes(NAME, before).is_full


def test_no_rows_at_all(tens: Lakehouse) -> None:
    assert counts(merge(tens, things([]))) == (0, 0, 0, 0)
    with tens.stage(NAME, commit()) as staged:
        assert counts(staged.replace(things([]), ["id"], things([]))) == (0, 0, 0, 0)


def test_replace_touches_the_scope_only(tens: Lakehouse) -> None:
    with tens.stage(NAME, commit()) as staged:
        result = staged.replace(things([1, 1, 55], "x"), ["id"], pa.table({"id": [1, 2, 55, 777]}))
        staged.publish()
    assert counts(result) == (0, 3, 0, 0)
    assert len(result.removed) == 2
    assert ids(tens.read(NAME)) == sorted([1, 1, *(i for i in range(100) if i not in {1, 2})])


def test_delete_keys(tens: Lakehouse) -> None:
    with tens.stage(NAME, commit()) as staged:
        result = staged.delete_keys(pa.table({"id": [*range(10, 20), 33, 999]}), ["id"])
        staged.publish()
    assert counts(result) == (0, 0, 0, 11)
    assert ids(tens.read(NAME)) == [i for i in range(100) if not 10 <= i < 20 and i != 33]
    assert len(paths(tens)) == 9


@pytest.mark.parametrize(
    ("rows", "on", "said"),
    [
        (things([1, 2, 1]), ["id"], "repeat a key 1 times"),
        (things([1]).append_column("more", [["x"]]), ["id"], "columns its table lacks: more"),
        (things([1]), ["nope"], "lack the key column nope"),
        (things([1]), [], "needs a key"),
        (pa.table({"id": [1], "name": [None]}), ["id", "name"], "1 nulls in the key column name"),
        (pa.table({"id": pa.array([None], pa.int64())}), ["id"], "1 nulls in the required column id"),
    ],
)
def test_rows_without_a_clear_key_are_refused(tens: Lakehouse, rows: pa.Table, on: list[str], said: str) -> None:
    before = tens.snapshot(NAME)
    with tens.stage(NAME, commit()) as staged, pytest.raises(C360Error, match=said):
        staged.merge(rows, on)
    assert tens.snapshot(NAME) == before


def test_rows_outside_the_scope_and_null_scopes_are_refused(tens: Lakehouse) -> None:
    with tens.stage(NAME, commit()) as staged:
        with pytest.raises(C360Error, match=r"1 rows for silver\.things lie outside the scope"):
            staged.replace(things([1, 2]), ["id"], things([1]))
        with pytest.raises(C360Error, match=r"Scope keys for silver\.things have 1 nulls"):
            staged.replace(things([]), ["name"], pa.table({"name": ["a", None]}))


def test_a_key_the_table_repeats_is_left_once(lake: Lakehouse) -> None:
    lake.ensure(contract())
    put(lake, NAME, things([1, 2, 2]))
    put(lake, NAME, things([2, 3]))
    assert counts(merge(lake, things([2]))) == (0, 1, 0, 2)
    assert ids(lake.read(NAME)) == [1, 2, 3]


def test_a_row_moves_to_its_new_partition(lake: Lakehouse) -> None:
    lake.ensure(contract(partitioning=(PartitionBy("day", "month"),)))
    put(lake, NAME, things(range(40)))
    moved = pa.table({"id": [1], "name": ["moved"], "day": [date(2030, 5, 5)]}, schema=to_arrow(contract()))
    merge(lake, pa.concat_tables([moved, things([2], "stays")]))
    assert ids(lake.read(NAME)) == list(range(40))
    found = {t.file.partition[0]: t.file.record_count for t in lake.table(NAME).scan().plan_files()}
    assert found == {(2025 - 1970) * 12: 30, (2025 - 1970) * 12 + 1: 9, (2030 - 1970) * 12 + 4: 1}


def test_files_of_older_schemas_and_partitionings(lake: Lakehouse) -> None:
    lake.ensure(contract((Column("id", "int", required=True), Column("day", "date"))))
    small = pa.table({"id": pa.array(range(40), pa.int32()), "day": things(range(40))["day"].combine_chunks()})
    put(lake, NAME, small)
    lake.ensure(contract(partitioning=(PartitionBy("day", "month"),), version="1.1.0"))
    put(lake, NAME, things(range(40, 80)))
    result = merge(lake, things([1, 45, 99], "x"))
    assert counts(result) == (1, 2, 0, 0)
    read = {r["id"]: r["name"] for r in lake.read(NAME).to_pylist()}
    assert read == {
        **dict.fromkeys(range(40)),
        **{i: f"n{i}" for i in range(40, 80)},
        **{i: f"x{i}" for i in (1, 45, 99)},
    }
    specs = {task.file.spec_id for task in lake.table(NAME).scan().plan_files()}
    assert specs == {lake.table(NAME).spec().spec_id}


def test_many_batches_and_row_groups(lake: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of all batches of a large file are found, in whichever row group they lie."""
    monkeypatch.setattr("c360.lakehouse.rewrite.ROW_GROUP_BYTES", 100_000)
    lake.ensure(contract())
    size = 300_000
    rows = pa.table({"id": pa.array(np.arange(size)), "name": [f"n{i}" for i in range(size)]})
    put(lake, NAME, rows)
    change = np.array([0, 131_071, 131_072, 262_143, 262_144, size - 1, size])
    assert counts(merge(lake, pa.table({"id": pa.array(change), "name": ["x"] * 7}))) == (1, 6, 0, 0)
    read = lake.read(NAME).sort_by("id")
    assert read["id"].to_pylist() == list(range(size + 1))
    assert np.flatnonzero(read["name"].to_numpy() == "x").tolist() == change.tolist()
    with lake.stage(NAME, commit()) as staged:
        # Unchanged until the last row: the file is begun, and thrown away or kept only at its end.
        again = staged.merge(pa.table({"id": pa.array(change), "name": ["x"] * 7}), ["id"])
        assert (again.added, again.unchanged) == ([], 7)
        late = staged.merge(pa.table({"id": pa.array(change[:-1]), "name": ["x"] * 5 + ["y"]}), ["id"])
        assert (len(late.added), late.replaced) == (1, 6)
        staged.publish()
    assert lake.read(NAME, where=f"id = {size - 1}")["name"].to_pylist() == ["y"]
    assert lake.row_count(NAME) == size + 1
