"""Envelopes, against what Debezium 3.6 wrote for the same rows, and against a decoder of the test's own."""

from __future__ import annotations

import json
from base64 import b64decode
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c360.cdc.envelope import Position, decimal_bytes, encoded, message_key, message_value
from c360.cdc.schema import ShopColumn, shop_tables
from c360.errors import C360Error

MONEY = ShopColumn("unit_price", "decimal(12,2)", "numeric(12,2)", required=False)
MOMENT = ShopColumn("updated_at", "timestamp", "timestamptz", required=True)
DAY = ShopColumn("birth_date", "date", "date", required=False)
NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


def decoded(text: str) -> Decimal:
    """Two's complement read bit by bit."""
    bits = "".join(f"{byte:08b}" for byte in b64decode(text))
    number = int(bits[1:] or "0", 2) - (int(bits[0]) << (len(bits) - 1))
    return Decimal(number) / 100


# Read from the topics of Debezium 3.6.3.
CAPTURED = {
    "-0.01": "/w==",
    "0": "AA==",
    "1.28": "AIA=",
    "-1.28": "gA==",
    "327.68": "AIAA",
    "9999999999.99": "AOjUpQ//",
    "-9999999999.99": "/xcrWvAB",
}


@pytest.mark.parametrize(("amount", "text"), CAPTURED.items())
def test_amounts_are_written_as_debezium_did(amount: str, text: str) -> None:
    assert encoded(MONEY, Decimal(amount)) == text
    assert decoded(text) == Decimal(amount)


@given(st.decimals(min_value="-9999999999.99", max_value="9999999999.99", places=2))
def test_any_amount_comes_back_from_the_fewest_bytes(amount: Decimal) -> None:
    text = encoded(MONEY, amount)
    assert decoded(text) == amount
    raw = b64decode(text)
    # A first byte that repeats the sign of the second says nothing.
    assert len(raw) == 1 or (raw[0], raw[1] >> 7) not in {(0x00, 0), (0xFF, 1)}


@pytest.mark.parametrize(("amount", "same"), [("1E+3", "1000.00"), ("1.5", "1.50"), ("-0.00", "0"), ("2.500", "2.5")])
def test_how_an_amount_is_written_makes_no_difference(amount: str, same: str) -> None:
    assert encoded(MONEY, Decimal(amount)) == encoded(MONEY, Decimal(same))


def test_an_amount_beyond_64_bits_is_exact() -> None:
    huge = Decimal("-123456789012345678901234567890.12")
    assert int.from_bytes(decimal_bytes(huge, 2), "big", signed=True) == -12345678901234567890123456789012


@pytest.mark.parametrize("amount", ["0.001", "-0.019", "NaN", "Infinity"])
def test_what_the_column_cannot_hold_is_refused(amount: str) -> None:
    with pytest.raises(C360Error, match=r"digits behind the point|is no amount"):
        encoded(MONEY, Decimal(amount))


def test_moments_and_days_are_written_as_debezium_did() -> None:
    east = timezone(timedelta(hours=2))
    assert encoded(MOMENT, datetime(2025, 1, 1, 10, 0, 0, 1, tzinfo=east)) == "2025-01-01T08:00:00.000001Z"
    assert encoded(MOMENT, datetime(2025, 1, 1, 10, 0, 0, 120_000, tzinfo=UTC)) == "2025-01-01T10:00:00.120000Z"
    assert encoded(MOMENT, datetime(999, 1, 1, 10, tzinfo=UTC)) == "0999-01-01T10:00:00.000000Z"
    assert encoded(DAY, date(1969, 12, 31)) == -1
    assert encoded(DAY, date(2000, 2, 29)) == 11016
    assert [encoded(column, None) for column in (MONEY, MOMENT, DAY)] == [None] * 3


ITEM: dict[str, Any] = {
    "order_item_id": "I1", "order_id": "O1", "line_number": 1, "product_id": "P1", "quantity": 3,
    "unit_price": Decimal("1.28"), "discount_amount": Decimal("-1.28"), "returned_quantity": None, "updated_at": NOON,
}  # fmt: skip


def test_a_whole_message_is_what_debezium_wrote() -> None:
    table = shop_tables()["order_items"]
    assert message_key(table, ITEM) == b'{"order_item_id":"I1"}'
    value = json.loads(message_value(table, "c", None, ITEM, Position(28801840, 772, NOON), NOON))
    assert value["after"] == {
        "order_item_id": "I1", "order_id": "O1", "line_number": 1, "product_id": "P1", "quantity": 3,
        "unit_price": "AIA=", "discount_amount": "gA==", "returned_quantity": None,
        "updated_at": "2025-01-01T12:00:00.000000Z",
    }  # fmt: skip
    names = [
        "version", "connector", "name", "ts_ms", "snapshot", "db", "sequence", "ts_us", "ts_ns", "schema", "table",
        "txId", "lsn", "xmin", "origin", "origin_lsn",
    ]  # fmt: skip
    assert list(value["source"]) == names
    assert list(value) == ["before", "after", "source", "transaction", "op", "ts_ms", "ts_us", "ts_ns"]
    source = value["source"]
    assert (source["db"], source["schema"], source["table"], source["snapshot"]) == (
        "shop", "public", "order_items", "false",
    )  # fmt: skip
    assert (source["lsn"], source["txId"], source["ts_ms"]) == (28801840, 772, 1735732800000)
    assert (value["op"], value["before"], value["ts_ns"]) == ("c", None, 1735732800000000000)


def test_deletion_has_the_old_row_only() -> None:
    value = json.loads(message_value(shop_tables()["order_items"], "d", ITEM, None, Position(1, 1, NOON), NOON))
    assert (value["before"]["order_item_id"], value["after"], value["op"]) == ("I1", None, "d")
