"""The wide customer table of a hand-made company."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.oracle.world import SALES, at, by, gold, part, usd

CONSENTS: list[dict[str, Any]] = [
    {"customer_id": "C1", "purpose": "marketing_email", "granted": True, "updated_at": "2024-01-01"},
    {"customer_id": "C1", "purpose": "marketing_email", "granted": False, "updated_at": "2024-02-01"},
    {"customer_id": "C1", "purpose": "marketing_email", "granted": True, "updated_at": "2024-04-01T00:00:01"},
    {"customer_id": "C1", "purpose": "profiling", "granted": True, "updated_at": "2024-04-01"},
]
TRANSACTIONS: list[dict[str, Any]] = [
    {"transaction_id": "T1", "order_id": "O1", "transaction_type": "payment", "amount": "29.00", "status": "pending",
     "occurred_at": "2024-02-10"},
    {"transaction_id": "T1", "order_id": "O1", "transaction_type": "payment", "amount": "29.00", "status": "captured",
     "occurred_at": "2024-02-11"},
    {"transaction_id": "T2", "order_id": "O1", "transaction_type": "refund", "amount": "9.67", "status": "captured",
     "occurred_at": "2024-02-20"},
    {"transaction_id": "T3", "order_id": "O2", "transaction_type": "payment", "amount": "12.00", "status": "failed",
     "occurred_at": "2024-03-05"},
    {"transaction_id": "T4", "order_id": "O9", "transaction_type": "payment", "amount": "1.00", "status": "captured",
     "occurred_at": "2024-03-05"},
]  # fmt: skip
SHIPMENTS: list[dict[str, Any]] = [
    {"shipment_id": "S1", "order_id": "O1", "carrier": "DHL", "status": "delivered", "shipped_at": "2024-02-11",
     "promised_at": "2024-02-12", "delivered_at": "2024-02-13", "updated_at": "2024-02-13"},
    {"shipment_id": "S2", "order_id": "O1", "carrier": "DHL", "status": "in_transit", "updated_at": "2024-02-13"},
]  # fmt: skip
EVENTS: list[dict[str, Any]] = [
    {"event_id": f"E{n}", "customer_id": customer, "event_type": kind, "event_timestamp": moment}
    for n, (customer, kind, moment) in enumerate(
        [
            ("C1", "session_start", "2024-01-02"),
            ("C1", "product_view", "2024-01-03"),
            ("C1", "product_view", "2024-04-01"),
            ("C1", "add_to_cart", "2024-04-01T00:00:00.000001"),
            ("C1", "support_ticket", "2024-01-04"),
            (None, "session_start", "2024-01-02"),
        ]
    )
]


def test_one_customer_in_full() -> None:
    tables = gold(**SALES, consents=CONSENTS, transactions=TRANSACTIONS, shipments=SHIPMENTS, events=EVENTS)
    rows = by(tables["customer_360"], "customer_id")
    assert set(rows) == {"C1", "C2", "C3"}
    current = next(r for r in tables["dim_customer"].to_pylist() if r["customer_id"] == "C1" and r["is_current"])
    assert rows["C1"] == {
        "customer_id": "C1", "customer_sk": current["customer_sk"], "full_name": "Ana Gil", "first_name": "Ana",
        "last_name": "Gil", "email": None, "phone": None, "birth_date": None, "language": None, "loyalty_tier": "gold",
        "acquisition_channel": None, "registered_at": at("2024-01-01"), "location_id": "L2", "street": None,
        "city": "Bonn", "postal_code": None, "region": None, "country_code": "DE",
        "consent_marketing_email": False, "consent_marketing_sms": None, "consent_profiling": True,
        "consent_third_party": None,
        "orders": 1, "cancelled_orders": 1, "revenue_amount": usd("19.33"), "average_order_value": usd("19.33"),
        "returned_amount": usd("9.67"), "first_order_at": at("2024-02-10T10:00:00"),
        "last_order_at": at("2024-02-10T10:00:00"), "recency_days": 50, "r_score": 1, "f_score": 1, "m_score": 1,
        "rfm_score": "111",
        "segment_orders": 2, "segment_spend": usd(41), "last_placed_at": at("2024-03-05"), "segment": "New",
        "favourite_category": "Desk", "last_order_id": "O2", "last_order_status": "cancelled",
        "shipments": 2, "delivered_shipments": 1, "late_shipments": 1, "open_shipments": 1,
        "on_time_rate": usd(0), "last_delivered_at": at("2024-02-13"),
        "captured_amount": usd(29), "refunded_amount": usd("9.67"), "failed_payments": 1, "payments": 2,
        "web_events": 4, "web_sessions": 1, "product_views": 2, "carts": 0, "support_tickets": 1,
        "first_seen_at": at("2024-01-02"), "last_seen_at": at("2024-04-01"),
        # 9.67 / 29.00 = 0.33344…; 100 x (0.4 x 0.3334 + 0.3 x 0.5 + 0.3 x 0.5) = 43.336
        "return_rate": usd("0.3334"), "cancellation_rate": usd("0.5000"), "failed_payment_rate": usd("0.5000"),
        "risk_score": 43, "risk_level": "medium",
    }  # fmt: skip


def test_a_customer_of_whom_nothing_is_known() -> None:
    row = by(gold(**SALES)["customer_360"], "customer_id")["C2"]
    assert part(row, "segment", "risk_score", "risk_level", "city", "country_code") == (
        "Prospect",
        0,
        "low",
        None,
        None,
    )
    counted = ("orders", "revenue_amount", "segment_spend", "shipments", "captured_amount", "payments", "web_events")
    assert part(row, *counted) == (0,) * 7
    unknown = ("return_rate", "cancellation_rate", "failed_payment_rate", "on_time_rate", "last_seen_at", "rfm_score")
    assert part(row, *unknown) == (None,) * 6


def _with_orders(count: int, last: str, price: str) -> dict[str, Any]:
    orders = [
        {"order_id": f"O{n}", "customer_id": "C1", "ordered_at": last if n == count else "2023-01-01",
         "status": "paid", "updated_at": "2023-01-01"} for n in range(1, count + 1)
    ]  # fmt: skip
    items = [
        {"order_item_id": f"I{n}", "order_id": f"O{n}", "product_id": "P", "quantity": 1, "unit_price": price,
         "updated_at": "2023-01-01"} for n in range(1, count + 1)
    ]  # fmt: skip
    customers = [{"customer_id": "C1", "registered_at": "2023-01-01", "updated_at": "2023-01-01"}]
    return by(gold(customers=customers, orders=orders, order_items=items)["customer_360"], "customer_id")["C1"]


@pytest.mark.parametrize(
    ("count", "last", "price", "segment"),
    [
        (5, "2024-01-02T00:00:00", "100.00", "Churned"),  # 90 days to the moment
        (5, "2024-01-02T00:00:01", "100.00", "At-Risk"),
        (5, "2024-03-02T00:00:00", "100.00", "At-Risk"),  # 30 days
        (5, "2024-03-02T00:00:01", "100.00", "VIP"),
        (5, "2024-03-31T00:00:00", "99.99", "Regular"),  # 499.95
        (4, "2024-03-31T00:00:00", "500.00", "Regular"),
        (3, "2024-03-31T00:00:00", "1.00", "Regular"),
        (2, "2024-03-31T00:00:00", "900.00", "New"),
        (1, "2024-04-01T00:00:00", "1.00", "New"),
        (1, "2024-04-01T00:00:01", "1.00", "Prospect"),
    ],
)
def test_segments_at_their_boundaries(count: int, last: str, price: str, segment: str) -> None:
    assert _with_orders(count, last, price)["segment"] == segment


def test_equal_categories_give_the_smallest_name() -> None:
    sales = {**SALES, "orders": [o for o in SALES["orders"] if o["order_id"] == "O1"]}
    item = {"order_id": "O1", "quantity": 1, "unit_price": "5.00", "updated_at": "2024-02-10"}
    sales["order_items"] = [
        {**item, "order_item_id": "I1", "product_id": "P1"},
        {**item, "order_item_id": "I2", "product_id": "P3"},
        {**item, "order_item_id": "I3", "product_id": "P4"},
    ]
    product = {"unit_price": "5.00", "status": "active", "updated_at": "2024-01-01", "product_name": "Any"}
    sales["products"] = [
        {**product, "product_id": "P1", "category": "b"},
        {**product, "product_id": "P3", "category": "Z"},
        {**product, "product_id": "P4"},
    ]
    assert by(gold(**sales)["customer_360"], "customer_id")["C1"]["favourite_category"] == "Z"


def test_last_order_of_two_at_one_moment_is_the_greater_id() -> None:
    order = {"customer_id": "C1", "ordered_at": "2024-02-01", "updated_at": "2024-02-01"}
    orders = [{**order, "order_id": "O9", "status": "paid"}, {**order, "order_id": "O10", "status": "placed"}]
    row = by(gold(customers=SALES["customers"], orders=orders)["customer_360"], "customer_id")["C1"]
    assert part(row, "last_order_id", "last_order_status") == ("O9", "paid")
