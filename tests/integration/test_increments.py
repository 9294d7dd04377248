"""Daily batches, one after another, give row for row what a full rebuild gives, and what the oracle says.

Six days across the end of a month; TEST_INCREMENT_DAYS=30 makes it thirty.
"""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

import mock_data
from c360.contracts import get_contract, load_contracts, to_arrow
from c360.engines.spark import session
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from c360_assets.gold import GOLD, build_gold
from c360_assets.pipeline import bronze, silver
from c360_assets.pipeline.publication import audit_and_publish
from c360_assets.specs import is_conformed
from tests.oracle.compare import assert_same_rows
from tests.oracle.gold import KEYS, gold_tables

pytestmark = pytest.mark.integration

START, DAYS = date(2025, 3, 28), int(os.environ.get("TEST_INCREMENT_DAYS", "6"))


@pytest.fixture(scope="module")
def built(
    spark_settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Lakehouse, Path, dict[str, dict[str, int | None]]]:
    company = tmp_path_factory.mktemp("company")
    mock_data.generate(company, scale=0.02, seed=7, start=START, days=DAYS)
    lake = Lakehouse(spark_settings)
    modes: dict[str, dict[str, int | None]] = {}
    for offset in range(DAYS):
        day = START + timedelta(days=offset)
        modes[day.isoformat()] = refresh(lake, spark_settings, company / "landing", day)
    return lake, company, modes


def refresh(
    lake: Lakehouse, settings: Settings, landing: Path, day: date, *, full_refresh: bool = False
) -> dict[str, int | None]:
    """Bronze, silver and gold for one landing day; returns the snapshot each table ended with."""
    conformed = [name for name, contract in load_contracts().items() if is_conformed(contract)]
    for name in conformed:
        [source] = get_contract(name).upstream
        bronze.ingest(lake, source, landing, [day], run_id="test", ingested_at=datetime.now(UTC))
        silver.refine(lake, name, run_id="test", full_refresh=full_refresh)
    as_of = datetime.combine(day + timedelta(days=1), time(), UTC)
    with session(settings) as spark:
        for name in GOLD:
            with build_gold(lake, spark, name, as_of=as_of, full_refresh=full_refresh, commit_run_id="test") as build:
                if build.staged is not None:
                    audit_and_publish(build.staged, get_contract(name))
    return {name: lake.snapshot(name) for name in (*conformed, *GOLD)}


def ordered(lake: Lakehouse, name: str) -> pa.Table:
    contract = get_contract(name)
    rows = lake.read(name).cast(to_arrow(contract))  # Spark's and Arrow's files differ in the width of text offsets
    return rows.sort_by([(column, "ascending") for column in contract.primary_key])


def test_rerun_of_a_finished_day_changes_nothing(
    built: tuple[Lakehouse, Path, dict[str, dict[str, int | None]]], spark_settings: Settings
) -> None:
    lake, company, snapshots = built
    last = START + timedelta(days=DAYS - 1)
    assert refresh(lake, spark_settings, company / "landing", last) == snapshots[last.isoformat()]


@pytest.mark.parametrize("table", sorted(KEYS))
def test_increments_equal_the_oracle(
    table: str, built: tuple[Lakehouse, Path, dict[str, dict[str, int | None]]]
) -> None:
    lake, company, _ = built
    as_of = datetime.combine(START + timedelta(days=DAYS), time(), UTC)
    expected = gold_tables(company / "truth", as_of)[table]
    assert_same_rows(lake.read(f"gold.{table}"), expected, list(KEYS[table]), name=table)


def test_increments_equal_a_full_rebuild(
    built: tuple[Lakehouse, Path, dict[str, dict[str, int | None]]], spark_settings: Settings
) -> None:
    lake, company, _ = built
    names = [name for name, contract in load_contracts().items() if contract.layer != "bronze"]
    before = {name: ordered(lake, name) for name in names}
    refresh(lake, spark_settings, company / "landing", START + timedelta(days=DAYS - 1), full_refresh=True)
    for name in names:
        assert ordered(lake, name).equals(before[name]), name
