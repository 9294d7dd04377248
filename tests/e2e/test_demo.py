"""`make demo` on a small company, after a try on a full disk and beside two others that are refused.

It ends with exit code 0, every gold table equal to the oracle's and every landed record accounted for. TEST_SCALE sets
another size.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import psutil
import pytest

from c360.lakehouse import Lakehouse
from c360.settings import Settings
from tests.e2e.conftest import COMMAND, Done, run
from tests.faulty import bound_by_permissions
from tests.oracle.compare import assert_same_rows
from tests.oracle.gold import KEYS, gold_tables
from tests.oracle.invariants import assert_consistent
from tests.oracle.ledger import assert_balanced

pytestmark = pytest.mark.e2e

ENTITIES = (
    *("customers", "locations", "consents", "products", "stock"),
    *("orders", "order_items", "transactions", "shipments", "events"),
)
RAW = ("raw_events", "raw_transactions", "raw_metrics", "raw_system_events", "raw_logs")
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)


def test_demo_on_a_full_disk_says_so_and_leaves_nothing_half_written(without_space: tuple[Done, list[str]]) -> None:
    done, left = without_space
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    assert (
        "Mend: choose with --out a folder that you may write to and that has space, or a lower --scale" in done.stderr
    )
    assert "The mock data could not be generated" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert left == []


def test_of_demos_at_once_one_goes_on_undisturbed_and_the_others_are_refused(rivals: list[Done]) -> None:
    assert [done.returncode for done in rivals] == [1, 1, 0], [done.stdout[-3000:] for done in rivals]
    for refused in rivals[:2]:
        [said] = [line for line in refused.stdout.splitlines() if line.strip()]
        assert re.match(r"Another 'demo' \(pid \d+\) is at work on .*home\. Mend: wait until it has finished, or", said)
        assert "Traceback" not in refused.stderr


def test_demo_in_a_read_only_folder_says_so(environment: dict[str, str], tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        done = run([*bound_by_permissions(), *COMMAND], environment | {"C360_HOME": str(tmp_path / "home")})
    finally:
        tmp_path.chmod(0o755)
    assert done.returncode == 1
    assert "home cannot be written (Permission denied). Mend: set C360_HOME to a folder that this user" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_demo_succeeds_and_shows_a_customer(demo: tuple[Path, Done]) -> None:
    _, done = demo
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    assert "46 of 46 checks passed" in done.stdout
    assert "DIFFERS" not in done.stdout
    assert "the most valuable one" in done.stdout


def test_demo_ends_with_the_api_answering_every_role(demo: tuple[Path, Done]) -> None:
    _, done = demo
    for role in ("support", "analyst", "marketing", "privacy", "service"):
        assert re.search(rf"^{role} +\d\d columns$", done.stdout, re.MULTILINE), done.stdout[-5000:]
    assert len(re.findall("^  curl -s -H", done.stdout, re.MULTILINE)) == 6
    assert re.search(r"^live +live: segment .*last_event .*\(stream\)", done.stdout, re.MULTILINE), done.stdout[-5000:]


def test_demo_plays_its_streams_and_batch_computes_the_same(demo: tuple[Path, Done]) -> None:
    home, done = demo
    lines = [line.split() for line in done.stdout.splitlines() if "RUNNING" in line]
    assert len(lines) == 5
    assert all("agrees" in line and "equal" in line for line in lines)
    [ledger] = (home / "truth" / "stream").iterdir()
    played = pl.read_parquet(ledger / "part-*.parquet")
    lake = Lakehouse(Settings(home=home))
    rows = sum(lake.row_count(f"bronze.{topic}") for topic in RAW)
    assert rows == played.height > 30_000


def test_demo_follows_orders_to_the_api_and_features_equal_batch(demo: tuple[Path, Done]) -> None:
    home, done = demo
    told = re.findall(r"D\d{20} │ +(\d+) → (\d+) │ +\S+ → \S+ │ +\S+ → \S+ +│ +[\d,]+ ms", done.stdout)
    assert [int(after) - int(before) for before, after in told] == [1, 1, 1]
    [said] = re.findall(r"(\d+) of (\d+) checks of the shop and its features passed", done.stdout)
    assert said[0] == said[1]
    for table in ("anomaly_alerts", "customer_segments", "inventory_insights", "sales_metrics"):
        assert re.search(rf"features\.{table} +│ features_equal_batch +│ passed", done.stdout)
        assert Lakehouse(Settings(home=home)).row_count(f"features.{table}") > 0


def test_demo_leaves_no_process_behind(demo: tuple[Path, Done]) -> None:
    home, _ = demo
    left = [p.pid for p in psutil.process_iter(["cmdline"]) if str(home) in " ".join(p.info["cmdline"] or ())]
    assert left == []


@pytest.mark.parametrize("table", sorted(KEYS))
def test_gold_equals_the_oracle(table: str, demo: tuple[Path, Done]) -> None:
    home, _ = demo
    expected = gold_tables(home / "truth", AS_OF)[table]
    assert_same_rows(Lakehouse(Settings(home=home)).read(f"gold.{table}"), expected, list(KEYS[table]), name=table)


def test_every_landed_record_became_what_the_truth_ledger_says(
    demo: tuple[Path, Done],
) -> None:
    home, _ = demo
    lake = Lakehouse(Settings(home=home))
    silver = {entity: lake.read(f"silver.{entity}") for entity in ENTITIES}
    assert_balanced(
        home / "truth", home / "landing", silver, lake.read("silver.deduplicated"), lake.read("silver.rejected")
    )


def test_gold_tables_agree_with_each_other(demo: tuple[Path, Done]) -> None:
    home, _ = demo
    lake = Lakehouse(Settings(home=home))
    assert_consistent({table: lake.read(f"gold.{table}") for table in KEYS}, AS_OF)
