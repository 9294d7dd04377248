"""The gold layer on real Spark and Iceberg: small histories by hand, with expected rows worked out on paper."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest

from c360.contracts import get_contract, to_arrow
from c360.errors import ContractError, LakehouseError, SettingsError
from c360.lakehouse import Commit, Lakehouse
from c360.settings import Settings
from c360_assets.gold import GOLD, GoldBuild, build_gold
from c360_assets.gold.query import COMPILED, casts, configure, statement
from tests.oracle.features.rules import alerts, insight

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.integration

Row = dict[str, Any]
SALES = ("dim_customer", "dim_product", "dim_location", "fact_sales")
DAY = timedelta(days=1)
BIRTH = datetime(2024, 1, 1, tzinfo=UTC)
END = datetime(9999, 12, 31, tzinfo=UTC)
BEGIN = datetime(1900, 1, 1, tzinfo=UTC)


def at(day: str, time: str = "00:00:00") -> datetime:
    return datetime.fromisoformat(f"{day}T{time}+00:00")


def sk(text: str) -> int:
    return int(hashlib.md5(text.encode()).hexdigest()[:15], 16)


def us(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def customer_sk(customer_id: str, version_at: datetime) -> int:
    return sk(f"customer|{customer_id}|{us(version_at)}")


def product_sk(product_id: str, version_at: datetime) -> int:
    return sk(f"product|{product_id}|{us(version_at)}")


class House:
    """A lake of its own on the shared Spark server, with terse ways to add silver rows and to build gold."""

    def __init__(self, home: Path, spark: SparkSession) -> None:
        self.lake = Lakehouse(Settings(home=home))
        self.spark = spark
        self._row = 0
        for source in {t for plan in GOLD.values() for t in plan.tables if t.startswith("silver.")}:
            self.lake.ensure(get_contract(source))

    def add(self, table: str, *rows: Row) -> None:
        contract = get_contract(f"silver.{table}")
        full = []
        for row in rows:
            self._row += 1
            position = {"_source_file": "f.csv", "_source_row": self._row, "_batch_date": date(2025, 1, 1)}
            full.append({**dict.fromkeys(contract.names), **row, **position})
        with self.lake.stage(contract.name, Commit("land", watermark="2025-01-01")) as staged:
            staged.append(pa.Table.from_pylist(full, schema=to_arrow(contract)))
            staged.publish()

    def customer(self, customer_id: str, updated: datetime, **more: Any) -> None:
        self.add("customers", {"customer_id": customer_id, "registered_at": BIRTH, "updated_at": updated, **more})

    def product(self, product_id: str, updated: datetime, **more: Any) -> None:
        price = {"unit_price": Decimal("10.00"), "unit_cost": Decimal("6.00")}
        self.add(
            "products",
            {
                "product_id": product_id, "product_name": product_id, "category": "Books", "status": "active",
                "updated_at": updated, **price, **more,
            },
        )  # fmt: skip

    def location(self, location_id: str, updated: datetime, country: str = "US") -> None:
        self.add("locations", {"location_id": location_id, "country_code": country, "updated_at": updated})

    def order(self, order_id: str, customer_id: str, ordered: datetime, status: str = "placed", **more: Any) -> None:
        self.add(
            "orders",
            {
                "order_id": order_id, "customer_id": customer_id, "ordered_at": ordered, "status": status,
                "currency": "USD", "channel": "web", "updated_at": ordered, **more,
            },
        )  # fmt: skip

    def item(
        self, item_id: str, order_id: str, product_id: str = "P1", quantity: int = 1, price: str = "10.00", **more: Any
    ) -> None:
        self.add(
            "order_items",
            {
                "order_item_id": item_id, "order_id": order_id, "product_id": product_id, "quantity": quantity,
                "unit_price": Decimal(price), "line_number": 1, "updated_at": at("2025-01-01"), **more,
            },
        )  # fmt: skip

    def items(self, *rows: Row) -> None:
        """Items I0, I1, … of the order that nobody knows, in one commit."""
        common = {"order_id": "lost", "product_id": "P1", "line_number": 1, "updated_at": BIRTH}
        self.add("order_items", *({"order_item_id": f"I{n}", **common, **row} for n, row in enumerate(rows)))

    def orders(self, *rows: tuple[str, datetime, str]) -> None:
        """Orders O0, O1, … of (customer, moment, net amount) with one item each, in one commit per table."""
        order = {"status": "placed", "currency": "USD"}
        self.add(
            "orders",
            *(
                {"order_id": f"O{n}", "customer_id": customer, "ordered_at": moment, "updated_at": moment, **order}
                for n, (customer, moment, _) in enumerate(rows)
            ),
        )
        self.items(
            *({"order_id": f"O{n}", "quantity": 1, "unit_price": Decimal(net)} for n, (*_, net) in enumerate(rows))
        )

    def shipment(self, shipment_id: str, order_id: str, updated: datetime, **more: Any) -> None:
        row = {"shipment_id": shipment_id, "order_id": order_id, "carrier": "UPS", "status": "created"}
        self.add("shipments", {**row, "updated_at": updated, **more})

    def payment(self, transaction_id: str, order_id: str, moment: datetime, amount: str = "10.00", **more: Any) -> None:
        self.add(
            "transactions",
            {
                "transaction_id": transaction_id, "order_id": order_id, "transaction_type": "payment",
                "amount": Decimal(amount), "currency": "USD", "status": "captured", "occurred_at": moment, **more,
            },
        )  # fmt: skip

    def event(self, number: int, customer_id: str | None, moment: datetime, kind: str = "page_view") -> None:
        self.add(
            "events",
            {
                "event_id": f"00000000-0000-4000-8000-{number:012d}", "event_type": kind, "event_timestamp": moment,
                "source_system": "web", "customer_id": customer_id, "schema_version": 1,
            },
        )  # fmt: skip

    def build(self, table: str, as_of: datetime, *, full: bool = False) -> GoldBuild:
        name = f"gold.{table}"
        with build_gold(self.lake, self.spark, name, as_of=as_of, full_refresh=full, commit_run_id="test") as build:
            if build.staged is not None:
                build.staged.publish()
        return build

    def build_all(self, as_of: datetime, *, full: bool = False) -> dict[str, str]:
        return {name: self.build(name.partition(".")[2], as_of, full=full).mode for name in GOLD}

    def rows(self, table: str, **where: Any) -> list[Row]:
        """Rows whose columns equal ``where``, sorted by the primary key."""
        contract = get_contract(f"gold.{table}")
        found = [r for r in self.lake.read(contract.name).to_pylist() if all(r[k] == v for k, v in where.items())]
        return sorted(found, key=lambda r: tuple(str(r[k]) for k in contract.primary_key))

    def row(self, table: str, **where: Any) -> Row:
        [found] = self.rows(table, **where)
        return found

    def frame(self, name: str) -> pl.DataFrame:
        frame = pl.DataFrame(self.lake.read(name))
        return frame.sort(frame.columns)


@pytest.fixture(scope="module")
def session(spark_settings: Settings) -> Iterator[Any]:
    """Makes sessions on the shared server whose catalog ``lake`` is another one than the server's own."""
    from c360.engines.spark import connect
    from c360.engines.spark_conf import spark_conf

    opened = []

    def open_session(home: Path) -> SparkSession:
        spark = connect(spark_settings)
        for key, value in spark_conf(Settings(home=home)).items():
            if key.startswith("spark.sql.catalog."):
                spark.conf.set(key, value)
        opened.append(spark)
        return spark

    yield open_session
    for spark in opened:
        spark.stop()


