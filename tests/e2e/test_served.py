"""The API over the demonstration's lake, published five times: what it says equals what DuckDB reads in the tables.

Up to a thousand customers; scale 0.05 has 500, TEST_SCALE=0.1 has them.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx
import pytest

from c360.engines.stack import Stack
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from tests.e2e.conftest import ROOT, Done
from tests.e2e.gold_as_seen import GoldAsSeen
from tests.leaks.rights import Asker
from tests.leaks.sentinel import SENTINEL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

BUSINESS = ("2025-04-01", "2025-08-01", "2025-11-01", "2026-01-01")
"""The last is the demonstration's own, so that its tables stay as other tests expect them."""
TABLES = ("gold.customer_360", "gold.fact_orders")
ROLES = ("support", "analyst", "marketing")
CUSTOMERS = 1000


@dataclass(frozen=True)
class Moment:
    """When a reader may have asked, and which snapshots were published then."""

    at: datetime
    snapshots: dict[str, int]


@pytest.fixture(scope="module")
def stack(environment: dict[str, str], demo: tuple[Path, Done]) -> Iterator[Stack]:
    ports = {name.removeprefix("C360_").lower(): value for name, value in environment.items() if "_PORT" in name}
    stack = Stack(Settings(home=demo[0], spark_memory="2g", **ports))  # type: ignore[arg-type]
    try:
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="module")
def moments(environment: dict[str, str], stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> list[Moment]:
    """The demonstration's release and four more."""
    with Lakehouse(stack.settings) as lake:
        first = {table: lake.snapshot(table) or 0 for table in TABLES}
    found = [Moment(datetime.now(UTC), first)]
    stack.up("spark")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.e2e.rebuild", *(f"{day}T00:00:00+00:00" for day in BUSINESS)],
        cwd=ROOT,
        env=environment | {"DAGSTER_HOME": str(tmp_path_factory.mktemp("dagster"))},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        found += [Moment(datetime.now(UTC), json.loads(line)["snapshots"]) for line in process.stdout]
    stack.down("spark")
    assert process.returncode == 0
    assert len({moment.snapshots["gold.customer_360"] for moment in found}) == 1 + len(BUSINESS)
    return found


@pytest.fixture(scope="module")
def keys(environment: dict[str, str], demo: tuple[Path, Done]) -> dict[str, str]:
    command = [sys.executable, "-m", "c360.cli", "api", "demo-keys", "--json"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    for role, key in found.items():
        SENTINEL.askers[key] = Asker(frozenset({role}), None, frozenset({"marketing", "privacy"}))
    return found


def files(lake: Lakehouse, table: str, snapshot: int) -> list[str]:
    tasks = list(lake.table(table).scan(snapshot_id=snapshot).plan_files())
    assert not any(task.delete_files for task in tasks)
    return [task.file.file_path.removeprefix("file://") for task in tasks]


def test_customers_and_their_orders_are_what_duckdb_reads_in_the_tables(
    stack: Stack, moments: list[Moment], keys: dict[str, str]
) -> None:
    stack.up("api")
    of, compared, root = random.Random(2), 0, f"http://127.0.0.1:{stack.settings.api_port}/v1/customers"
    with Lakehouse(stack.settings) as lake, httpx.Client(timeout=60) as client:
        everybody = sorted({str(each) for each in lake.read("silver.customers", ["customer_id"])["customer_id"]})
        wanted = of.sample(everybody, min(CUSTOMERS, len(everybody)))
        for moment in moments:
            gold = GoldAsSeen({table: files(lake, table, moment.snapshots[table]) for table in TABLES})
            orders = gold.orders()
            for role in ROLES:
                rows = gold.customers(role)
                asked = {"headers": {"x-api-key": keys[role]}, "params": {"as_of": moment.at.isoformat()}}
                for number, customer in enumerate(wanted):
                    answer = client.get(f"{root}/{customer}", **asked)  # type: ignore[arg-type]
                    SENTINEL.received(stack.settings.home, answer)
                    row = rows.get(customer)
                    assert answer.status_code == (404 if row is None else 200), (customer, role, answer.text)
                    if row is None:
                        continue
                    compared += 1
                    assert answer.json()["data"] == row
                    if number % 20 == 0:
                        answer = client.get(f"{root}/{customer}/orders", **asked)  # type: ignore[arg-type]
                        SENTINEL.received(stack.settings.home, answer)
                        assert answer.json()["data"] == orders.get(customer, [])[:50]
    # Of a thousand customers some are in no release yet, and about half have consented to no marketing.
    assert compared > len(wanted) * len(moments) * len(ROLES) / 2


def test_the_segment_history_is_what_spark_said_at_each_moment(
    stack: Stack, moments: list[Moment], keys: dict[str, str]
) -> None:
    """Spark decided the segments of each moment by itself; the newest release knows the whole history."""
    stack.up("api", exist_ok=True)
    address, seen = f"http://127.0.0.1:{stack.settings.api_port}/v1/customers", set[str]()
    with (
        Lakehouse(stack.settings) as lake,
        httpx.Client(headers={"x-api-key": keys["support"]}, params={"limit": 200}, timeout=60) as client,
    ):
        said = [
            (f"{day}T00:00:00", GoldAsSeen({table: files(lake, table, moment.snapshots[table]) for table in TABLES}))
            for day, moment in zip(BUSINESS, moments[1:], strict=True)
        ]
        segments = [(day, {i: row["segment"] for i, row in gold.customers("support").items()}) for day, gold in said]
        for customer in random.Random(6).sample(sorted(segments[-1][1]), 300):
            spells = client.get(f"{address}/{customer}/segment-history").json()["data"]
            for day, by_customer in segments:
                [then] = [
                    spell["segment"]
                    for spell in spells
                    if (spell["since"] or "") <= day and (spell["until"] is None or spell["until"] > day)
                ]
                assert customer not in by_customer or then == by_customer[customer], (customer, day, spells)
                seen.add(then)
    assert seen == {"Prospect", "New", "Regular", "VIP", "At-Risk", "Churned"}
