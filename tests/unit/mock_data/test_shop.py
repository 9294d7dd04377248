"""The shop's transactions: the same each time, consistent one after another, ending in the company's clean tables."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from c360.errors import C360Error
from mock_data import generate
from mock_data.company import company_of
from mock_data.shop_changes import Transaction, transactions
from mock_data.shop_ledger import ShopLedger, read_ledger

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {
    "customers": "customer_id", "locations": "location_id", "products": "product_id", "orders": "order_id",
    "order_items": "order_item_id", "shipments": "shipment_id",
    "stock": "movement_id",
}  # fmt: skip
MOMENTS = {"stock": "moved_at"}
ARGUMENTS: dict[str, Any] = {"scale": 0.01, "seed": 7, "start": date(2025, 1, 20), "days": 90}


@pytest.fixture(scope="module")
def shop() -> list[Transaction]:
    return list(transactions(company_of(**{**ARGUMENTS, "scale": 0.01})))


def test_same_arguments_give_the_same_and_others_give_others(shop: list[Transaction]) -> None:
    assert list(transactions(company_of(**ARGUMENTS))) == shop
    assert list(transactions(company_of(**{**ARGUMENTS, "seed": 8}))) != shop
    assert list(transactions(company_of(**ARGUMENTS), limit=50)) == shop[:50]


def test_transactions_follow_one_another_and_each_change_continues_its_row(shop: list[Transaction]) -> None:
    assert [transaction.number for transaction in shop] == list(range(1, len(shop) + 1))
    moments = [transaction.at for transaction in shop]
    assert moments == sorted(moments)
    rows: dict[tuple[str, str], Any] = {}
    kinds = set()
    for transaction in shop:
        assert transaction.changes
        for change in transaction.changes:
            key = (change.table, change.row[KEYS[change.table]])
            assert change.key == {KEYS[change.table]: key[1]}
            assert change.before == rows.get(key)
            assert change.op == ("d" if change.after is None else "c" if change.before is None else "u")
            assert change.before != change.after
            rows[key] = change.after
            kinds.add((change.table, change.op))
    assert {(table, "c") for table in KEYS} | {(table, "u") for table in KEYS if table != "stock"} <= kinds
    assert ("stock", "u") not in kinds
    assert {("orders", "d"), ("order_items", "d")} <= kinds


def test_an_order_is_entered_and_deleted_with_its_items(shop: list[Transaction]) -> None:
    where: dict[tuple[str, str], set[int]] = defaultdict(set)
    for transaction in shop:
        for change in transaction.changes:
            if change.table in {"orders", "order_items"} and change.op != "u":
                where[change.row["order_id"], change.op].add(transaction.number)
    assert {len(numbers) for numbers in where.values()} == {1}
    deleted = [transaction for transaction in shop if transaction.changes[-1].op == "d"]
    assert deleted
    for transaction in deleted:
        assert [change.table for change in transaction.changes][-1] == "orders"
        assert (transaction.changes[-1].before or {})["status"] == "cancelled"


def test_what_is_left_at_the_end_is_what_the_files_say(shop: list[Transaction], tmp_path: Path) -> None:
    generate(tmp_path, **ARGUMENTS, defects=False)
    for table, key in KEYS.items():
        clean = pl.read_parquet(tmp_path / "truth" / "clean" / f"{table}.parquet").sort(
            MOMENTS.get(table, "updated_at")
        )
        wanted = {row[key]: row for row in clean.iter_rows(named=True)}
        left: dict[str, Any] = {}
        for transaction in shop:
            for change in transaction.changes:
                if change.table == table:
                    # What an order came to is in no file.
                    after = change.after or {}
                    left[change.row[key]] = {k: v for k, v in after.items() if k != "total_amount"} or None
        deleted = {identity for identity, row in left.items() if row is None}
        assert {k: v for k, v in left.items() if v is not None} == {k: v for k, v in wanted.items() if k not in deleted}
        assert set(left) == set(wanted)


def test_moved_play_keeps_its_distances(shop: list[Transaction]) -> None:
    end = datetime(2026, 5, 4, 3, 2, 1, 987_654, tzinfo=UTC)
    moved = list(transactions(company_of(**ARGUMENTS), until=end))
    assert moved[-1].at == end
    by = end - shop[-1].at
    assert {there.at - here.at for here, there in zip(shop, moved, strict=True)} == {by}
    for here, there in zip(shop[:200], moved[:200], strict=True):
        for old, new in zip(here.changes, there.changes, strict=True):
            moment = MOMENTS.get(new.table, "updated_at")
            assert new.row[moment] - old.row[moment] == by
            assert new.row.get("birth_date") == old.row.get("birth_date")
    assert by > timedelta(days=300)


def test_ledger_has_each_change_in_order(shop: list[Transaction], tmp_path: Path) -> None:
    ledger = ShopLedger(tmp_path / "ledger")
    for transaction in shop:
        ledger.add(transaction)
    counts = ledger.close(path="test")
    told = read_ledger(tmp_path / "ledger")
    assert told["position"].to_list() == list(range(1, counts["changes"] + 1))
    assert json.loads((tmp_path / "ledger" / "counts.json").read_text()) == counts
    changes = [change for transaction in shop for change in transaction.changes]
    assert told["op"].to_list() == [change.op for change in changes]
    for text, change in list(zip(told["after"], changes, strict=True))[::17]:
        assert (text is None) == (change.after is None)
        for name, value in json.loads(text or "{}").items():
            assert str(value) == str((change.after or {})[name]).replace(" ", "T" if name.endswith("_at") else " ")
    with pytest.raises(C360Error, match="already holds a ledger"):
        ShopLedger(tmp_path / "ledger")