@pytest.fixture
def house(tmp_path: Path, session: Any) -> House:
    return House(tmp_path / "home", session(tmp_path / "home"))


def test_equal_consecutive_versions_collapse_into_the_earliest(house: House) -> None:
    for day, tier in (("2025-01-01", "none"), ("2025-01-02", "none"), ("2025-01-03", "gold"), ("2025-01-04", "none")):
        house.customer("C1", at(day), loyalty_tier=tier, first_name="Ann", last_name=None, email=None)
    house.build("dim_customer", at("2025-02-01"))
    columns = ("customer_sk", "loyalty_tier", "version_number", "version_at", "valid_from", "valid_to", "is_current")
    assert [
        tuple(r[c] for c in columns)
        for r in sorted(house.rows("dim_customer", customer_id="C1"), key=lambda r: r["version_at"])
    ] == [
        (customer_sk("C1", at("2025-01-01")), "none", 1, at("2025-01-01"), BEGIN, at("2025-01-03"), False),
        (customer_sk("C1", at("2025-01-03")), "gold", 2, at("2025-01-03"), at("2025-01-03"), at("2025-01-04"), False),
        (customer_sk("C1", at("2025-01-04")), "none", 3, at("2025-01-04"), at("2025-01-04"), END, True),
    ]
    assert {r["full_name"] for r in house.rows("dim_customer", customer_id="C1")} == {"Ann"}
    unknown = house.row("dim_customer", customer_sk=-1)
    assert (unknown["customer_id"], unknown["valid_from"], unknown["valid_to"], unknown["is_current"]) == (
        "unknown",
        BEGIN,
        END,
        True,
    )
    assert {unknown[c] for c in ("full_name", "email", "version_number", "version_at", "location_id")} == {None}


def test_a_late_version_rewrites_history_and_the_facts_that_lie_in_it(house: House) -> None:
    house.customer("C1", at("2025-01-01"), loyalty_tier="none")
    house.customer("C1", at("2025-01-20"), loyalty_tier="gold")
    house.product("P1", at("2025-01-01"), unit_cost=Decimal("6.00"))
    for order, day in (("O1", "2025-01-05"), ("O2", "2025-01-15"), ("O3", "2025-01-25")):
        house.order(order, "C1", at(day))
        house.item(f"I{order}", order)
    house.build_all(at("2025-02-01"))
    assert [r["customer_sk"] for r in house.rows("fact_sales")] == [
        customer_sk("C1", at("2025-01-01")),
        customer_sk("C1", at("2025-01-01")),
        customer_sk("C1", at("2025-01-20")),
    ]
    # Equal to the version of the 20th: that one merges into it, and its surrogate key goes.
    house.customer("C1", at("2025-01-10"), loyalty_tier="gold")
    house.product("P1", at("2025-01-12"), unit_cost=Decimal("7.00"))
    modes = house.build_all(at("2025-02-01"))
    assert modes["gold.dim_customer"] == modes["gold.fact_sales"] == "incremental"
    assert [(r["customer_sk"], r["product_sk"], r["unit_cost"]) for r in house.rows("fact_sales")] == [
        (customer_sk("C1", at("2025-01-01")), product_sk("P1", at("2025-01-01")), Decimal("6.00")),
        (customer_sk("C1", at("2025-01-10")), product_sk("P1", at("2025-01-12")), Decimal("7.00")),
        (customer_sk("C1", at("2025-01-10")), product_sk("P1", at("2025-01-12")), Decimal("7.00")),
    ]
    assert customer_sk("C1", at("2025-01-20")) not in {r["customer_sk"] for r in house.rows("dim_customer")}
    assert_same_as_full(house, at("2025-02-01"), "dim_customer", "dim_product", "fact_sales", "product_performance")


def test_an_order_before_the_first_version_takes_the_first_version(house: House) -> None:
    house.customer("C1", at("2025-01-10"))
    house.product("P1", at("2025-01-10"))
    house.order("O1", "C1", at("2025-01-01"))
    house.item("I1", "O1")
    for table in SALES:
        house.build(table, at("2025-02-01"))
    fact = house.row("fact_sales", order_item_id="I1")
    assert fact["customer_sk"] == customer_sk("C1", at("2025-01-10"))
    assert fact["product_sk"] == product_sk("P1", at("2025-01-10"))


