"""Tables follow their contracts; reads find any point in time."""

from __future__ import annotations

import multiprocessing
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from c360.contracts import Column, PartitionBy
from c360.errors import ContractError, LakehouseError
from c360.lakehouse import Lakehouse
from c360.lakehouse.staged import BRANCH_AGE
from c360.settings import Settings
from tests.unit.lakehouse.shapes import commit, contract, ids, put, things

ID, NAME, DAY = Column("id", "long", required=True), Column("name", "string"), Column("day", "date")

Columns = dict[str, Any]


def test_ensure_creates_an_empty_table_with_a_base_snapshot_once(lake: Lakehouse) -> None:
    of = contract(partitioning=(PartitionBy("day", "month"),))
    lake.ensure(of)
    base = lake.snapshot(of.name)
    lake.ensure(of)
    assert base is not None
    assert lake.snapshot(of.name) == base
    assert lake.read(of.name).num_rows == lake.row_count(of.name) == 0
    assert lake.names() == [of.name]
    assert lake.last_commit(of.name) is None
    table = lake.table(of.name)
    assert [str(f.transform) for f in table.spec().fields] == ["month"]
    assert table.properties["c360.contract-version"] == "1.0.0"
    assert table.format_version == 2


def _ensure(home: Path, start: float, versions: int) -> None:
    time.sleep(max(0.0, start - time.time()))
    with Lakehouse(Settings(home=home)) as lake:
        for version in range(versions):
            more = tuple(Column(f"more{i}", "string") for i in range(version))
            lake.ensure(contract((ID, NAME, DAY, *more), version=f"1.{version}.0"))


def test_ensure_by_two_processes_at_once_makes_one_table(tmp_path: Path) -> None:
    processes = multiprocessing.get_context("spawn")
    start = time.time() + 3
    runs = [processes.Process(target=_ensure, args=(tmp_path, start, 1)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    assert [run.exitcode for run in runs] == [0, 0]
    with Lakehouse(Settings(home=tmp_path)) as lake:
        assert lake.names() == ["silver.things"]
        put(lake, "silver.things", things(range(3)))
        assert ids(lake.read("silver.things")) == [0, 1, 2]


def test_a_table_evolves_with_its_contract(lake: Lakehouse) -> None:
    first = contract(
        (ID, Column("size", "int", required=True), Column("price", "decimal(8,2)"), DAY),
        partitioning=(PartitionBy("day", "month"),),
    )
    lake.ensure(first)
    row: Columns = {
        "id": [1],
        "size": pa.array([7], pa.int32()),
        "price": [Decimal("1.50")],
        "day": [date(2025, 1, 1)],
    }
    put(lake, first.name, pa.table(row))
    old = lake.snapshot(first.name)
    second = contract(
        (ID, NAME, Column("size", "long"), Column("price", "decimal(12,2)"), DAY, Column("flag", "boolean")),
        partitioning=(PartitionBy("day", "day"),),
        version="1.1.0",
    )
    lake.ensure(second)
    assert lake.table(first.name).schema().column_names == list(second.names)
    assert [str(f.transform) for f in lake.table(first.name).spec().fields] == ["day"]
    new: Columns = {
        "id": [2],
        "size": [2**40],
        "price": [Decimal("12345678.90")],
        "day": [date(2025, 1, 2)],
        "flag": [True],
    }
    put(lake, first.name, pa.table(new))
    assert sorted(lake.read(first.name).to_pylist(), key=lambda r: r["id"]) == [
        {"id": 1, "name": None, "size": 7, "price": Decimal("1.50"), "day": date(2025, 1, 1), "flag": None},
        {"id": 2, "name": None, "size": 2**40, "price": Decimal("12345678.90"), "day": date(2025, 1, 2), "flag": True},
    ]
    assert lake.read(first.name, snapshot_id=old).column_names == list(first.names)
    assert ids(lake.changes(first.name, old).rows) == [2]
    lake.ensure(second)
    assert len(lake.table(first.name).schemas()) == 2


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ((ID, NAME), "column day is gone"),
        ((ID, NAME, Column("day", "timestamp")), "column day changed from date"),
        ((Column("id", "int", required=True), NAME, DAY), "column id changed from long to int"),
        ((ID, Column("name", "string", required=True), DAY), "column name became required"),
        ((ID, NAME, DAY, Column("more", "string", required=True)), "new column more is required"),
    ],
)
def test_a_breaking_contract_is_refused_and_changes_nothing(
    lake: Lakehouse, columns: tuple[Column, ...], said: str
) -> None:
    lake.ensure(contract())
    before = lake.table("silver.things").metadata_location
    with pytest.raises(ContractError, match=said) as refused:
        lake.ensure(contract(columns, version="2.0.0"))
    assert "keep the column" in refused.value.mend
    assert lake.table("silver.things").metadata_location == before


