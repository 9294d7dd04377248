"""Mistakes that others have made with features of this kind, each as a test of the batch form; the name quotes it."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from c360_assets.features.catalogue import FEATURES
from tests.integration.feature_batch import Batch
from tests.oracle.features.history import histories
from tests.oracle.features.told import DAY, MINUTE, NOW, TICK, changed, placed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

    from c360.settings import Settings
    from tests.oracle.features.changes import Change

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
CLOCKS = (
    r"(?i)\b(current_(date|timestamp|row_timestamp)|localtimestamp|now\s*\(|proctime\s*\(|unix_timestamp\s*\(\s*\))"
)


@pytest.fixture(scope="module")
def spark(spark_settings: Settings) -> Iterator[SparkSession]:
    """A session for the module."""
    from c360.engines.spark import session

    with session(spark_settings) as client:
        yield client


@pytest.fixture(scope="module")
def segments(spark: SparkSession) -> Any:
    """Tells the row of customer C, as of a moment, after these changes."""

    def told(changes: list[Change], as_of: datetime = NOW) -> dict[str, Any] | None:
        return Batch(spark, histories(changes)).rows("customer_segments", as_of).get("C")

    return told


def _orders(*amounts: str) -> list[Change]:
    return [placed(f"O{n}", "C", NOW - (9 - n) * DAY, amount) for n, amount in enumerate(amounts)]


def test_status_updates_are_not_orders_one_order_with_four_updates_is_not_vip(segments: Any) -> None:
    order = placed("O", "C", NOW - DAY, "900.00")
    states = ("paid", "shipped", "completed", "returned")
    updates = [changed(order, NOW - DAY + n * MINUTE, status=state) for n, state in enumerate(states, 1)]
    row = segments([order, *updates])
    assert (row["segment"], row["orders"], row["spend"], row["version"]) == ("New", 1, Decimal("900.00"), 1)


def test_five_or_more_means_five(segments: Any) -> None:
    assert segments(_orders(*["100.00"] * 5))["segment"] == "VIP"
    assert segments(_orders(*["125.00"] * 4))["segment"] == "Regular"
    assert segments(_orders("1.00", "1.00", "1.00"))["segment"] == "Regular"


def test_recency_is_never_zero_by_mixing_naive_and_aware_times(segments: Any) -> None:
    orders = _orders("1.00")  # nine days ago
    assert segments(orders, NOW + 20 * DAY)["segment"] == "New"
    east = timezone(timedelta(hours=14))
    for as_of in (NOW + 21 * DAY, (NOW + 21 * DAY).astimezone(east)):
        assert segments(orders, as_of)["segment"] == "At-Risk"
        assert segments(orders, as_of - TICK)["segment"] == "New"


def test_time_alone_makes_a_customer_at_risk_and_then_churned(segments: Any) -> None:
    orders = _orders(*["100.00"] * 5)  # the last one five days ago
    last = orders[-1].at
    days = [NOW + n * DAY for n in (0, 24, 25, 84, 85, 400)]
    rows = [segments(orders, day) for day in days]
    assert [row["segment"] for row in rows] == ["VIP", "VIP", "At-Risk", "At-Risk", "Churned", "Churned"]
    since = [last, last, *[last + 30 * DAY] * 2, *[last + 90 * DAY] * 2]
    assert [row["effective_at"] for row in rows] == since


def test_outlier_rule_leaves_out_the_order_itself(spark: SparkSession) -> None:
    orders = _orders(*["10.00"] * 5, "11.00")  # with itself among them none of the first ten could be an outlier
    found = Batch(spark, histories(orders)).rows("anomaly_alerts", NOW)
    assert [(row["order_id"], row["rule"], row["orders_counted"]) for row in found.values()] == [("O5", "outlier", 5)]


def test_one_customer_has_one_row_and_not_one_for_each_moment(spark: SparkSession) -> None:
    rows = Batch(spark, histories(_orders("1.00", "2.00", "3.00"))).rows("customer_segments", NOW)
    assert [(row["orders"], row["spend"]) for row in rows.values()] == [(3, Decimal("6.00"))]


def test_batch_and_stream_filter_by_as_of_not_current_date(segments: Any) -> None:
    orders = _orders("1.00", "2.00")
    assert segments(orders, orders[0].at)["orders"] == 1  # a moment long ago, by the clock of this machine
    assert segments(orders, orders[0].at - TICK) is None
    assert segments(orders, datetime(2090, 1, 1, tzinfo=NOW.tzinfo))["segment"] == "Churned"


def test_neither_batch_nor_stream_reads_a_clock() -> None:
    batch = [file for table in FEATURES.values() for file in table.files]
    streams = [
        *(ROOT / "streaming_jobs/families/features").rglob("*.sql"),
        *(ROOT / "streaming_jobs/jobs").rglob("*.sql"),
    ]
    assert batch
    assert streams
    for file in (*batch, *streams):
        code = re.sub(r"--.*", "", file.read_text(encoding="utf-8"))
        # The order of arrival, which a window of rows is over; the value of it goes nowhere.
        code = code.replace("seen_at AS PROCTIME(),", "")
        assert not re.search(CLOCKS, code), file


def test_event_time_of_the_streams_has_watermarks() -> None:
    [shop] = (ROOT / "streaming_jobs/families/features").glob("shop.sql")
    assert re.search(r"WATERMARK FOR \w+ AS", shop.read_text(encoding="utf-8"))