def test_validity_begins_at_the_very_moment_of_the_version(house: House) -> None:
    moment = at("2025-01-10", "12:00:00.000001")
    house.customer("C1", at("2025-01-01"), language="en")
    house.customer("C1", moment, language="de")
    for number, when in enumerate((moment - timedelta(microseconds=1), moment)):
        house.order(f"O{number}", "C1", when)
        house.item(f"I{number}", f"O{number}")
    for table in SALES:
        house.build(table, at("2025-02-01"))
    keys = [r["customer_sk"] for r in house.rows("fact_sales")]
    assert keys == [customer_sk("C1", at("2025-01-01")), customer_sk("C1", moment)]


def test_late_customer_product_location_and_order_become_known(house: House) -> None:
    house.order("O1", "C1", at("2025-01-05"), location_id="L1")
    house.item("I1", "O1", "P1", quantity=2, price="10.00")
    house.item("I2", "O2", "P1")
    house.shipment("S1", "O1", at("2025-01-06"), location_id="L1")
    house.shipment("S2", "O2", at("2025-01-06"))
    house.build_all(at("2025-02-01"))
    fact = house.row("fact_sales", order_item_id="I1")
    assert (fact["customer_sk"], fact["product_sk"], fact["location_sk"]) == (-1, -1, -1)
    assert (fact["customer_id"], fact["unit_cost"], fact["cost_amount"], fact["margin_amount"]) == (
        "C1",
        None,
        None,
        None,
    )
    orphan = house.row("fact_sales", order_item_id="I2")
    assert (orphan["customer_id"], orphan["customer_sk"], orphan["order_date_sk"], orphan["ordered_at"]) == (
        None,
        -1,
        -1,
        None,
    )
    assert (orphan["is_cancelled"], orphan["order_status"], orphan["revenue_amount"]) == (False, None, Decimal("10.00"))
    assert house.row("sales_daily")["country_code"] == "ZZ"
    assert house.row("fact_logistics", shipment_id="S1")["location_sk"] == -1
    assert house.rows("customer_360") == []

    house.customer("C1", at("2025-01-20"))
    house.product("P1", at("2025-01-20"))
    house.location("L1", at("2025-01-20"), "DE")
    modes = house.build_all(at("2025-02-01"))
    assert {modes[f"gold.{t}"] for t in ("fact_sales", "fact_logistics", "sales_daily")} == {"incremental"}
    fact = house.row("fact_sales", order_item_id="I1")
    assert fact["customer_sk"] == customer_sk("C1", at("2025-01-20"))
    assert fact["product_sk"] == product_sk("P1", at("2025-01-20"))
    assert fact["location_sk"] == sk("location|L1")
    assert (fact["cost_amount"], fact["margin_amount"]) == (Decimal("12.00"), Decimal("8.00"))
    assert house.row("fact_sales", order_item_id="I2")["product_sk"] == product_sk("P1", at("2025-01-20"))
    assert house.row("fact_logistics", shipment_id="S1")["location_sk"] == sk("location|L1")
    assert house.row("sales_daily")["country_code"] == "DE"
    assert house.row("customer_360")["orders"] == 1

    house.order("O2", "C1", at("2025-01-07"))
    house.build_all(at("2025-02-01"))
    assert house.row("fact_sales", order_item_id="I2")["customer_sk"] == customer_sk("C1", at("2025-01-20"))
    assert house.row("fact_logistics", shipment_id="S2")["customer_id"] == "C1"
    assert house.row("customer_360")["orders"] == 2
    assert_same_as_full(house, at("2025-02-01"))


def test_an_item_without_its_order_follows_the_current_product_version(house: House) -> None:
    house.product("P1", at("2025-01-01"), unit_cost=Decimal("6.00"))
    house.item("I1", "lost")
    for table in SALES:
        house.build(table, at("2025-02-01"))
    house.product("P1", at("2025-01-20"), unit_cost=Decimal("7.00"))
    for table in SALES:
        house.build(table, at("2025-02-01"))
    fact = house.row("fact_sales")
    assert (fact["product_sk"], fact["unit_cost"]) == (product_sk("P1", at("2025-01-20")), Decimal("7.00"))


def test_returned_amount_rounds_half_up_only_on_the_exact_quotient(house: House) -> None:
    cases = [
        (8, 1, "0.10", "0.00", "0.10"),  # 0.80 / 8 is exact
        (2, 1, "0.01", "0.01", "0.01"),  # 0.01 / 2 = 0.005 goes up
        (8, 3, "0.01", "0.02", "0.02"),  # 0.06 · 3 / 8 = 0.0225
        (100000, 49999, "0.01", "999.99", "0.00"),  # 0.01 · 0.49999 = 0.0049999, which is no tie
        (100000, 50000, "0.01", "999.99", "0.01"),
    ]
    house.items(
        *(
            {
                "quantity": quantity,
                "returned_quantity": returned,
                "unit_price": Decimal(price),
                "discount_amount": Decimal(off),
            }
            for quantity, returned, price, off, _ in cases
        )
    )
    for table in SALES:
        house.build(table, at("2025-02-01"))
    facts = house.rows("fact_sales")
    assert [fact["returned_amount"] for fact in facts] == [Decimal(expected) for *_, expected in cases]
    assert [fact["net_amount"] for fact in facts] == [
        q * Decimal(price) - Decimal(off) for q, _, price, off, _ in cases
    ]
    assert all(fact["revenue_amount"] == fact["net_amount"] - fact["returned_amount"] for fact in facts)


