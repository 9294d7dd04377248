"""The features by Spark: every case by hand, and a company's ledger against the oracle at several moments."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mock_data.company import company_of
from mock_data.shop_changes import transactions
from mock_data.shop_ledger import ShopLedger, read_ledger
from tests.integration.feature_batch import Batch, by_key, same
from tests.oracle.features.anything import anything, moments
from tests.oracle.features.cases import CASES
from tests.oracle.features.changes import of_ledger
from tests.oracle.features.history import histories
from tests.oracle.features.shop import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import SparkSession

    from c360.settings import Settings
    from tests.oracle.features.changes import Change
    from tests.oracle.features.told import Case

pytestmark = pytest.mark.integration

Row = dict[str, Any]


@pytest.fixture(scope="module")
def spark(spark_settings: Settings) -> Iterator[SparkSession]:
    """A session for the module."""
    from c360.engines.spark import session

    with session(spark_settings) as client:
        yield client


@pytest.fixture(scope="module")
def of_cases(spark: SparkSession) -> dict[str, dict[str, Row]]:
    """What Spark makes of all cases by customer or product, by table and case: those of a moment at once."""
    groups: dict[tuple[str, datetime], list[Case]] = defaultdict(list)
    for case in CASES:
        if case.table != "sales_metrics":
            groups[case.table, case.as_of].append(case.apart())
    found: dict[str, dict[str, Row]] = defaultdict(dict)
    for (table, as_of), cases in groups.items():
        changes = [change for case in cases for change in case.changes]
        for key, row in Batch(spark, histories(_numbered(changes))).rows(table, as_of).items():
            found[f"{table}-{key.split(':')[0]}"][key] = row
    return found


def _numbered(changes: list[Change]) -> list[Change]:
    """Changes of several cases: those with a number of their own keep apart from those of other cases."""
    from dataclasses import replace

    places: dict[str, int] = {}
    return [
        change if change.lsn is None else replace(change, lsn=-1 - places.setdefault(repr(change), len(places)))
        for change in changes
    ]


@pytest.mark.parametrize("case", [c for c in CASES if c.table != "sales_metrics"], ids=lambda c: f"{c.table}-{c.name}")
def test_a_case_by_hand(case: Case, of_cases: dict[str, dict[str, Row]]) -> None:
    same(of_cases.get(f"{case.table}-{case.name}", {}), by_key(case.apart().rows, case.table))


@pytest.mark.parametrize("case", [c for c in CASES if c.table == "sales_metrics"], ids=lambda c: c.name)
def test_sales_by_hand(case: Case, spark: SparkSession) -> None:
    found = Batch(spark, histories(case.changes)).rows(case.table, case.as_of)
    same(found, by_key(case.rows, case.table))


@pytest.mark.parametrize("seed", [1, 2])
def test_batch_is_the_oracle_whatever_happens_in_whatever_order(seed: int, spark: SparkSession) -> None:
    changes, shop = anything(seed), Shop()
    for change in changes:
        shop.apply(change)
    batch, told = Batch(spark, histories(changes)), Counter[str]()
    for as_of in moments(seed):
        for table, wanted in shop.features(as_of).items():
            same(batch.rows(table, as_of), by_key(wanted, table))
            told.update(row.get("segment") or row.get("rule") or row.get("status") or table for row in wanted)
    assert told.keys() >= {"VIP", "Regular", "New", "At-Risk", "Churned", "order_spike", "rapid_orders", "outlier"}
    assert told.keys() >= {"large_order", "out_of_stock", "critical", "low", "healthy", "sales_metrics"}


def test_a_company_is_the_same_to_batch_and_to_the_oracle(spark: SparkSession, tmp_path: Path) -> None:
    ledger = ShopLedger(tmp_path / "ledger")
    for transaction in transactions(company_of(0.005, 7, date(2025, 1, 1), 200)):
        ledger.add(transaction)
    ledger.close()
    changes, shop = list(of_ledger(read_ledger(ledger.folder).to_dicts())), Shop()
    for change in changes:
        shop.apply(change)
    batch, told = Batch(spark, histories(changes)), Counter[str]()
    end = changes[-1].at
    for as_of in (end - timedelta(days=100), end, end + timedelta(days=45)):
        for table, wanted in shop.features(as_of).items():
            same(batch.rows(table, as_of), by_key(wanted, table))
            told.update(row.get("segment") or row.get("rule") or row.get("status") or table for row in wanted)
    assert told.keys() >= {"New", "Regular", "At-Risk", "Churned", "large_order", "healthy", "sales_metrics"}
