"""`make demo` on a small company: exit 0, every gold table equal to the oracle's, every landed record accounted for."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from c360.lakehouse import Lakehouse
from c360.settings import Settings
from tests.conftest import free_port
from tests.oracle.compare import assert_same_rows
from tests.oracle.gold import KEYS, gold_tables
from tests.oracle.invariants import assert_consistent
from tests.oracle.ledger import assert_balanced

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
ENTITIES = (
    *("customers", "locations", "consents", "products", "stock"),
    *("orders", "order_items", "transactions", "shipments", "events"),
)
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    home = tmp_path_factory.mktemp("demo") / "home"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("C360_", "DAGSTER_"))},
        "C360_HOME": str(home),
        "C360_SCALE": "0.05",
        "C360_SPARK_PORT": str(free_port()),
        "C360_SPARK_MEMORY": "2g",
        "COLUMNS": "120",
    }
    command = [sys.executable, "-m", "c360_assets.demo", "--no-ui", "--daily-batches", "10"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1500)
    return home, done


def test_demo_succeeds_and_shows_a_customer(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, done = demo
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert "43 of 43 checks passed" in done.stdout
    assert "DIFFERS" not in done.stdout
    assert "the most valuable one" in done.stdout


def test_demo_leaves_no_process_behind(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    home, _ = demo
    left = [p.pid for p in psutil.process_iter(["cmdline"]) if str(home) in " ".join(p.info["cmdline"] or ())]
    assert left == []


@pytest.mark.parametrize("table", sorted(KEYS))
def test_gold_equals_the_oracle(table: str, demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    home, _ = demo
    expected = gold_tables(home / "truth", AS_OF)[table]
    assert_same_rows(Lakehouse(Settings(home=home)).read(f"gold.{table}"), expected, list(KEYS[table]), name=table)


def test_every_landed_record_became_what_the_truth_ledger_says(
    demo: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    home, _ = demo
    lake = Lakehouse(Settings(home=home))
    silver = {entity: lake.read(f"silver.{entity}") for entity in ENTITIES}
    assert_balanced(
        home / "truth", home / "landing", silver, lake.read("silver.deduplicated"), lake.read("silver.rejected")
    )


def test_gold_tables_agree_with_each_other(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    home, _ = demo
    lake = Lakehouse(Settings(home=home))
    assert_consistent({table: lake.read(f"gold.{table}") for table in KEYS}, AS_OF)