def test_cancelled_and_returned_orders(house: House) -> None:
    house.customer("C1", at("2025-01-01"))
    house.product("P1", at("2025-01-01"))
    house.product("P2", at("2025-01-01"))
    house.order("O1", "C1", at("2025-01-05"), "cancelled")
    house.item("I1", "O1", quantity=3, discount_amount=Decimal("1.00"))
    house.order("O2", "C1", at("2025-01-05", "10:00:00"), "returned")
    house.item("I2", "O2", quantity=3, returned_quantity=2)
    house.item("I3", "O2", quantity=1)
    movement = {"product_id": "P1", "warehouse": "w", "movement_type": "sale", "moved_at": BIRTH}
    house.add("stock", *({**movement, "movement_id": f"M{q}", "quantity": q} for q in (7, -3)))
    house.build_all(at("2025-02-01"))
    cancelled = house.row("fact_sales", order_item_id="I1")
    assert (cancelled["is_cancelled"], cancelled["net_amount"], cancelled["revenue_amount"]) == (
        True,
        Decimal("29.00"),
        0,
    )
    day = house.row("sales_daily")
    assert (day["orders"], day["cancelled_orders"], day["order_items"], day["customers"], day["units"]) == (
        2,
        1,
        3,
        1,
        7,
    )
    assert (day["gross_amount"], day["net_amount"]) == (Decimal("70.00"), Decimal("69.00"))
    assert (day["returned_amount"], day["revenue_amount"]) == (Decimal("20.00"), Decimal("20.00"))
    product = house.row("product_performance", product_id="P1")
    assert (product["orders"], product["units_sold"], product["returned_units"]) == (1, 4, 2)
    assert (product["return_rate"], product["stock_on_hand"]) == (Decimal("0.5000"), 4)
    assert (product["cost_amount"], product["margin_amount"]) == (Decimal("24.00"), Decimal("16.00"))
    unsold = house.row("product_performance", product_id="P2")
    assert (unsold["orders"], unsold["revenue_amount"], unsold["return_rate"], unsold["last_sold_at"]) == (
        0,
        0,
        None,
        None,
    )
    value = house.row("customer_value")
    assert (value["orders"], value["cancelled_orders"], value["units"]) == (1, 1, 4)
    assert (value["revenue_amount"], value["returned_amount"]) == (Decimal("20.00"), Decimal("20.00"))
    whole = house.row("customer_360")
    assert (whole["return_rate"], whole["cancellation_rate"]) == (Decimal("0.5000"), Decimal("0.5000"))
    assert (whole["risk_score"], whole["risk_level"]) == (35, "medium")
    assert (whole["segment_orders"], whole["segment_spend"], whole["segment"]) == (2, Decimal("69.00"), "New")
    assert (whole["last_order_id"], whole["last_order_status"]) == ("O2", "returned")


def test_ntile_ties_fall_by_customer_id_in_binary_order(house: House) -> None:
    # Binary order puts capitals before small letters; every customer has the same value, so that only the id decides.
    identifiers = ["a", "B", "b", "A", "é", "c"]
    everyone = [*identifiers, "idle"]
    house.add("customers", *({"customer_id": name, "registered_at": BIRTH, "updated_at": BIRTH} for name in everyone))
    house.orders(*((name, at("2025-01-05"), "10.00") for name in identifiers))
    for table in (*SALES, "fact_logistics", "fact_orders", "customer_activity", "customer_value"):
        house.build(table, at("2025-01-06", "23:59:59"))
    scores = {
        r["customer_id"]: (r["r_score"], r["f_score"], r["m_score"], r["rfm_score"])
        for r in house.rows("customer_value")
    }
    # six customers in five tiles: the first tile holds two
    expected = dict(zip(sorted(identifiers, key=lambda i: i.encode()), (1, 1, 2, 3, 4, 5), strict=True))
    assert scores == {"idle": (None,) * 4} | {i: (n, n, n, f"{n}{n}{n}") for i, n in expected.items()}
    assert {r["recency_days"] for r in house.rows("customer_value")} == {None, 1}


def test_segment_boundaries(house: House) -> None:
    as_of = at("2025-06-01", "12:30:00")
    day, tick = timedelta(days=1), timedelta(microseconds=1)
    cases: dict[str, tuple[list[timedelta], str, str]] = {
        "exactly 90 days": ([90 * day], "10.00", "Churned"),
        "almost 90 days": ([90 * day - tick], "10.00", "At-Risk"),
        "exactly 30 days": ([30 * day], "10.00", "At-Risk"),
        "almost 30 days": ([30 * day - tick], "10.00", "New"),
        "5 orders, $500": ([1 * day, 2 * day, 3 * day, 100 * day, 101 * day], "100.00", "VIP"),
        "5 orders, $499.95": ([1 * day, 2 * day, 3 * day, 100 * day, 101 * day], "99.99", "Regular"),
        "4 orders, $800": ([1 * day, 2 * day, 3 * day, 4 * day], "200.00", "Regular"),
        "3 orders": ([1 * day, 2 * day, 3 * day], "1.00", "Regular"),
        "2 orders, $1,800": ([1 * day, 2 * day], "900.00", "New"),
        "this very moment": ([0 * day], "1.00", "New"),
        "not yet": ([-tick], "1.00", "Prospect"),
    }
    house.add("customers", *({"customer_id": name, "registered_at": BIRTH, "updated_at": BIRTH} for name in cases))
    house.orders(*((name, as_of - age, net) for name, (ages, net, _) in cases.items() for age in ages))
    house.build_all(as_of)
    found = {r["customer_id"]: r["segment"] for r in house.rows("customer_360")}
    assert found == {name: segment for name, (_, _, segment) in cases.items()}


def computed(house: House, table: str, as_of: datetime, **inputs: list[Row]) -> list[Row]:
    """What the SQL file of a table makes of these rows, in the types of the contract."""
    configure(house.spark, COMPILED)
    plan, frames = GOLD[f"gold.{table}"], {}
    for view, source in plan.inputs.items():
        given = inputs[view]
        kinds = pa.schema([field for field in to_arrow(get_contract(source)) if field.name in given[0]])
        frames[view] = house.spark.createDataFrame(pa.Table.from_pylist(given, schema=kinds))
    text = statement(plan.sql, {view: f"select * from {{{view}}}" for view in frames})
    cast = f"select {', '.join(casts(get_contract(plan.name)))} from ({text})"
    found: list[Row] = house.spark.sql(cast, args={"as_of": as_of}, **frames).toArrow().to_pylist()
    return found


