"""Grouped marts of a hand-made company."""

from __future__ import annotations

from datetime import date
from typing import Any

from tests.unit.oracle.world import SALES, at, by, gold, gold_at, part, usd


def test_sales_daily() -> None:
    rows = by(gold(**SALES)["sales_daily"], "order_date", "sales_channel", "country_code")
    measures = (
        "orders", "order_items", "customers", "units", "gross_amount", "discount_amount", "net_amount",
        "returned_amount", "revenue_amount", "cancelled_orders",
    )  # fmt: skip
    assert {key: part(row, *measures) for key, row in rows.items()} == {
        (date(2024, 2, 10), "web", "US"): (1, 1, 1, 3, usd(30), usd(1), usd(29), usd("9.67"), usd("19.33"), 0),
        (date(2024, 3, 5), "unknown", "DE"): (1, 1, 1, 1, usd(12), usd(0), usd(12), usd(0), usd(0), 1),
        (date(2024, 3, 5), "unknown", "ZZ"): (1, 1, 1, 2, usd(10), usd(0), usd(10), usd(0), usd(10), 0),
    }


def test_product_performance() -> None:
    stock: list[dict[str, Any]] = [
        {"movement_id": "M1", "product_id": "P2", "quantity": 7, "moved_at": "2024-02-01"},
        {"movement_id": "M2", "product_id": "P2", "quantity": -9, "moved_at": "2024-02-02"},
    ]
    rows = by(gold(**SALES, stock=stock)["product_performance"], "product_id")
    assert set(rows) == {"P1", "P2"}
    # I1 and I4 (whose order is unknown); I2 was cancelled
    assert rows["P1"] == {
        "product_id": "P1", "product_name": "Pen", "category": "Art", "brand": None, "status": "active", "orders": 2,
        "units_sold": 4, "returned_units": 1, "gross_amount": usd(42), "discount_amount": usd(1),
        "revenue_amount": usd("31.33"), "cost_amount": usd(17), "margin_amount": usd(24), "return_rate": usd("0.2500"),
        "first_sold_at": at("2024-02-10T10:00:00"), "last_sold_at": at("2024-02-10T10:00:00"), "stock_on_hand": 0,
    }  # fmt: skip
    assert part(rows["P2"], "orders", "units_sold", "revenue_amount", "return_rate", "last_sold_at") == (
        0, 0, usd(0), None, None,
    )  # fmt: skip
    assert rows["P2"]["stock_on_hand"] == -2


def test_delivery_performance() -> None:
    def shipment(number: int, **values: Any) -> dict[str, Any]:
        return {"shipment_id": f"S{number}", "order_id": "O1", "carrier": "DHL", "status": "delivered",
                "shipped_at": "2024-02-11", "updated_at": "2024-02-20", **values}  # fmt: skip

    shipments = [
        shipment(1, location_id="L1", promised_at="2024-02-13", delivered_at="2024-02-12", shipping_cost="1.00"),
        shipment(2, location_id="L1", promised_at="2024-02-13", delivered_at="2024-02-14", shipping_cost="2.05"),
        shipment(3, location_id="L1", delivered_at="2024-02-11T01:00:00", status="returned"),
        shipment(4, location_id="L1", promised_at="2024-02-13", status="lost"),
        shipment(5, shipped_at="2024-03-01", service_level="express", status="in_transit"),
        shipment(6, shipped_at=None, status="created"),
    ]
    rows = by(
        gold(**SALES, shipments=shipments)["delivery_performance"],
        "ship_month", "carrier", "service_level", "country_code",
    )  # fmt: skip
    measures = (
        "shipments", "delivered", "on_time", "lost", "returned", "on_time_rate", "avg_transit_hours", "shipping_cost",
    )  # fmt: skip
    assert {key: part(row, *measures) for key, row in rows.items()} == {
        # (24 + 72 + 1) / 3 = 32.333…
        (date(2024, 2, 1), "DHL", "unknown", "US"): (4, 3, 1, 1, 1, usd("0.5000"), usd("32.33"), usd("3.05")),
        (date(2024, 3, 1), "DHL", "express", "ZZ"): (1, 0, 0, 0, 0, None, None, usd(0)),
    }


def test_customer_value() -> None:
    rows = by(gold(**SALES)["customer_value"], "customer_id")
    assert set(rows) == {"C1", "C2", "C3"}
    # from 10 February 10:00 to 1 April 00:00 it is 50 days and 14 hours
    assert rows["C1"] == {
        "customer_id": "C1", "orders": 1, "cancelled_orders": 1, "units": 3, "revenue_amount": usd("19.33"),
        "returned_amount": usd("9.67"), "average_order_value": usd("19.33"),
        "first_order_at": at("2024-02-10T10:00:00"),
        "last_order_at": at("2024-02-10T10:00:00"), "recency_days": 50, "r_score": 1, "f_score": 1, "m_score": 1,
        "rfm_score": "111",
    }  # fmt: skip
    assert {v for k, v in rows["C2"].items() if k != "customer_id"} == {0, None}


def test_as_of_hides_later_orders_and_counts_its_own_moment() -> None:
    early = by(gold_at(at("2024-02-10T10:00:00"), **SALES)["customer_value"], "customer_id")["C1"]
    assert part(early, "orders", "cancelled_orders", "recency_days") == (1, 0, 0)
    before = by(gold_at(at("2024-02-10T09:59:59"), **SALES)["customer_value"], "customer_id")["C1"]
    assert part(before, "orders", "recency_days", "rfm_score") == (0, None, None)


def test_scores_are_fifths_with_ties_by_customer() -> None:
    customers = [
        {"customer_id": f"C{n}", "registered_at": "2024-01-01", "updated_at": "2024-01-01"} for n in range(1, 8)
    ]
    # C1 … C6 buy once each on the same day, C1 dearest; C7 never
    orders = [
        {"order_id": f"O{n}", "customer_id": f"C{n}", "ordered_at": "2024-02-01", "status": "paid",
         "updated_at": "2024-02-01"} for n in range(1, 7)
    ]  # fmt: skip
    items = [
        {"order_item_id": f"I{n}", "order_id": f"O{n}", "product_id": "P", "quantity": 1,
         "unit_price": f"{10 - n}.00", "updated_at": "2024-02-01"} for n in range(1, 7)
    ]  # fmt: skip
    rows = by(gold(customers=customers, orders=orders, order_items=items)["customer_value"], "customer_id")
    assert {k: r["rfm_score"] for k, r in rows.items()} == {
        "C1": "115", "C2": "114", "C3": "223", "C4": "332", "C5": "441", "C6": "551", "C7": None,
    }  # fmt: skip
