"""Data nobody here wrote, by the documented commands: TPC-H through the whole graph, to the cent."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from c360.lakehouse import Lakehouse
from c360.settings import Settings
from tests.conftest import free_port
from tests.oracle.compare import assert_same_rows
from tests.oracle.tpch import REVENUE_KEYS, expected_revenue, gold_revenue

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]


def documented_commands() -> str:
    """The example's own shell block."""
    text = (ROOT / "docs/examples/tpch/README.md").read_text()
    (block,) = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    return str(block)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("tpch") / "home"
    (home / "dagster").mkdir(parents=True)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("C360_", "DAGSTER_"))},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "C360_HOME": str(home),
        "C360_SPARK_PORT": str(free_port()),
        "C360_SPARK_MEMORY": "2g",
        "DAGSTER_HOME": str(home / "dagster"),
    }
    script = f"set -euo pipefail\ntrap 'c360 down' EXIT\n{documented_commands()}"
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return home


def test_every_record_is_accepted(home: Path) -> None:
    lake = Lakehouse(Settings(home=home))
    assert lake.row_count("gold.fact_sales") == 600_572
    assert [lake.row_count(f"silver.{side}") for side in ("rejected", "deduplicated")] == [0, 0]


@pytest.mark.parametrize("by", sorted(REVENUE_KEYS))
def test_revenue_equals_a_query_on_the_raw_files(home: Path, by: str) -> None:
    lake = Lakehouse(Settings(home=home))
    found = gold_revenue(lake.read("gold.fact_sales"), lake.read("gold.dim_location"))[by]
    assert_same_rows(found, expected_revenue(home / "tpch")[by], list(REVENUE_KEYS[by]), name=by)


def test_every_customer_has_a_360(home: Path) -> None:
    lake = Lakehouse(Settings(home=home))
    found = lake.read("gold.customer_360", columns=["customer_id", "country_code", "orders"])
    assert found.num_rows == 15_000
    assert found.column("country_code").null_count == 0