def placed(customer: str, *orders: tuple[timedelta, str]) -> list[Row]:
    """Orders of a customer, so long after 1 June and for so much, in the order of their ids."""
    return [
        {
            "order_id": f"{customer}{n}",
            "customer_id": customer,
            "ordered_at": at("2025-06-01") + after,
            "net_amount": Decimal(amount),
        }
        for n, (after, amount) in enumerate(orders, 1)
    ]


def test_alerts_at_the_edges_of_their_rules(house: House) -> None:
    minute, day, tick = timedelta(minutes=1), timedelta(days=1), timedelta(microseconds=1)
    quarters = [(n * 15 * minute, "1") for n in range(4)]
    paid = [(n * day, amount) for n, amount in enumerate(("10", "10", "10", "10", "20"))]  # mean 12, deviation 4
    even = [(n * day, "1") for n in range(5)]
    uneven = [(n * day, amount) for n, amount in enumerate(("1", "1", "2", "1", "1", "1"))]  # up to 2.2847…
    as_of = at("2025-06-09")
    orders = [
        *placed("hour", *quarters, (60 * minute, "1")),
        *placed("longer", *quarters, (60 * minute + tick, "1")),
        *placed("rapid", (day, "1"), (day + 5 * minute, "1")),
        *placed("slow", (day, "1"), (day + 5 * minute + tick, "1")),
        *placed("at once", *[(day, "1")] * 5)[::-1],
        *placed("large", (0 * day, "1000"), (day, "1000.01"), (2 * day, "4999.99"), (3 * day, "5000")),
        *placed("three", *paid, (5 * day, "24")),
        *placed("above", *paid, (5 * day, "24.01")),
        *placed("five", *paid, (5 * day, "32")),
        *placed("beyond", *paid, (5 * day, "32.01")),
        *placed("fourth", *paid[1:], (5 * day, "900")),
        *placed("even", *even, (5 * day, "1"), (6 * day, "1.01")),
        *placed("now", (day, "1"), (8 * day, "2000"), (8 * day + tick, "2000")),
        *placed("below", *uneven, (6 * day, "2.28")),
        *placed("third", *uneven, (6 * day, "2.29")),
    ]
    found = computed(house, "anomaly_alerts", as_of, fact_orders=orders)
    told = {r["alert_id"]: (r["severity"], r["threshold"], r["orders_counted"]) for r in found}
    thousand = Decimal(1000)
    assert told == {
        "hour5-order_spike": ("high", None, 5),
        "rapid2-rapid_orders": ("low", None, 2),
        **{f"at once{n}-rapid_orders": ("low", None, 2) for n in (2, 3, 4, 5)},
        "at once5-order_spike": ("high", None, 5),
        "large2-large_order": ("low", thousand, 1),
        "large3-large_order": ("low", thousand, 1),
        "large4-large_order": ("medium", thousand, 1),
        "above6-outlier": ("medium", Decimal(24), 5),
        "five6-outlier": ("medium", Decimal(24), 5),
        "beyond6-outlier": ("high", Decimal(24), 5),
        "even7-outlier": ("high", Decimal(1), 6),
        "now2-large_order": ("low", thousand, 1),
        "third7-outlier": ("medium", Decimal("2.28"), 6),
    }
    [large] = [r for r in found if r["alert_id"] == "large4-large_order"]
    assert (large["customer_id"], large["order_id"], large["rule"]) == ("large", "large4", "large_order")
    assert (large["raised_at"], large["amount"]) == (at("2025-06-04"), Decimal(5000))


def test_alerts_are_those_of_the_oracle_for_any_orders(house: House) -> None:
    of = Random(11)
    steps = [timedelta(0), timedelta(minutes=5), timedelta(minutes=15), timedelta(seconds=of.randrange(4000)), DAY]
    orders = []
    for customer in range(200):
        moment, usual = timedelta(0), of.choice((3, 1_000, 90_000, 10**9))
        history = []
        for _ in range(of.randrange(25)):
            moment += of.choice(steps)
            cents = of.choice((usual, usual, usual + of.randrange(3), of.randrange(4 * usual)))
            history.append((moment, str(Decimal(cents).scaleb(-2))))
        orders += placed(f"C{customer}-", *history)
    of.shuffle(orders)
    as_of = at("2025-06-12")
    columns = ("order_id", "customer_id", "ordered_at", "net_amount")
    wanted = alerts([tuple(order[name] for name in columns) for order in orders], as_of)
    assert {alert["rule"]: alert["severity"] for alert in wanted}.keys() == {
        "order_spike", "rapid_orders", "outlier", "large_order",
    }  # fmt: skip
    found = computed(house, "anomaly_alerts", as_of, fact_orders=orders)
    assert sorted(found, key=lambda r: str(r["alert_id"])) == sorted(wanted, key=lambda r: str(r["alert_id"]))


def test_a_late_order_changes_the_alerts_of_those_after_it(house: House) -> None:
    noon, minute = at("2025-06-01", "12:00:00"), timedelta(minutes=1)

    def judge(as_of: datetime) -> tuple[str, set[str]]:
        for table in (*SALES, "fact_logistics", "fact_orders"):
            house.build(table, as_of)
        return house.build("anomaly_alerts", as_of).mode, {row["alert_id"] for row in house.rows("anomaly_alerts")}

    house.orders(*(("C1", noon + n * 10 * minute, "1.00") for n in range(4)), ("C2", noon + 2 * DAY, "1000.01"))
    assert judge(noon + DAY) == ("full", set())
    house.order("late", "C1", noon + 5 * minute, "cancelled")
    house.item("late", "late", price="2000.00")
    spiked = {"late-rapid_orders", "late-large_order", "O1-rapid_orders", "O3-order_spike"}
    assert judge(noon + DAY) == ("incremental", spiked)
    assert judge(noon + 2 * DAY) == ("incremental", {*spiked, "O4-large_order"})
    assert judge(noon + DAY) == ("full", spiked)


