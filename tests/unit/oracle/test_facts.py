"""Facts of a hand-made company."""

from __future__ import annotations

from tests.unit.oracle.test_dimensions import JANUARY, MARCH, sk
from tests.unit.oracle.world import CUSTOMERS, LOCATIONS, ORDERS, SALES, at, by, gold, part, usd

KEYS = ("customer_sk", "product_sk", "location_sk", "order_date_sk")
AMOUNTS = (
    "quantity", "unit_price", "discount_amount", "gross_amount", "net_amount", "unit_cost", "cost_amount",
    "margin_amount", "returned_quantity", "returned_amount", "is_cancelled", "revenue_amount",
)  # fmt: skip
FEBRUARY = 1707955200000000  # 2024-02-15


def test_sales_bind_the_versions_of_the_moment_of_order() -> None:
    sales = by(gold(**SALES)["fact_sales"], "order_item_id")
    assert set(sales) == {"I1", "I2", "I3", "I4"}
    assert part(sales["I1"], *KEYS) == (
        sk(f"customer|C1|{JANUARY}"), sk(f"product|P1|{JANUARY}"), sk("location|L1"), 20240210,
    )  # fmt: skip
    assert part(sales["I2"], *KEYS) == (
        sk(f"customer|C1|{MARCH}"), sk(f"product|P1|{FEBRUARY}"), sk("location|L2"), 20240305,
    )  # fmt: skip
    assert part(sales["I3"], *KEYS) == (-1, -1, -1, 20240305)
    assert part(sales["I3"], "customer_id", "product_id", "order_status") == ("C9", "P9", "placed")
    assert part(sales["I4"], *KEYS) == (-1, sk(f"product|P1|{FEBRUARY}"), -1, -1)
    assert part(sales["I4"], "order_id", "customer_id", "ordered_at", "order_status", "currency") == (
        "O9", None, None, None, None,
    )  # fmt: skip


def test_sales_measures_to_the_cent() -> None:
    sales = by(gold(**SALES)["fact_sales"], "order_item_id")
    # 3 x 10.00 less 1.00 = 29.00; one of three returned = 9.666… -> 9.67
    assert part(sales["I1"], *AMOUNTS) == (
        3, usd(10), usd(1), usd(30), usd(29), usd(4), usd(12), usd(17), 1, usd("9.67"), False, usd("19.33"),
    )  # fmt: skip
    assert part(sales["I2"], *AMOUNTS) == (
        1,
        usd(12),
        usd(0),
        usd(12),
        usd(12),
        usd(5),
        usd(5),
        usd(7),
        0,
        usd(0),
        True,
        usd(0),
    )
    assert part(sales["I3"], *AMOUNTS) == (
        2,
        usd(5),
        usd(0),
        usd(10),
        usd(10),
        None,
        None,
        None,
        0,
        usd(0),
        False,
        usd(10),
    )
    assert part(sales["I4"], *AMOUNTS) == (
        1,
        usd(12),
        usd(0),
        usd(12),
        usd(12),
        usd(5),
        usd(5),
        usd(7),
        0,
        usd(0),
        False,
        usd(12),
    )
    assert sales["I1"]["order_status"] == "completed"


def test_a_version_starts_at_its_own_moment() -> None:
    def bound(moment: str) -> int:
        order = {**ORDERS[0], "ordered_at": moment}
        items = [{**SALES["order_items"][2], "order_id": "O1"}]
        tables = gold(customers=CUSTOMERS, orders=[order], order_items=items)
        return int(tables["fact_sales"].column("customer_sk")[0].as_py())

    assert bound("2024-03-01") == sk(f"customer|C1|{MARCH}")
    assert bound("2024-02-29T23:59:59.999999") == sk(f"customer|C1|{JANUARY}")
    assert bound("1999-01-01") == sk(f"customer|C1|{JANUARY}")


def test_half_a_cent_returned_rounds_up() -> None:
    item = {**SALES["order_items"][2], "quantity": 2, "unit_price": "0.01", "discount_amount": "0.01"}
    tables = gold(order_items=[{**item, "returned_quantity": 1}])
    assert part(tables["fact_sales"].to_pylist()[0], "net_amount", "returned_amount", "revenue_amount") == (
        usd("0.01"), usd("0.01"), usd("0.00"),
    )  # fmt: skip


def test_logistics() -> None:
    shipments = [
        {"shipment_id": "S1", "order_id": "O1", "carrier": "DHL", "status": "created", "updated_at": "2024-02-11"},
        {"shipment_id": "S1", "order_id": "O1", "carrier": "DHL", "status": "delivered", "location_id": "L1",
         "shipped_at": "2024-02-11T06:00:00", "promised_at": "2024-02-13", "delivered_at": "2024-02-12T06:00:18",
         "shipping_cost": "4.50", "updated_at": "2024-02-12T06:00:18"},
        {"shipment_id": "S2", "order_id": "O9", "carrier": "UPS", "status": "lost", "shipped_at": "2024-02-11",
         "location_id": "L9", "updated_at": "2024-02-11"},
    ]  # fmt: skip
    rows = by(gold(**SALES, shipments=shipments)["fact_logistics"], "shipment_id")
    shown = (
        "customer_id", "customer_sk", "location_sk", "ship_date_sk", "promised_date_sk", "delivery_date_sk", "status",
        "shipping_cost", "transit_hours", "is_delivered", "is_on_time",
    )  # fmt: skip
    assert part(rows["S1"], *shown) == (
        "C1", sk(f"customer|C1|{JANUARY}"), sk("location|L1"), 20240211, 20240213, 20240212, "delivered",
        usd("4.50"), usd("24.01"), True, True,  # 24 h 18 s = 24.005 h, half up
    )  # fmt: skip
    assert part(rows["S2"], *shown) == (None, -1, -1, 20240211, -1, -1, "lost", usd(0), None, False, None)
    assert rows["S1"]["delivered_at"] == at("2024-02-12T06:00:18")


def test_late_when_delivered_a_microsecond_after_the_promise() -> None:
    def on_time(delivered: str) -> bool:
        row = {"shipment_id": "S", "order_id": "O", "carrier": "X", "promised_at": "2024-02-13", "status": "delivered",
               "delivered_at": delivered, "updated_at": "2024-02-14"}  # fmt: skip
        return bool(gold(locations=LOCATIONS, shipments=[row])["fact_logistics"].column("is_on_time")[0].as_py())

    assert on_time("2024-02-13")
    assert not on_time("2024-02-13T00:00:00.000001")
