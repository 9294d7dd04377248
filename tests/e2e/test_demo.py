"""`make demo` on a small company, after a try on a full disk and beside two others that are refused.

It ends with exit code 0, every gold table equal to the oracle's and every landed record accounted for. TEST_SCALE sets
another size.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import psutil
import pytest

from c360.lakehouse import Lakehouse
from c360.settings import Settings
from tests.conftest import free_port
from tests.faulty import bound_by_permissions, files_up_to
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
RAW = ("raw_events", "raw_transactions", "raw_metrics", "raw_system_events", "raw_logs")
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)


COMMAND = [sys.executable, "-m", "c360_assets.demo", "--no-ui", "--daily-batches", "10"]
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("demo") / "home"
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("C360_", "DAGSTER_"))},
        "C360_HOME": str(home),
        "C360_SCALE": os.environ.get("TEST_SCALE", "0.05"),
        **{f"C360_{name.upper()}": str(free_port()) for name in Settings.model_fields if name.endswith("_port")},
        "C360_SPARK_MEMORY": "2g",
        "COLUMNS": "1000",
    }


@pytest.fixture(scope="module")
def without_space(environment: dict[str, str]) -> tuple[Done, list[str]]:
    """The first try, on a full disk, and what it left where the landing files belong."""
    fetched = run([str(Path(sys.executable).with_name("c360")), "jars", "fetch"], environment)
    assert fetched.returncode == 0, fetched.stderr  # the disk shall be full for the data, not for a first installation
    done = run([*files_up_to(200_000), *COMMAND], environment)
    home = Path(environment["C360_HOME"])
    return done, [path.name for name in ("landing", "truth", ".generate") for path in (home / name).glob("*")]


@pytest.fixture(scope="module")
def rivals(environment: dict[str, str], without_space: tuple[Done, list[str]]) -> list[Done]:
    """The second try, started twice at once and a third time in its midst; the one that went on is the last."""
    landing = Path(environment["C360_HOME"]) / "landing"
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run, COMMAND, environment) for _ in range(2)]
        while not landing.exists() and not all(done.done() for done in runs):
            time.sleep(0.1)
        late = run(COMMAND, environment)
        assert not all(done.done() for done in runs)
        return sorted([late, *(done.result() for done in runs)], key=lambda done: len(done.stdout))


@pytest.fixture(scope="module")
def demo(environment: dict[str, str], rivals: list[Done]) -> tuple[Path, Done]:
    return Path(environment["C360_HOME"]), rivals[-1]


def run(command: list[str], environment: dict[str, str]) -> Done:
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1500)


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
    assert "44 of 44 checks passed" in done.stdout
    assert "DIFFERS" not in done.stdout
    assert "the most valuable one" in done.stdout


def test_demo_ends_with_the_api_answering_every_role(demo: tuple[Path, Done]) -> None:
    _, done = demo
    for role in ("support", "analyst", "marketing", "privacy", "service"):
        assert re.search(rf"^{role} +\d\d columns$", done.stdout, re.MULTILINE), done.stdout[-5000:]
    assert len(re.findall("^  curl -s -H", done.stdout, re.MULTILINE)) == 5


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
