"""Assets that die, meet a locked catalog or an unwritable disk: main stays, the mend is said, a rerun heals."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from c360.engines.spark_client import remote_address
from c360.lakehouse import Lakehouse, staged
from c360.settings import Settings
from c360_assets.pipeline.silver import counts as silver_counts
from tests.faulty import bound_by_permissions, files_up_to
from tests.integration.asset_faults import CHAIN, Impatient, customer, land, materialize, said

pytestmark = [
    pytest.mark.faults,
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning"),
]
ROOT = Path(__file__).parents[2]
DAYS = ("2025-03-01", "2025-03-02", "2025-03-03")
LANDED = {
    DAYS[0]: [customer(1, DAYS[0]), customer(2, DAYS[0])],
    DAYS[1]: [customer(1, DAYS[1], "Anna"), customer(2, DAYS[0]), customer(3, DAYS[1]), "C4,too,few"],
    DAYS[2]: [customer(2, DAYS[2], "Bea")],
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(scope="module")
def remote(spark_settings: Settings) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("C360_SPARK_REMOTE", remote_address(spark_settings))
        yield


@pytest.fixture(scope="module")
def undisturbed(remote: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("undisturbed")
    for day in DAYS[:2]:
        land(home, day, *LANDED[day])
        run(home, day, *CHAIN)
    return home


def run(home: Path, day: str, *names: str) -> None:
    for name in names:
        result = materialize(home, name, day)
        assert result.success, said(result)


def in_a_process(home: Path, method: str, *names: str, prefix: Sequence[str] = ()) -> tuple[int, str]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.integration.asset_faults", str(home), DAYS[1], method]
    done = subprocess.run([*prefix, *command, *names], cwd=ROOT, capture_output=True, text=True, timeout=180)
    return done.returncode, done.stdout or done.stderr


def content(home: Path, *names: str) -> dict[str, list[dict[str, object]]]:
    """Rows without what differs between two runs of the same: the moment of ingestion."""
    lake = Lakehouse(Settings(home=home))
    found = {}
    for name in names:
        rows = pl.DataFrame(lake.read(name)).drop("_ingested_at", strict=False)
        found[name] = sorted(rows.to_dicts(), key=str)
    return found


@pytest.mark.parametrize(
    ("name", "method"),
    [
        (CHAIN[0], "rows"),  # written, not audited
        (CHAIN[1], "publish"),  # audited, and the side tables are written
        (CHAIN[2], "rows"),  # written by Spark
    ],
)
def test_killed_between_write_and_publication_heals_by_running_again(
    name: str, method: str, home: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = CHAIN[: CHAIN.index(name) + 1]
    land(home, DAYS[0], *LANDED[DAYS[0]])
    run(home, DAYS[0], *chain)
    land(home, DAYS[1], *LANDED[DAYS[1]])
    run(home, DAYS[1], *chain[:-1])
    lake = Lakehouse(Settings(home=home))
    main, before = lake.snapshot(name), content(home, name)
    code, output = in_a_process(home, method, name)
    assert code == -signal.SIGKILL, output
    assert lake.snapshot(name) == main
    assert content(home, name) == before
    [orphan] = [ref for ref in lake.refs(name) if ref != "main"]
    written = lake.read(name, ref=orphan).num_rows
    assert written > lake.row_count(name), "the rows were on the branch when the process died"

    run(home, DAYS[1], name)
    sides = ("silver.rejected", "silver.deduplicated") if len(chain) > 1 else ()
    assert content(home, *chain, *sides) == content(undisturbed, *chain, *sides)
    assert lake.row_count(name) == written

    assert orphan in lake.refs(name)
    monkeypatch.setattr(staged, "BRANCH_AGE", timedelta(seconds=-1))
    land(home, DAYS[2], *LANDED[DAYS[2]])
    run(home, DAYS[2], *chain)
    assert orphan not in lake.refs(name), "the next write tidies up branches of dead runs"


@pytest.mark.parametrize("name", CHAIN[:2])
def test_catalog_locked_by_another_writer(name: str, home: Path) -> None:
    for day in DAYS[:2]:
        land(home, day, *LANDED[day])
    run(home, DAYS[0], *CHAIN[:2])
    if name != CHAIN[0]:
        run(home, DAYS[1], CHAIN[0])
    lake = Lakehouse(Settings(home=home))
    main = lake.snapshot(name)
    other = sqlite3.connect(home / "catalog.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")  # readers pass, writers wait
        failure = said(materialize(home, name, DAYS[1], Impatient(home=str(home))))
    finally:
        other.rollback()
        other.close()
    assert "another process has kept the catalog locked for longer than the timeout" in failure["problem"]
    assert failure["mend"] == "let that process finish, or end it, and rerun"
    assert lake.snapshot(name) == main
    run(home, DAYS[1], name)
    assert lake.snapshot(name) != main


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_warehouse_that_takes_no_writes(fault: str, home: Path) -> None:
    bronze, silver = CHAIN[:2]
    land(home, DAYS[0], *LANDED[DAYS[0]])
    run(home, DAYS[0], bronze, silver)
    many = [customer(number, DAYS[2], f"N{number * 7919 % 5000}") for number in range(10, 4000)]
    land(home, DAYS[2], *many)
    run(home, DAYS[2], bronze)
    land(home, DAYS[1], *many)
    lake = Lakehouse(Settings(home=home))
    main = {name: lake.snapshot(name) for name in (bronze, silver)}
    warehouse = home / "warehouse"
    folders = [warehouse, *(path for path in warehouse.rglob("*") if path.is_dir())]
    try:
        for path in folders if fault == "read-only" else ():
            path.chmod(0o555)
        prefix = bound_by_permissions() if fault == "read-only" else files_up_to(45_000)
        code, output = in_a_process(home, "-", bronze, silver, prefix=prefix)
    finally:
        for path in folders:
            path.chmod(0o755)
    assert code == 0, output
    why, mend = {
        "full": ("disk is full, or its limit of size reached", "free disk space and rerun"),
        "read-only": ("is read-only", "make the warehouse folder writable, or set C360_WAREHOUSE to a writable place"),
    }[fault]
    expected = [{"problem": f"Cannot write {name}: the warehouse {why}", "mend": mend} for name in (bronze, silver)]
    assert [{k: v.replace("warehouse's", "warehouse") for k, v in f.items()} for f in json.loads(output)] == expected
    assert {name: lake.snapshot(name) for name in main} == main
    run(home, DAYS[1], bronze, silver)
    assert silver_counts(lake, silver) == {"received": 7982, "accepted": 3992, "deduplicated": 3990, "rejected": 0}
