"""Alerts and inventory of a hand-made company."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from tests.oracle.features.rules import alerts, insight
from tests.unit.oracle.world import AS_OF, SALES, at, by, gold, gold_at, part, usd

DAY = timedelta(days=1)


def test_alerts_of_a_company() -> None:
    def order(number: int, moment: str, status: str = "paid") -> dict[str, Any]:
        keys = {"order_id": f"A{number}", "customer_id": "C1", "status": status}
        return {**keys, "ordered_at": moment, "updated_at": moment}

    orders = [
        order(1, "2024-03-10T10:00:00"), order(2, "2024-03-10T10:05:00", "cancelled"), order(3, "2024-04-01T00:00:01"),
    ]  # fmt: skip
    items = [
        {"order_item_id": f"I{n}{line}", "order_id": f"A{n}", "product_id": "P1", "quantity": 2,
         "unit_price": "260.00", "discount_amount": "15.00", "updated_at": "2024-03-10"}
        for n in (2, 3) for line in (1, 2)
    ]  # fmt: skip
    rows = by(gold(orders=orders, order_items=items)["anomaly_alerts"], "alert_id")
    assert {key: part(row, "severity", "amount", "threshold", "orders_counted") for key, row in rows.items()} == {
        "A2-rapid_orders": ("low", usd("1010.00"), None, 2),
        "A2-large_order": ("low", usd("1010.00"), usd("1000.00"), 1),
    }
    assert part(rows["A2-large_order"], "customer_id", "order_id", "rule", "raised_at") == (
        "C1", "A2", "large_order", at("2024-03-10T10:05:00"),
    )  # fmt: skip


def test_an_outlier_is_above_three_deviations_of_at_least_five_orders_before() -> None:
    def told(last: str, *before: str) -> dict[str, tuple[str, Decimal]]:
        amounts = [*before, last]
        orders = [(f"O{n}", "C1", AS_OF - (9 - n) * DAY, usd(amount)) for n, amount in enumerate(amounts)]
        return {row["alert_id"]: (row["severity"], row["threshold"]) for row in alerts(orders, AS_OF)}

    before = ("10", "10", "10", "10", "20")  # mean 12, deviation 4
    assert told("24.00", *before) == {}
    assert told("24.01", *before) == {"O5-outlier": ("medium", usd(24))}
    assert told("32.01", *before) == {"O5-outlier": ("high", usd(24))}
    assert told("32.01", *before[1:]) == {}


def test_inventory_of_a_company() -> None:
    stock: list[dict[str, Any]] = [
        {"movement_id": "M1", "product_id": "P1", "quantity": 1, "moved_at": "2024-02-10T10:00:00"},
        {"movement_id": "M2", "product_id": "P1", "quantity": 5, "moved_at": "2024-02-10T10:00:01"},
    ]
    columns = (
        "stock_on_hand", "units_sold_7d", "units_per_day", "days_until_stock_out", "status", "dead_stock",
        "last_sold_at", "restock_quantity", "restock_urgency",
    )  # fmt: skip
    sold = at("2024-02-10T10:00:00")
    early = by(gold_at(sold, **SALES, stock=stock)["inventory_insights"], "product_id")
    assert part(early["P1"], *columns) == (
        1, 3, usd("0.4286"), usd("2.33"), "critical", False, sold, 5, "high",
    )  # fmt: skip
    now = by(gold(**SALES, stock=stock)["inventory_insights"], "product_id")
    assert part(now["P1"], *columns) == (6, 0, usd("0.0000"), None, "healthy", True, sold, 0, "none")
    assert part(now["P2"], *columns) == (0, 0, usd("0.0000"), None, "out_of_stock", True, None, 0, "none")


def test_a_week_ago_is_within_the_week_and_thirty_days_are_dead() -> None:
    tick = timedelta(microseconds=1)
    assert insight("P", 1, [(AS_OF - 7 * DAY, 1)], AS_OF)["status"] == "low"
    assert insight("P", 1, [(AS_OF - 7 * DAY - tick, 1)], AS_OF)["status"] == "healthy"
    assert insight("P", 1, [(AS_OF - 30 * DAY, 1)], AS_OF)["dead_stock"]
    assert not insight("P", 1, [(AS_OF - 30 * DAY + tick, 1)], AS_OF)["dead_stock"]
