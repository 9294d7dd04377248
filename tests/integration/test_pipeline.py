"""Landing files to silver on a real lakehouse: the ledger balances, a crash heals, a refused audit changes nothing."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from c360.conform import conform
from c360.contracts import get_contract
from c360.errors import LandingError
from c360.lakehouse import Commit, Lakehouse
from c360.lakehouse.retention import retain
from c360.settings import Settings
from c360_assets.defs.quality.checks import balance_check
from c360_assets.pipeline import bronze, silver
from c360_assets.pipeline.publication import RefusedByAudit
from c360_assets.pipeline.side_tables import append_once
from c360_assets.resources.lake import LakehouseResource

pytestmark = pytest.mark.integration

HEADER = "order_id,customer_id,ordered_at,status,channel,location_id,currency,shipping_amount,updated_at\n"
DAY_1 = """\
O1,C1,2025-03-01T10:00:00Z,placed,web,L1,USD,4.50,2025-03-01T10:00:00Z
O1,C1,2025-03-01T10:00:00Z,paid,web,L1,USD,4.50,2025-03-01T11:00:00Z
O2,C2,2025-03-01T10:00:00Z,Placed , web,L1,usd,4.50,2025-03-01 10:00:00
O2,C2,2025-03-01T10:00:00Z,placed,web,L1,USD,4.50,2025-03-01T10:00:00Z
O3,C2,2025-03-01T10:00:00Z,wild,web,L1,USD,4.50,2025-03-01T10:00:00Z
O4,C2,2025-03-01
"""
DAY_2 = """\
O1,C1,2025-03-01T10:00:00Z,shipped,web,L1,USD,4.50,2025-03-02T10:00:00Z
O1,C1,2025-03-01T10:00:00Z,paid,web,L9,USD,4.50,2025-03-01T11:00:00Z
O2,C2,2025-03-01T10:00:00Z,placed,web,L1,USD,4.50,2025-03-01T10:00:00Z
"""
FIRST, SECOND = date(2025, 3, 1), date(2025, 3, 2)


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    for day, text in ((FIRST, DAY_1), (SECOND, DAY_2)):
        folder = tmp_path / "landing" / "shop" / "orders" / day.isoformat()
        folder.mkdir(parents=True)
        (folder / "orders.csv").write_text(HEADER + text)
    return tmp_path / "landing"


@pytest.fixture
def lake(settings: Settings) -> Lakehouse:
    return Lakehouse(settings)


def take_in(lake: Lakehouse, landing: Path, *days: date) -> bronze.BronzeRun:
    return bronze.ingest(lake, "bronze.orders", landing, days, run_id="test", ingested_at=datetime.now(UTC))


def rows(lake: Lakehouse, table: str) -> list[dict[str, object]]:
    order: Any = {
        "silver.orders": [("order_id", "ascending"), ("updated_at", "ascending")],
        "silver.rejected": [("source_file", "ascending"), ("source_row", "ascending")],
        "silver.deduplicated": [("source_file", "ascending"), ("source_row", "ascending")],
    }[table]
    return list(lake.read(table).sort_by(order).to_pylist())


def everything(lake: Lakehouse) -> dict[str, list[dict[str, object]]]:
    return {name: rows(lake, name) for name in ("silver.orders", "silver.rejected", "silver.deduplicated")}


def test_every_record_becomes_exactly_one_thing(lake: Lakehouse, landing: Path) -> None:
    take_in(lake, landing, FIRST, SECOND)
    silver.refine(lake, "silver.orders", run_id="test")

    accepted = [(row["order_id"], row["status"], row["_source_row"]) for row in rows(lake, "silver.orders")]
    assert accepted == [("O1", "placed", 1), ("O1", "paid", 2), ("O1", "shipped", 1), ("O2", "placed", 3)]
    refused = [
        (row["source_file"], row["source_row"], row["reason"], row["column_name"], row["value"])
        for row in rows(lake, "silver.rejected")
    ]
    file_1, file_2 = "shop/orders/2025-03-01/orders.csv", "shop/orders/2025-03-02/orders.csv"
    assert refused == [
        (file_1, 5, "not_allowed", "status", "wild"),
        (file_1, 6, "malformed_record", None, None),
        (file_2, 2, "conflicting_duplicate", None, None),
    ]
    repeated = [
        (row["source_file"], row["source_row"], row["kept_file"], row["kept_row"])
        for row in rows(lake, "silver.deduplicated")
    ]
    assert repeated == [(file_1, 4, file_1, 3), (file_2, 3, file_1, 3)]
    assert silver.counts(lake, "silver.orders") == {"received": 9, "accepted": 4, "deduplicated": 2, "rejected": 3}


def test_day_by_day_equals_full_rebuild(lake: Lakehouse, landing: Path) -> None:
    for day in (FIRST, SECOND):
        take_in(lake, landing, day)
        silver.refine(lake, "silver.orders", run_id="test")
    day_by_day = everything(lake)
    run = silver.refine(lake, "silver.orders", run_id="test", full_refresh=True)
    assert run.mode == "full"
    assert everything(lake) == day_by_day


def test_rerun_of_a_finished_day_changes_nothing(lake: Lakehouse, landing: Path) -> None:
    take_in(lake, landing, FIRST, SECOND)
    silver.refine(lake, "silver.orders", run_id="test")
    tables = ("bronze.orders", "silver.orders", "silver.rejected", "silver.deduplicated")
    before = {name: lake.snapshot(name) for name in tables}
    assert take_in(lake, landing, FIRST).publication is None
    assert silver.refine(lake, "silver.orders", run_id="test").publication is None
    assert {name: lake.snapshot(name) for name in tables} == before


@pytest.mark.parametrize("crash_after", [0, 1, 2])
def test_crash_between_the_commits_of_a_silver_run_heals(
    lake: Lakehouse, landing: Path, crash_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in(lake, landing, FIRST)
    silver.refine(lake, "silver.orders", run_id="test")
    take_in(lake, landing, SECOND)

    calls = 0
    original = append_once

    def crashing(*arguments: object) -> int:
        nonlocal calls
        if calls == crash_after:
            raise KeyboardInterrupt
        calls += 1
        return original(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(silver, "append_once", crashing)
        if crash_after == 2:  # both side tables written, the process dies before the silver table's own publish
            patch.setattr("c360.lakehouse.Staged.publish", _die_for("silver.orders"))
        with pytest.raises(KeyboardInterrupt):
            silver.refine(lake, "silver.orders", run_id="test")
    assert len(rows(lake, "silver.orders")) == 3, "the published table is as it was"

    silver.refine(lake, "silver.orders", run_id="again")
    healed = everything(lake)
    silver.refine(lake, "silver.orders", run_id="full", full_refresh=True)
    assert everything(lake) == healed


def _die_for(table: str):  # type: ignore[no-untyped-def]
    from c360.lakehouse import Staged

    original = Staged.publish

    def publish(self: Staged) -> int:
        if self.name == table:
            raise KeyboardInterrupt
        return original(self)

    return publish


def test_refused_audit_leaves_every_table_as_it_was(
    lake: Lakehouse, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_in(lake, landing, FIRST)
    silver.refine(lake, "silver.orders", run_id="test")
    take_in(lake, landing, SECOND)
    before = {name: lake.snapshot(name) for name in ("silver.orders", "silver.rejected", "silver.deduplicated")}

    real = conform

    def lets_a_bad_row_through(*arguments: object, **options: object) -> object:
        outcome = real(*arguments, **options)  # type: ignore[arg-type]
        wrong = outcome.accepted.set_column(
            outcome.accepted.schema.get_field_index("status"),
            outcome.accepted.schema.field("status"),
            pa.array(["nonsense"] * outcome.accepted.num_rows),
        )
        return type(outcome)(**{**outcome.__dict__, "accepted": wrong})

    monkeypatch.setattr(silver, "conform", lets_a_bad_row_through)
    with pytest.raises(RefusedByAudit) as refused:
        silver.refine(lake, "silver.orders", run_id="test")
    [finding] = refused.value.report.failures
    assert (finding.column, finding.unexpected) == ("status", 1)
    assert finding.sample[0]["status"] == "nonsense"
    assert {name: lake.snapshot(name) for name in before} == before


def test_file_changed_after_it_was_ingested_is_refused(lake: Lakehouse, landing: Path) -> None:
    take_in(lake, landing, FIRST)
    before = lake.snapshot("bronze.orders")
    file = landing / "shop" / "orders" / "2025-03-01" / "orders.csv"
    file.write_text(file.read_text().replace("placed", "paid"))
    with pytest.raises(LandingError, match="changed after it was ingested"):
        take_in(lake, landing, FIRST)
    assert lake.snapshot("bronze.orders") == before


def test_unreadable_file_stops_the_day_before_anything_is_written(lake: Lakehouse, landing: Path) -> None:
    (landing / "shop" / "orders" / "2025-03-02" / "more.csv").write_bytes(b"")
    with pytest.raises(LandingError, match=r"more\.csv"):
        take_in(lake, landing, FIRST, SECOND)
    assert lake.row_count("bronze.orders") == 0


def land(landing: Path, day: date, name: str, *lines: str) -> None:
    folder = landing / "shop" / "orders" / day.isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.csv").write_text(HEADER + "".join(f"{line}\n" for line in lines))


LATER = date(2025, 6, 20)


@pytest.fixture
def old_and_new(lake: Lakehouse, landing: Path) -> dict[str, list[dict[str, object]]]:
    """Two old days and a new one in silver; bronze has forgotten the old ones. Returns what silver held before."""
    land(
        landing,
        LATER,
        "orders",
        "O2,C2,2025-03-01T10:00:00Z,placed,web,L1,USD,4.50,2025-03-01T10:00:00Z",  # repeats an old one
        "O1,C1,2025-03-01T10:00:00Z,paid,web,L7,USD,4.50,2025-03-01T11:00:00Z",  # contradicts an old one
        "O9,C2,2025-06-20T10:00:00Z,placed,web,L1,USD,4.50,2025-06-20T10:00:00Z",
        "O9,C2,2025-06-20T10:00:00Z,wild,web,L1,USD,4.50,2025-06-20T11:00:00Z",
    )
    for day in (FIRST, SECOND, LATER):
        take_in(lake, landing, day)
        silver.refine(lake, "silver.orders", run_id="test")
    before = everything(lake)
    assert retain(lake, get_contract("bronze.orders"), datetime(2025, 7, 1, tzinfo=UTC), "retention") == 9
    return before


def test_full_refresh_loses_nothing_that_bronze_has_forgotten(
    lake: Lakehouse, old_and_new: dict[str, list[dict[str, object]]]
) -> None:
    run = silver.refine(lake, "silver.orders", run_id="test", full_refresh=True)
    assert (run.mode, run.received, run.accepted, run.kept) == ("full", 4, 1, 4)
    assert everything(lake) == old_and_new
    silver.refine(lake, "silver.orders", run_id="test", full_refresh=True)
    assert everything(lake) == old_and_new


def test_full_refresh_repairs_what_bronze_holds(
    lake: Lakehouse, old_and_new: dict[str, list[dict[str, object]]]
) -> None:
    with lake.stage("silver.orders", Commit("a defect")) as staged:
        staged.delete("order_id == 'O9'")
        staged.publish()
    assert silver.counts(lake, "silver.orders")["accepted"] == 0
    silver.refine(lake, "silver.orders", run_id="test", full_refresh=True)
    assert everything(lake) == old_and_new


def test_full_refresh_of_a_bronze_that_has_forgotten_all(
    lake: Lakehouse, old_and_new: dict[str, list[dict[str, object]]]
) -> None:
    retain(lake, get_contract("bronze.orders"), datetime(2026, 7, 1, tzinfo=UTC), "retention")
    assert lake.row_count("bronze.orders") == 0
    silver.refine(lake, "silver.orders", run_id="test", full_refresh=True)
    assert everything(lake) == old_and_new


def test_expired_snapshot_loses_nothing_that_bronze_has_forgotten(
    lake: Lakehouse, landing: Path, old_and_new: dict[str, list[dict[str, object]]]
) -> None:
    land(landing, LATER, "more", "O8,C2,2025-06-20T10:00:00Z,placed,web,L1,USD,4.50,2025-06-20T10:00:00Z")
    take_in(lake, landing, LATER)
    last = lake.last_commit("silver.orders")
    assert last is not None
    bronze_table = lake.table("bronze.orders")
    with bronze_table.maintenance.expire_snapshots() as expiry:
        expiry.by_id(last.sources["bronze.orders"])
    run = silver.refine(lake, "silver.orders", run_id="test")
    assert (run.mode, run.kept) == ("full", 4)
    after = everything(lake)
    assert [row for row in after["silver.orders"] if row["order_id"] != "O8"] == old_and_new["silver.orders"]
    assert len(after["silver.orders"]) == len(old_and_new["silver.orders"]) + 1
    assert {k: v for k, v in after.items() if k != "silver.orders"} == {
        k: v for k, v in old_and_new.items() if k != "silver.orders"
    }


def test_balance_counts_the_files_that_bronze_holds(
    lake: Lakehouse, landing: Path, old_and_new: dict[str, list[dict[str, object]]], settings: Settings
) -> None:
    found = silver.counts(lake, "silver.orders")
    assert found == {"received": 4, "accepted": 1, "deduplicated": 1, "rejected": 2}
    assert balance(settings).passed
    # A file that arrives late under a day that bronze has otherwise forgotten
    land(landing, FIRST, "late", "O7,C2,2025-03-01T10:00:00Z,placed,web,L1,USD,4.50,2025-03-01T10:00:00Z")
    take_in(lake, landing, FIRST)
    red = balance(settings)
    assert (red.passed, red.metadata["unaccounted"].value) == (False, 1)
    silver.refine(lake, "silver.orders", run_id="test")
    assert balance(settings).passed


def balance(settings: Settings) -> dg.AssetCheckResult:
    """The check as Dagster runs it."""
    check = balance_check("silver.orders")
    node: Any = check.node_def
    result = node.compute_fn.decorated_fn(LakehouseResource(home=str(settings.home)))
    assert isinstance(result, dg.AssetCheckResult)
    return result
