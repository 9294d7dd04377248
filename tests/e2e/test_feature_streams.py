"""All jobs of features together against an oracle: a bad day of the capture, two kills, every row of every table.

``TEST_SCALE`` is the size of the company; without it a small one. The oracle reads the ledger of what is true, event by
event, in plain Python, and shares no code with the product.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from confluent_kafka import Producer

from c360.cdc.manage import install_topics
from mock_data.shop_ledger import read_ledger
from mock_data.shop_light import heartbeat
from tests.integration.streams.conftest import World, started
from tests.oracle.features.cases import KEYS
from tests.oracle.features.changes import of_ledger
from tests.oracle.features.shop import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.integration
SCALE = float(os.environ.get("TEST_SCALE", "0.02"))
JOBS = {
    "sales_metrics": "sales-aggregations",
    "customer_segments": "customer-segmentation",
    "anomaly_alerts": "anomaly-detection",
    "inventory_insights": "inventory-optimizer",
}
PATIENCE_S = 120 + 3600 * SCALE
"""For so long all of it may take; a whole company is a million changes and more."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with started(tmp_path_factory.mktemp("features"), flink_slots=6, flink_memory_mb=2048) as world:
        install_topics(world.settings)
        yield world


@pytest.fixture(scope="module")
def ledger(world: World) -> pl.DataFrame:
    """Play the company with all defects; kill what runs the tasks twice meanwhile; wait until all is written."""
    command = [sys.executable, "-m", "mock_data.shop", "--light", "--defects", "--scale", str(SCALE), "--seed", "11"]
    environment = {**os.environ, "C360_HOME": str(world.settings.home)}
    environment["C360_KAFKA_PORT"] = str(world.settings.kafka_port)
    folder = world.settings.home / "ledger-of-the-shop"
    with subprocess.Popen([*command, "--out", str(folder)], env=environment, stdout=subprocess.DEVNULL) as player:
        try:
            _until(world, lambda: _running(world))
            for kills, share in enumerate((0.3, 0.6)):
                # A second kill counts only if it hits jobs that run again.
                _until(world, lambda: _running(world) and _restarts(world) >= kills)  # noqa: B023
                _until(world, lambda: _committed(world) >= share * _expected_rows())  # noqa: B023
                world.kill("flink-taskmanager")
            assert player.wait(PATIENCE_S) == 0
        finally:
            player.terminate()
    ledger = read_ledger(folder)
    _settle(world, _end(ledger))
    return ledger


@pytest.fixture(scope="module")
def oracle(ledger: pl.DataFrame) -> dict[str, dict[str, dict[str, Any]]]:
    """Every row that holds at the end, by table and key."""
    shop = Shop()
    for change in of_ledger(ledger.iter_rows(named=True)):
        shop.apply(change)
    found = shop.features(_end(ledger))
    return {table: {row[KEYS[table]]: row for row in rows} for table, rows in found.items()}


@pytest.mark.parametrize("table", JOBS)
def test_every_row_equals_the_oracle_after_two_kills(
    table: str, world: World, ledger: pl.DataFrame, oracle: dict[str, dict[str, dict[str, Any]]]
) -> None:
    wanted, found = oracle[table], _valid(world, table, _end(ledger))
    assert len(wanted) > 10
    assert found.keys() == wanted.keys()
    wrong = [key for key, row in wanted.items() if not _same(found[key], row)]
    assert not wrong, [(found[key], wanted[key]) for key in wrong[:3]]


def test_the_kills_were_felt(world: World, ledger: pl.DataFrame) -> None:
    assert ledger.height
    assert _restarts(world) >= 2


def _end(ledger: pl.DataFrame) -> datetime:
    end = ledger["at"].max()
    assert isinstance(end, datetime)
    return end


def _same(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    def equal(one: Any, other: Any) -> bool:
        if isinstance(one, float) and isinstance(other, float):
            return math.isclose(one, other, rel_tol=1e-9)
        return bool(one == other)

    # An alert is written again only where it says something else: its version is that of when it was told.
    apart = {"version"} if "is_active" in found else set()
    return all(equal(found[name], value) for name, value in wanted.items() if name not in apart)


def _valid(world: World, table: str, as_of: datetime) -> dict[str, dict[str, Any]]:
    rows = world.read(f"features.{table}").filter(pl.col("effective_at") <= as_of)
    newest = rows.sort("version", "effective_at", maintain_order=True).unique(KEYS[table], keep="last")
    if "is_active" in newest.columns:
        newest = newest.filter("is_active")
    return {row[KEYS[table]]: row for row in newest.iter_rows(named=True)}


def _until(world: World, there: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not there():
        assert time.monotonic() < deadline, {name: world.rows(f"features.{name}") for name in JOBS}
        world.tick(*JOBS.values())
        time.sleep(0.5)


def _running(world: World) -> bool:
    return all([job.state for job in world.streams.look(name).active] == ["RUNNING"] for name in JOBS.values())


def _restarts(world: World) -> int:
    return min(world.streams.flink.restarts(world.streams.look(name).active[0].id) or 0 for name in JOBS.values())


def _settle(world: World, end: datetime) -> None:
    """Let time pass as capture does, until no table has grown for two checkpoints with nothing left to read."""
    producer = Producer({"bootstrap.servers": world.settings.kafka_servers})
    seen: list[int] = []
    since, beats = time.monotonic(), 0

    def settled() -> bool:
        nonlocal seen, since, beats
        beats += 1
        topic, key, value = heartbeat(end + timedelta(milliseconds=beats))
        producer.produce(topic, value, key)
        producer.flush(10)
        rows = [world.rows(f"features.{name}") for name in JOBS]
        if rows != seen or not _running(world) or _pending(world):
            seen, since = rows, time.monotonic()
        return time.monotonic() - since > 25

    _until(world, settled)


def _pending(world: World) -> bool:
    lags = [world.streams.flink.lag(world.streams.look(name).active[0].id) for name in JOBS.values()]
    # Without a message since its last start a source does not say how many there are.
    return any(lag.pending for lag in lags)


def _committed(world: World) -> int:
    return world.rows("features.customer_segments")


def _expected_rows() -> float:
    """About as many rows of segments as the company has orders."""
    return 100_000 * SCALE