def test_inventory_at_the_edges_of_its_rules(house: House) -> None:
    as_of, tick = at("2025-06-30", "12:00:00"), timedelta(microseconds=1)
    cases: dict[str, tuple[int, list[tuple[timedelta, int]], tuple[Any, ...]]] = {
        "three days": (3, [(DAY, 7)], (7, "1.0000", "3.00", "critical", False, 11, "high")),
        "more than three": (31, [(DAY, 70)], (70, "10.0000", "3.10", "low", False, 109, "medium")),
        "hardly more": (300001, [(DAY, 700000)], (700000, "100000.0000", "3.00", "low", False, 1099999, "medium")),
        "seven days": (7, [(DAY, 7)], (7, "1.0000", "7.00", "low", False, 7, "medium")),
        "eight days": (8, [(DAY, 7)], (7, "1.0000", "8.00", "healthy", False, 6, "none")),
        "enough": (15, [(DAY, 7)], (7, "1.0000", "15.00", "healthy", False, 0, "none")),
        "at seven days": (9, [(7 * DAY, 3)], (3, "0.4286", "21.00", "healthy", False, 0, "none")),
        "before": (9, [(7 * DAY + tick, 3)], (0, "0.0000", None, "healthy", False, 0, "none")),
        "this moment": (9, [(0 * DAY, 1)], (1, "0.1429", "63.00", "healthy", False, 0, "none")),
        "not yet": (9, [(-tick, 1)], (0, "0.0000", None, "healthy", True, 0, "none")),
        "dead": (9, [(30 * DAY, 1)], (0, "0.0000", None, "healthy", True, 0, "none")),
        "almost": (9, [(30 * DAY - tick, 1), (80 * DAY, 1)], (0, "0.0000", None, "healthy", False, 0, "none")),
        "gone": (0, [(DAY, 2)], (2, "0.2857", "0.00", "out_of_stock", False, 4, "immediate")),
        "owed": (-5, [(DAY, 2)], (2, "0.2857", "0.00", "out_of_stock", False, 4, "immediate")),
        "gone, forgotten": (0, [(8 * DAY, 2)], (0, "0.0000", None, "out_of_stock", False, 0, "none")),
        "never": (0, [], (0, "0.0000", None, "out_of_stock", True, 0, "none")),
        "kept": (4, [], (0, "0.0000", None, "healthy", True, 0, "none")),
    }
    sales = [
        {"product_id": name, "is_cancelled": False, "ordered_at": as_of - ago, "quantity": units}
        for name, (_, sold, _) in cases.items()
        for ago, units in sold
    ]
    for name in cases:  # what was cancelled, or is of no known order, was not sold
        sales.append({"product_id": name, "is_cancelled": True, "ordered_at": as_of, "quantity": 99})
        sales.append({"product_id": name, "is_cancelled": False, "ordered_at": None, "quantity": 99})
    stock = [
        {"product_id": name, "quantity": quantity, "moved_at": as_of + after}
        for name, (held, *_) in cases.items()
        if name != "never"
        for quantity, after in ((held + 2, -DAY), (-2, 0 * DAY), (50, tick))
    ]
    members = [(name, 1, True) for name in cases] + [("dead", 2, False), ("unknown", -1, True)]
    products = [dict(zip(("product_id", "product_sk", "is_current"), each, strict=True)) for each in members]
    found = computed(house, "inventory_insights", as_of, dim_product=products, fact_sales=sales, stock=stock)
    columns = (
        "units_sold_7d", "units_per_day", "days_until_stock_out", "status", "dead_stock", "restock_quantity",
        "restock_urgency",
    )  # fmt: skip
    told = {
        r["product_id"]: (r["stock_on_hand"], *(str(v) if isinstance(v := r[c], Decimal) else v for c in columns))
        for r in found
    }
    assert told == {name: (held, *wanted) for name, (held, _, wanted) in cases.items()}
    assert {r["as_of"] for r in found} == {as_of}
    assert {r["product_id"]: r["last_sold_at"] for r in found} == {
        name: max((as_of - ago for ago, _ in sold if ago >= 0 * DAY), default=None)
        for name, (_, sold, _) in cases.items()
    }
    assert len(found) == len(cases)
    for row in found:
        held, sold, _ = cases[row["product_id"]]
        assert row == insight(row["product_id"], held, [(as_of - a, u) for a, u in sold if a >= 0 * DAY], as_of)


def test_shipments_and_their_performance(house: House) -> None:
    house.location("L1", BIRTH, "DE")
    house.customer("C1", BIRTH)
    house.order("O1", "C1", at("2025-01-01"))
    shipped = at("2025-01-31", "23:00:00")
    late = {"status": "delivered", "shipped_at": shipped, "promised_at": at("2025-02-02"), "location_id": "L1"}
    house.shipment(
        "S1", "O1", shipped, **late, delivered_at=at("2025-02-02", "00:00:00.000001"), shipping_cost=Decimal("3.50")
    )
    house.shipment("S2", "O1", shipped, **late, delivered_at=at("2025-02-02"))
    house.shipment("S3", "O1", shipped, **{**late, "status": "lost"})
    house.shipment("S4", "none", BIRTH)
    house.build_all(at("2025-03-01"))
    first, second, lost, orphan = house.rows("fact_logistics")
    assert (first["transit_hours"], first["is_on_time"], first["is_delivered"]) == (Decimal("25.00"), False, True)
    assert (second["is_on_time"], second["delivery_date_sk"], second["shipping_cost"]) == (True, 20250202, 0)
    assert (lost["is_on_time"], lost["is_delivered"], lost["transit_hours"], lost["delivery_date_sk"]) == (
        None,
        False,
        None,
        -1,
    )
    assert (orphan["customer_id"], orphan["customer_sk"], orphan["ship_date_sk"]) == (None, -1, -1)
    [month] = house.rows("delivery_performance")
    assert (month["ship_month"], month["service_level"], month["country_code"]) == (date(2025, 1, 1), "unknown", "DE")
    assert (month["shipments"], month["delivered"], month["on_time"], month["lost"]) == (3, 2, 1, 1)
    assert (month["on_time_rate"], month["avg_transit_hours"], month["shipping_cost"]) == (
        Decimal("0.5000"),
        Decimal("25.00"),
        Decimal("3.50"),
    )
    whole = house.row("customer_360")
    assert (whole["shipments"], whole["delivered_shipments"], whole["late_shipments"], whole["open_shipments"]) == (
        3,
        2,
        1,
        0,
    )
    assert (whole["on_time_rate"], whole["last_delivered_at"]) == (
        Decimal("0.5000"),
        at("2025-02-02", "00:00:00.000001"),
    )