def test_two_processes_evolving_at_once_end_with_all_columns(tmp_path: Path) -> None:
    _ensure(tmp_path, 0, 1)
    processes = multiprocessing.get_context("spawn")
    start = time.time() + 3
    runs = [processes.Process(target=_ensure, args=(tmp_path, start, 3)) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join(60)
    with Lakehouse(Settings(home=tmp_path)) as lake:
        columns = lake.table("silver.things").schema().column_names
    # A slower process may still bring the older contract when the newer one has been applied: that is refused.
    assert columns == ["id", "name", "day", "more0", "more1"]
    assert 0 in [run.exitcode for run in runs]


def test_reads_by_id_moment_tag_and_branch(lake: Lakehouse) -> None:
    name = contract().name
    lake.ensure(contract())
    first = put(lake, name, things([1]))
    time.sleep(0.01)
    between = datetime.now(UTC)
    time.sleep(0.01)
    second = put(lake, name, things([2]))
    lake.tag(name, "two", second)
    with lake.stage(name, commit()) as staged:
        staged.append(things([3]))
        branch = staged.branch
    assert ids(lake.read(name)) == [1, 2]
    assert ids(lake.read(name, snapshot_id=first)) == [1]
    assert ids(lake.read(name, as_of=between)) == [1]
    assert ids(lake.read(name, ref="two")) == [1, 2]
    assert ids(lake.read(name, ref=branch)) == [1, 2, 3]
    assert lake.read(name, columns=["name", "id"], where="id > 1").to_pylist() == [{"name": "n2", "id": 2}]
    assert lake.reader(name, where="id = 1").read_all()["id"].to_pylist() == [1]
    lake.untag(name, "two")
    assert set(lake.refs(name)) == {"main", branch}


def test_a_moment_means_what_readers_saw_then_also_after_a_rollback(lake: Lakehouse) -> None:
    name = contract().name
    lake.ensure(contract())
    moments = []
    for i in range(2):
        put(lake, name, things([i]))
        time.sleep(0.01)
        moments.append(datetime.now(UTC))
        time.sleep(0.01)
    first = lake.history(name)[1].snapshot_id
    lake.rollback(name, as_of=moments[0])
    assert lake.snapshot(name) == first
    assert ids(lake.read(name)) == [0]
    assert ids(lake.read(name, as_of=moments[1])) == [0, 1]
    time.sleep(0.01)
    assert ids(lake.read(name, as_of=datetime.now(UTC))) == [0]
    put(lake, name, things([9]))
    assert ids(lake.read(name)) == [0, 9]


def test_what_cannot_be_read_is_refused_with_its_mend(lake: Lakehouse) -> None:
    name = contract().name
    with pytest.raises(LakehouseError, match=r"does not exist.*Mend: materialise"):
        lake.read(name)
    lake.ensure(contract())
    refusals: dict[str, dict[str, Any]] = {
        "no snapshot 5": {"snapshot_id": 5},
        "no branch or tag 'x'": {"ref": "x"},
        "no snapshot as old": {"as_of": datetime.now(UTC) - timedelta(days=1)},
        "no time zone": {"as_of": datetime(2025, 1, 1)},  # noqa: DTZ001
        "at two points": {"snapshot_id": 5, "ref": "main"},
        "no column nope": {"columns": ["nope"]},
    }
    for said, how in refusals.items():
        with pytest.raises(LakehouseError, match=said):
            lake.read(name, **how)
    with lake.stage(name, commit()) as staged:
        staged.append(things([1]))
    unpublished = lake.refs(name)[staged.branch]
    with pytest.raises(LakehouseError, match="was never published"):
        lake.rollback(name, snapshot_id=unpublished)
    with pytest.raises(LakehouseError, match="No point was given"):
        lake.rollback(name)
    with pytest.raises(LakehouseError, match=f"already has a branch or tag '{staged.branch}'"):
        lake.tag(name, staged.branch)
    with pytest.raises(LakehouseError, match="has no tag 'main'"):
        lake.untag(name, "main")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (pa.table({"id": [1], "other": ["x"]}), "columns its table lacks: other"),
        (pa.table({"name": ["x"]}), "lack the required column id"),
        (pa.table({"id": pa.array([None], pa.int64())}), "1 nulls in the required column id"),
        (pa.table({"id": ["x"]}), "does not fit int64"),
        (pa.table({"id": [1.5]}), "does not fit int64"),
        (pa.table({"id": pa.array([2**63], pa.uint64())}), "does not fit int64"),
    ],
)
def test_rows_that_do_not_fit_are_refused(lake: Lakehouse, rows: pa.Table, said: str) -> None:
    lake.ensure(contract())
    before = lake.snapshot(contract().name)
    with pytest.raises(LakehouseError, match=said):
        put(lake, contract().name, rows)
    assert lake.snapshot(contract().name) == before


