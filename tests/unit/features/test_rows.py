"""From messages to items and back; what is no row is refused, without a word of what is in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from c360.features.rows import RefusedRow, Row, Rows, newest, record_of
from tests.unit.features.feature_tables import TABLES, alert, moment, segment

SEGMENTS, ALERTS = TABLES["customer_segments"], TABLES["anomaly_alerts"]


def read(table: str, record: object, key: str | None = None) -> Row:
    found = record[TABLES[table].key] if isinstance(record, dict) and key is None else key
    return Rows(TABLES[table]).of(str(found).encode(), json.dumps(record).encode())


def test_tables_topics_and_keys_follow_from_the_contracts() -> None:
    assert {name: (table.topic, table.store, table.key, table.index) for name, table in TABLES.items()} == {
        "sales_metrics": ("features-sales-metrics", "realtime-sales-metrics", "metric_id", None),
        "customer_segments": ("features-customer-segments", "customer-segments", "customer_id", None),
        "anomaly_alerts": ("features-anomaly-alerts", "anomaly-alerts", "alert_id", "customer_id"),
        "inventory_insights": ("features-inventory-insights", "inventory-insights", "product_id", None),
        "customer_sessions": ("features-customer-sessions", "customer-sessions", "session_id", "customer_id"),
        "abandoned_carts": ("features-abandoned-carts", "abandoned-carts", "cart_id", "customer_id"),
        "churn_scores": ("features-churn-scores", "churn-scores", "customer_id", None),
    }
    for table in TABLES.values():
        assert {"version", "effective_at", table.key} <= {column.name for column in table.columns}


@pytest.mark.parametrize(
    ("table", "record"),
    [
        ("customer_segments", segment(1, 7, 5)),
        ("anomaly_alerts", alert(1, 2, 3, active=False)),
        ("customer_segments", segment(2, 1, 5, spend="0.00")),
        ("customer_segments", segment(2, 1, 5, spend="-9999999999999999.99")),
    ],
)
def test_a_row_comes_back_as_its_message_had_it(table: str, record: dict[str, Any]) -> None:
    assert record_of(TABLES[table], read(table, record).item) == record


def test_amounts_are_numbers_and_times_are_text() -> None:
    item = read("customer_segments", segment(1, 7, 5)).item
    assert item["spend"] == {"N": "71.50"}
    assert item["effective_at"] == {"S": "2025-01-01T00:00:05.000000Z"}
    assert "threshold" not in read("anomaly_alerts", {**alert(1, 2, 3), "threshold": None}).item


def test_zeros_that_the_store_drops_come_back() -> None:
    item = read("customer_segments", segment(1, 7, 5, spend="70.00")).item
    assert record_of(SEGMENTS, {**item, "spend": {"N": "7E+1"}})["spend"] == "70.00"


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ([1], "object"),
        (segment(1, 1, 1, spend="secret"), "spend"),
        (segment(1, 1, 1, spend=1.5), "spend"),
        (segment(1, 1, 1, spend="NaN"), "spend"),
        (segment(1, 1, 1, spend="1e999999999"), "spend"),
        (segment(1, 1, 1, orders=True), "orders"),
        (segment(1, 1, 1, orders=2**70), "orders"),
        (segment(1, 1, 1, version="7"), "version"),
        (segment(1, 1, 1, version=None), "version"),
        (segment(1, 1, 1, effective_at="2025-01-01"), "effective_at"),
        (segment(1, 1, 1, effective_at="2025-01-01T10:00:00.000000+00:00"), "effective_at"),
        (segment(1, 1, 1, segment=["secret"]), "segment"),
        (segment(1, 1, 1, unheard_of="secret"), "has not"),
        (segment(1, 1, 1, customer_id=""), "key"),
    ],
)
def test_what_is_no_row_is_refused_and_not_quoted(record: Any, why: str) -> None:
    with pytest.raises(RefusedRow, match=why) as refused:
        read("customer_segments", record, "C0000001")
    assert "secret" not in str(refused.value)


def test_bytes_that_are_no_json_another_key_and_no_value_are_refused() -> None:
    rows, value = Rows(SEGMENTS), json.dumps(segment(1, 1, 1)).encode()
    for key, bad in ((b"C0000001", b"{"), (b"C0000002", value), (None, value), (b"\xff", value), (b"C0000001", None)):
        with pytest.raises(RefusedRow):
            rows.of(key, bad)
    with pytest.raises(RefusedRow, match="customer_id is empty"):
        read("anomaly_alerts", {**alert(1, 1, 1), "customer_id": ""})
    assert rows.of(b"C0000001", value).newest == (1, moment(1))


def test_version_decides_and_then_the_moment() -> None:
    rows = [read("customer_segments", segment(1, *each)) for each in ((2, 1), (1, 9), (2, 3), (2, 2), (1, 1))]
    [found] = newest(rows)
    assert found.newest == (2, moment(3))
    assert len(newest([*rows, read("customer_segments", segment(2, 1, 1))])) == 2