def test_customer_360_sees_only_what_had_happened(house: House) -> None:
    as_of = at("2025-02-01")
    house.location("L1", BIRTH, "DE")
    house.customer("C1", BIRTH, first_name="Ann", last_name="Lee", location_id="L1")
    house.customer("C2", BIRTH)
    for purpose, granted, moment in (
        ("marketing_email", True, at("2025-01-01")),
        ("marketing_email", False, at("2025-01-02")),
        ("marketing_email", True, as_of + timedelta(seconds=1)),
        ("profiling", True, as_of),
    ):
        house.add("consents", {"customer_id": "C1", "purpose": purpose, "granted": granted, "updated_at": moment})
    for number, (moment, kind) in enumerate(
        [
            (at("2025-01-03"), "session_start"),
            (as_of, "product_view"),
            (as_of + timedelta(microseconds=1), "add_to_cart"),
        ]
    ):
        house.event(number, "C1", moment, kind)
    house.event(9, None, at("2025-01-03"))
    house.product("P1", BIRTH, category="Toys")
    house.product("P2", BIRTH, category="Books")
    house.order("O1", "C1", at("2025-01-05"))
    house.item("I1", "O1", "P1")
    house.item("I2", "O1", "P2")
    house.payment("T1", "O1", at("2025-01-05"), status="pending")
    house.payment("T1", "O1", at("2025-01-06"))
    house.payment("T2", "O1", at("2025-01-06"), status="failed")
    house.payment("T3", "O1", at("2025-01-07"), "4.00", transaction_type="refund")
    house.build_all(as_of)
    whole = house.row("customer_360", customer_id="C1")
    assert (whole["full_name"], whole["country_code"]) == ("Ann Lee", "DE")
    assert (whole["consent_marketing_email"], whole["consent_profiling"], whole["consent_third_party"]) == (
        False,
        True,
        None,
    )
    assert (whole["web_events"], whole["web_sessions"], whole["product_views"], whole["carts"]) == (2, 1, 1, 0)
    assert (whole["first_seen_at"], whole["last_seen_at"]) == (at("2025-01-03"), as_of)
    assert whole["favourite_category"] == "Books"  # a tie: the smaller name
    assert (whole["payments"], whole["failed_payments"]) == (2, 1)
    assert (whole["captured_amount"], whole["refunded_amount"]) == (Decimal("10.00"), Decimal("4.00"))
    assert (whole["failed_payment_rate"], whole["risk_score"], whole["risk_level"]) == (Decimal("0.5000"), 15, "low")
    idle = house.row("customer_360", customer_id="C2")
    zeros = (
        "orders",
        "segment_orders",
        "shipments",
        "payments",
        "web_events",
        "revenue_amount",
        "captured_amount",
        "risk_score",
    )
    assert {idle[c] for c in zeros} == {0}
    nulls = (
        "on_time_rate",
        "return_rate",
        "cancellation_rate",
        "failed_payment_rate",
        "last_seen_at",
        "recency_days",
        "last_order_id",
    )
    assert {idle[c] for c in nulls} == {None}
    assert (idle["segment"], idle["risk_level"]) == ("Prospect", "low")


def test_dates_span_whole_years_and_grow(house: House) -> None:
    house.order("O1", "C1", at("2024-06-01"))
    house.build("dim_date", at("2025-01-01"))
    assert len(house.rows("dim_date")) == 366 + 1
    leap = house.row("dim_date", date_sk=20240229)
    assert (leap["month_name"], leap["day_name"], leap["day_of_week"], leap["iso_week"]) == (
        "February",
        "Thursday",
        4,
        9,
    )
    assert (leap["is_month_end"], leap["is_weekend"], leap["day_of_year"], leap["quarter"]) == (True, False, 60, 1)
    house.shipment("S1", "O1", at("2024-07-01"), promised_at=at("2025-01-01"))
    assert house.build("dim_date", at("2025-01-01")).affected is None
    assert len(house.rows("dim_date")) == 366 + 365 + 1
    house.order("O2", "C1", at("2025-06-01"))
    assert house.build("dim_date", at("2025-01-01")).affected == 0