def test_rows_come_back_as_they_went_in_for_every_type_and_partitioning(lake: Lakehouse) -> None:
    columns = (
        Column("i", "int"),
        Column("l", "long"),
        Column("d", "double"),
        Column("b", "boolean"),
        Column("day", "date"),
        Column("at", "timestamp"),
        Column("money", "decimal(12,2)"),
        Column("text", "string"),
    )
    values: Columns = {
        "i": [1, None, 3, 4],
        "l": [2**40, 5, None, -1],
        "d": [1.5, -0.25, 1e300, None],
        "b": [True, None, False, True],
        "day": [date(1969, 12, 31), date(2025, 2, 28), None, date(2025, 2, 28)],
        "at": [datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), None, datetime(2025, 3, 1, tzinfo=UTC)] * 1
        + [datetime(2025, 3, 31, 23, tzinfo=UTC)],
        "money": [Decimal("0.01"), Decimal("-9999999999.99"), None, Decimal(5)],
        "text": ["a", "ß\U0001f642", "", None],
    }
    rows = pa.table(values)
    splits = [(), *((PartitionBy(c, t),) for c, t in [("day", "day"), ("at", "month"), ("at", "day"), ("at", "hour")])]
    splits += [(PartitionBy(c, "identity"),) for c in ("i", "l", "b", "day", "at", "money", "text")]
    splits += [(PartitionBy("text", "bucket[4]"), PartitionBy("day", "year")), (PartitionBy("money", "bucket[2]"),)]
    wanted = sorted(map(repr, rows.cast(lake_schema(columns)).to_pylist()))
    for i, partitioning in enumerate(splits):
        of = contract(columns, name=f"silver.p{i}", partitioning=partitioning, primary_key=())
        lake.ensure(of)
        put(lake, of.name, rows)
        assert sorted(map(repr, lake.read(of.name).to_pylist())) == wanted, partitioning


def lake_schema(columns: tuple[Column, ...]) -> pa.Schema:
    from c360.contracts import to_arrow

    return to_arrow(contract(columns, primary_key=()))


def test_branches_of_dead_writes_are_dropped_after_a_week(lake: Lakehouse) -> None:
    name = contract().name
    lake.ensure(contract())
    old = datetime.now(UTC) - BRANCH_AGE - timedelta(minutes=1)
    young = datetime.now(UTC) - BRANCH_AGE + timedelta(minutes=5)
    names = [f"audit_run_{moment.strftime('%Y%m%d%H%M%S')}_0a1b" for moment in (old, young)]
    base = lake.snapshot(name)
    assert base is not None
    for branch in (*names, "someone_elses"):
        lake.table(name).manage_snapshots().create_branch(base, branch).commit()
    put(lake, name, things([1]))
    assert set(lake.refs(name)) == {"main", names[1], "someone_elses"}