def test_increments_give_the_rows_of_a_full_build(house: House) -> None:
    """Ten days of everything that happens to a company, some of it late or out of order; then a rerun, then in full."""
    for number in range(5):
        house.product(f"P{number}", at("2025-01-01"), category=("Toys", "Books")[number % 2])
    house.build_all(at("2025-01-01"))
    for day in range(1, 11):
        today = at(f"2025-01-{day:02d}", "08:00:00")
        house.location(f"L{day}", today, ("US", "DE")[day % 2])
        house.customer(f"C{day}", today, location_id=f"L{day}", loyalty_tier="none")
        if day > 2:
            house.customer(f"C{day - 2}", today, location_id=f"L{day}", loyalty_tier=("none", "gold")[day % 2])
            house.customer(f"C{day - 1}", today - timedelta(days=3), loyalty_tier="silver")
            house.location(f"L{day - 1}", today, "FR")
            house.product(f"P{day % 5}", today - timedelta(hours=day), unit_cost=Decimal(day))
        for order in range(2):
            identifier = f"O{day}{order}"
            if (day, order) != (4, 1):
                house.order(
                    identifier, f"C{day + order}", today - timedelta(days=4 * order), location_id=f"L{day + order}"
                )
            for line in range(order + 1):
                item = {"discount_amount": Decimal("0.33"), "updated_at": today, "line_number": line + 1}
                house.item(
                    f"I{identifier}{line}", identifier, f"P{(day + line) % 6}", quantity=day, price="9.99", **item
                )
            house.payment(f"T{identifier}", identifier, today, status=("captured", "failed")[day % 2])
            house.shipment(f"S{identifier}", identifier, today, location_id=f"L{day + order}")
        if day > 3:
            old = day - 3
            status = {"status": ("completed", "cancelled", "returned")[day % 3]}
            house.order(
                f"O{old}0",
                f"C{old}",
                at(f"2025-01-{old:02d}", "08:00:00"),
                **status,
                updated_at=today,
                location_id=f"L{old}",
            )
            house.item(
                f"IO{old}00",
                f"O{old}0",
                f"P{old % 6}",
                quantity=old,
                price="9.99",
                returned_quantity=1,
                updated_at=today,
            )
            house.shipment(
                f"SO{old}0",
                f"O{old}0",
                today,
                status="delivered",
                shipped_at=today - timedelta(days=2),
                promised_at=today - timedelta(hours=day),
                delivered_at=today - timedelta(hours=6),
            )
        if day == 6:  # an item that changes its order, an order that changes its customer and day
            house.item("IO500", "O51", "P0", quantity=5, price="9.99", updated_at=today)
            house.order("O51", "C1", at("2025-01-02"), updated_at=today)
        if day == 8:  # the order that never came, and an older version of one that is known
            house.order("O41", "C5", at("2024-12-31"), location_id="L99")
            house.order("O70", "C9", at("2025-01-07"), "cancelled", updated_at=at("2025-01-01"))
        house.add(
            "consents", {"customer_id": f"C{day}", "purpose": "profiling", "granted": day % 2 == 0, "updated_at": today}
        )
        house.add(
            "stock",
            {
                "movement_id": f"M{day}",
                "product_id": f"P{day % 5}",
                "warehouse": "w",
                "movement_type": "receipt",
                "quantity": day,
                "moved_at": today,
            },
        )
        house.event(day, f"C{day}", today, "session_start")
        house.event(100 + day, f"C{max(day - 3, 1)}", today - timedelta(days=day % 4), "add_to_cart")
        house.event(200 + day, "C1", today + timedelta(days=2), "page_view")
        if day in {1, 5, 6, 8, 10}:
            modes = house.build_all(at("2025-01-01") + timedelta(days=day))
    scoped = (
        "dim_customer",
        "dim_product",
        "dim_location",
        "fact_sales",
        "fact_logistics",
        "fact_orders",
        "sales_daily",
        "customer_activity",
        "product_performance",
        "anomaly_alerts",
    )
    assert {modes[f"gold.{table}"] for table in scoped} == {"incremental"}

    as_of = at("2025-01-11")
    before = {name: house.lake.snapshot(name) for name in GOLD}
    assert set(house.build_all(as_of).values()) == {"no-op"}
    assert {name: house.lake.snapshot(name) for name in GOLD} == before
    assert_same_as_full(house, as_of)
    # and once more with time alone moving on: segments and recency follow without any new row
    later = as_of + timedelta(days=100)
    modes = house.build_all(later)
    assert modes["gold.fact_sales"] == "no-op"
    assert {r["segment"] for r in house.rows("customer_360")} <= {"Churned", "Prospect"}
    later_too = ("customer_value", "customer_activity", "customer_360", "anomaly_alerts", "inventory_insights")
    assert_same_as_full(house, later, *later_too)


def test_every_commit_says_what_it_was_built_from(house: House) -> None:
    house.customer("C1", BIRTH)
    build = house.build("dim_customer", at("2025-02-01"))
    assert (build.mode, build.rows, build.affected) == ("full", 2, None)
    commit = house.lake.last_commit("gold.dim_customer")
    assert commit is not None
    assert commit.sources == {"silver.customers": house.lake.snapshot("silver.customers")}
    assert (commit.run_id, commit.watermark, commit.contract_version) == (
        "test",
        "2025-01-01",
        get_contract("gold.dim_customer").version,
    )


def test_a_changed_rule_is_a_full_build(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.customer("C1", BIRTH)
    house.build("dim_customer", at("2025-02-01"))
    house.customer("C2", BIRTH)
    monkeypatch.setattr("c360_assets.gold.runner._rule", lambda plan: "another text")
    build = house.build("dim_customer", at("2025-02-01"))
    assert (build.mode, build.reason) == ("full", "its SQL file changed")


def test_refusals_name_their_mend(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="no time zone"):
        house.build("dim_date", at("2025-01-01").replace(tzinfo=None))
    with pytest.raises(SettingsError, match=r"use one of gold\.dim_customer"):
        house.build("dim_nothing", at("2025-01-01"))
    with pytest.raises(LakehouseError, match=r"materialise gold\.dim_customer first"):
        house.build("fact_sales", at("2025-01-01"))
    house.customer("C1", BIRTH)
    house.build_all(at("2025-01-01"))
    with pytest.raises(LakehouseError, match=r"materialise gold\.customer_value as of the same moment first"):
        house.build("customer_360", at("2025-01-02"))
    snapshot = house.lake.snapshot("gold.dim_location")
    monkeypatch.setattr(
        type(GOLD["gold.dim_location"]), "sql", property(lambda plan: "select 1 as location_sk, 2 as other")
    )
    with pytest.raises(ContractError, match="lacks location_id, street"):
        house.build("dim_location", at("2025-01-01"), full=True)
    assert house.lake.snapshot("gold.dim_location") == snapshot


def assert_same_as_full(house: House, as_of: datetime, *tables: str) -> None:
    names = [f"gold.{table}" for table in tables] or list(GOLD)
    incremental = {name: house.frame(name) for name in names}
    for name in names:
        assert house.build(name.partition(".")[2], as_of, full=True).mode == "full"
        full = house.frame(name)
        assert incremental[name].equals(full), f"{name}: {incremental[name]} is not {full}"
