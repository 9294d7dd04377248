"""The company is consistent and lifelike: questions asked with DuckDB of a year's clean truth."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from mock_data import Generated, generate

Ask = Callable[[str], list[tuple[Any, ...]]]
CHILDREN = [
    ("customers", "location_id", "locations"),
    ("consents", "customer_id", "customers"),
    ("stock", "product_id", "products"),
    ("orders", "customer_id", "customers"),
    ("orders", "location_id", "locations"),
    ("order_items", "order_id", "orders"),
    ("order_items", "product_id", "products"),
    ("transactions", "order_id", "orders"),
    ("shipments", "order_id", "orders"),
    ("shipments", "location_id", "locations"),
    ("events", "customer_id", "customers"),
    ("events", "product_id", "products"),
    ("events", "order_id", "orders"),
]


def _asker(company: Generated) -> Ask:
    import duckdb

    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    for path in sorted((company.truth / "clean").iterdir()):
        connection.execute(f"create view {path.stem} as select * from '{path}'")
    for name, key in (("orders", "order_id"), ("order_items", "order_item_id"), ("shipments", "shipment_id")):
        connection.execute(
            f"create view last_{name} as select * from {name} "
            f"qualify row_number() over (partition by {key} order by updated_at desc) = 1"
        )
    return lambda sql: connection.execute(sql).fetchall()


@pytest.fixture(scope="session")
def ask(whole: Generated) -> Ask:
    """Asks the company in which every record is as it should be."""
    return _asker(whole)


@pytest.fixture(scope="session")
def ask_defective(year: Generated) -> Ask:
    """Asks the same company with defects, orphans among its clean records."""
    return _asker(year)


@pytest.mark.parametrize(("child", "column", "parent"), CHILDREN)
def test_every_record_has_its_parent(ask: Ask, child: str, column: str, parent: str) -> None:
    assert ask(
        f"select count(*) from {child} where {column} is not null and {column} not in (select {column} from {parent})"
    ) == [(0,)]


@pytest.mark.parametrize(("child", "column", "parent"), CHILDREN)
def test_only_orphans_lack_a_parent(year: Generated, ask_defective: Ask, child: str, column: str, parent: str) -> None:
    lost = ask_defective(
        f"select count(*) from {child} where {column} is not null and {column} not in (select {column} from {parent})"
    )
    told = ask_defective(
        f"select count(*) from '{year.truth}/ledger.parquet' "
        f"where entity = '{child}' and defect = 'orphan' and column_name = '{column}'"
    )
    assert lost == told


def test_volumes_follow_the_scale(ask: Ask) -> None:
    sizes = {
        "customers": ("customer_id", 300, 0),
        "products": ("product_id", 30, 0),
        "orders": ("order_id", 3000, 0),
        "order_items": ("order_item_id", 9000, 0.05),
        "shipments": ("shipment_id", 2850, 0.03),
        "events": ("event_id", 30_000, 0.03),
    }
    for entity, (key, expected, tolerance) in sizes.items():
        assert ask(f"select count(distinct {key}) from {entity}")[0][0] == pytest.approx(expected, rel=tolerance)


def test_nothing_happens_outside_the_days(ask: Ask) -> None:
    moments = {"stock": "moved_at", "transactions": "occurred_at", "events": "event_timestamp"}
    for entity in ("customers", "locations", "consents", "products", "orders", "order_items", "shipments", *moments):
        column = moments.get(entity, "updated_at")
        first, last = ask(f"select min({column})::date, max({column})::date from {entity}")[0]
        assert date(2025, 1, 1) <= first
        assert last <= date(2025, 12, 31)


def test_items_cost_what_the_product_cost_then(ask: Ask) -> None:
    wrong = ask(
        "with p as (select *, row_number() over w as n, lead(updated_at) over w as until from products "
        "window w as (partition by product_id order by updated_at)) "
        "select count(*), count(*) filter (where i.unit_price = p.unit_price) from last_order_items i "
        "join last_orders o using (order_id) join p on p.product_id = i.product_id "
        "and (p.updated_at <= o.ordered_at or p.n = 1) and (p.until is null or p.until > o.ordered_at)"
    )[0]
    assert wrong[0] == wrong[1] > 8000
    assert (
        ask("select count(*) from (select product_id from products group by 1 having count(distinct unit_price) > 1)")[
            0
        ][0]
        > 20
    )


def test_discontinued_products_are_sold_no_more(ask: Ask) -> None:
    assert ask("select count(*) from products where status = 'discontinued'")[0][0] > 0
    assert ask(
        "select count(*) from last_order_items i join last_orders o using (order_id) join products p "
        "using (product_id) where p.status = 'discontinued' and o.ordered_at >= p.updated_at"
    ) == [(0,)]
    assert ask(
        "select count(*) from last_order_items i join last_orders o using (order_id) join products p "
        "using (product_id) where o.ordered_at < p.introduced_at"
    ) == [(0,)]


def test_orders_go_through_their_life_in_order(ask: Ask) -> None:
    lives: dict[str, int] = dict(
        ask(
            "select life, count(*) from (select string_agg(status, ' ' order by updated_at) as life from orders "
            "group by order_id) group by 1"
        )
    )
    assert set(lives) <= {
        "placed",
        "placed paid",
        "placed paid shipped",
        "placed paid shipped completed",
        "placed paid shipped completed returned",
        "placed paid shipped cancelled",
        "placed paid cancelled",
        "placed cancelled",
    }
    assert lives["placed paid shipped completed"] > 0.7 * sum(lives.values())
    for rare in ("placed paid shipped completed returned", "placed paid cancelled", "placed cancelled"):
        assert lives[rare] > 10
    assert ask("select count(*) from orders where status = 'placed' and updated_at != ordered_at") == [(0,)]


def test_payments_are_what_the_order_costs(ask: Ask) -> None:
    assert ask(
        "with due as (select order_id, sum(quantity * unit_price - discount_amount) as total from last_order_items "
        "group by 1) select count(*) from transactions join last_orders using (order_id) join due using (order_id) "
        "where transaction_type = 'payment' and amount != total + shipping_amount"
    ) == [(0,)]
    kinds = {kind for (kind,) in ask("select distinct transaction_type || ' ' || status from transactions")}
    assert kinds == {"payment captured", "payment failed", "payment pending", "refund captured", "refund pending"}
    retried = ask(
        "select count(*) from transactions f join transactions c using (order_id) where f.status = 'failed' "
        "and c.status = 'captured' and c.occurred_at > f.occurred_at and c.transaction_id != f.transaction_id"
    )
    assert retried[0][0] > 50


def test_refunds_follow_returns_and_cancellations(ask: Ask) -> None:
    assert ask(
        "with back as (select order_id, sum(round((quantity * unit_price - discount_amount) * returned_quantity / "
        "quantity, 2)) as amount from last_order_items group by 1) "
        "select count(*) from transactions t join last_orders o using (order_id) join back using (order_id) "
        "where transaction_type = 'refund' and o.status = 'returned' and abs(t.amount - back.amount) > 0.005"
    ) == [(0,)]
    assert ask(
        "select count(*) from transactions t join transactions p using (order_id) join last_orders o using (order_id) "
        "where t.transaction_type = 'refund' and p.transaction_type = 'payment' and p.status = 'captured' "
        "and o.status = 'cancelled' and t.amount != p.amount"
    ) == [(0,)]
    assert ask(
        "select count(*) from last_orders o where updated_at < '2025-12-30' and (status = 'returned' or (status = "
        "'cancelled' and order_id in (select order_id from orders where status = 'paid'))) and order_id not in "
        "(select order_id from transactions where transaction_type = 'refund' and status = 'captured')"
    ) == [(0,)]


def test_returned_items_belong_to_returned_orders(ask: Ask) -> None:
    assert ask("select count(*) from last_order_items where returned_quantity > quantity") == [(0,)]
    returned: dict[str, int] = dict(
        ask(
            "select o.status, sum(returned_quantity) from last_order_items join last_orders o using (order_id) "
            "group by 1"
        )
    )
    assert returned.pop("returned") > 50
    assert set(returned.values()) == {0}


def test_stock_agrees_with_sales_and_returns(ask: Ask) -> None:
    for kind, sign, wanted in (
        ("sale", -1, ("sum(quantity) from last_order_items where order_id in "
         "(select order_id from orders where status = 'shipped')")),
        ("return", 1, "sum(returned_quantity) from last_order_items where returned_quantity > 0"),
    ):  # fmt: skip
        moved = ask(
            f"select product_id, {sign} * sum(quantity) from stock where movement_type = '{kind}' group by 1 order by 1"
        )
        assert moved == ask(f"select product_id, {wanted} group by 1 order by 1")
    assert ask("select count(distinct movement_type) from stock") == [(4,)]
    on_hand = ask("select min(n) from (select sum(quantity) as n from stock group by product_id, warehouse)")[0][0]
    assert on_hand > -40  # adjustments may take a few


def test_shipments_follow_their_orders(ask: Ask) -> None:
    assert ask(
        "select count(*) from last_shipments s join orders o using (order_id) where o.status = 'shipped' "
        "and s.shipped_at is not null and s.shipped_at != o.updated_at"
    ) == [(0,)]
    assert ask(
        "select count(*) from shipments where (status = 'created') != (shipped_at is null) "
        "or (status in ('delivered', 'returned')) != (delivered_at is not null) or delivered_at <= shipped_at"
    ) == [(0,)]
    on_time = ask("select avg((delivered_at <= promised_at)::int) from last_shipments where delivered_at is not null")
    assert 0.75 < on_time[0][0] < 0.97
    assert {s for (s,) in ask("select distinct status from shipments")} == {
        "created",
        "in_transit",
        "delivered",
        "lost",
        "returned",
    }


def test_customers_are_skewed_and_some_never_order(ask: Ask) -> None:
    counts = [n for (n,) in ask("select count(*) from last_orders group by customer_id order by 1 desc")]
    assert len(counts) < 0.9 * 300
    assert sum(counts[: len(counts) // 5]) > 0.45 * sum(counts)


def test_the_year_has_seasons(ask: Ask) -> None:
    by_month: dict[int, int] = dict(ask("select month(ordered_at), count(*) from last_orders group by 1"))
    assert by_month[12] > 1.4 * by_month[2]
    by_day: dict[int, int] = dict(ask("select isodow(ordered_at), count(*) from last_orders group by 1"))
    assert by_day[6] > 1.1 * by_day[2]


def test_customers_change_over_time(ask: Ask) -> None:
    changed = "select count(*) from (select customer_id from customers group by 1 having count(distinct {}) > 1)"
    for column, least in (("location_id", 10), ("loyalty_tier", 30), ("email", 5), ("phone", 5), ("last_name", 1)):
        assert ask(changed.format(column))[0][0] >= least, column
    assert (
        ask(
            "select count(*) from (select bool_or(granted) and bool_or(not granted) as turned from consents "
            "group by customer_id, purpose) where turned"
        )[0][0]
        > 30
    )
    assert ask("select count(*) from (select location_id from locations group by 1 having count(*) > 1)")[0][0] > 5


def test_visits_lead_to_purchases(ask: Ask) -> None:
    assert ask(
        "select count(*) from events e join last_orders o using (order_id) where event_type = 'purchase' "
        "and (e.event_timestamp != o.ordered_at or o.channel not in ('web', 'app') "
        "or e.customer_id != o.customer_id)"
    ) == [(0,)]
    online = ask("select count(*) from last_orders where channel in ('web', 'app')")[0][0]
    assert ask("select count(distinct order_id) from events where event_type = 'purchase'")[0][0] == online
    assert ask("select count(*) from events where event_type = 'support_ticket' and order_id is not null")[0][0] > 20
    strangers, all_ = ask("select count(*) filter (where customer_id is null), count(*) from events")[0]
    assert 0.1 < strangers / all_ < 0.5
    assert ask(
        "select count(*) from (select session_id from events group by 1 having count(distinct customer_id) > 1)"
    ) == [(0,)]
    assert ask("select count(distinct event_type) from events") == [(9,)]


def test_names_come_in_many_scripts(ask: Ask) -> None:
    scripts = set()
    for (name,) in ask(
        "select distinct first_name || last_name from customers where first_name || last_name is not null"
    ):
        assert unicodedata.normalize("NFC", name) == name
        scripts |= {unicodedata.name(c).split()[0] for c in name if c.isalpha()}
    assert {
        "LATIN",
        "CYRILLIC",
        "GREEK",
        "ARABIC",
        "HEBREW",
        "CJK",
        "HIRAGANA",
        "KATAKANA",
        "HANGUL",
        "DEVANAGARI",
    } <= scripts


def test_addresses_are_synthetic_and_telephones_dial(ask: Ask) -> None:
    import phonenumbers

    domains = {d for (d,) in ask("select distinct split_part(email, '@', 2) from customers where email is not null")}
    assert domains == {"example.com", "example.org", "example.net", "mail.example.com"}
    phones = [p for (p,) in ask("select distinct phone from customers where phone is not null")]
    dialled = [p for p in phones if p.startswith("+")]
    assert 0.95 * len(phones) < len(dialled) < len(phones)
    for phone in dialled:
        number = phonenumbers.parse(phone, None)
        assert phonenumbers.is_possible_number(number)
        assert phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) == phone
    assert not any(p.startswith("00") for p in phones)


def test_countries_match_their_telephones(ask: Ask) -> None:
    import phonenumbers

    rows = ask(
        "with first as (select customer_id, arg_min(location_id, updated_at) as location_id, arg_min(phone, "
        "updated_at) as phone from customers group by 1) select phone, arg_min(country_code, updated_at) "
        "from first join locations using (location_id) where phone like '+%' group by customer_id, phone"
    )
    assert len(rows) > 200
    for phone, country in rows:
        number = phonenumbers.parse(phone, None)
        assert country in phonenumbers.region_codes_for_country_code(number.country_code or 0)


def test_without_defects_the_files_are_the_truth(tmp_path: Any) -> None:
    made = generate(tmp_path, scale=0.005, seed=3, start=date(2024, 2, 20), days=20, defects=False)
    assert all(e["generated"] == e["accepted"] and not e["rejected"] and not e["defects"] for e in made.counts.values())
    import pyarrow.parquet as pq

    assert pq.read_table(made.truth / "ledger.parquet").num_rows == 0
    days = {p.name for p in made.landing.glob("*/*/*")}
    assert days <= {(date(2024, 2, 20) + timedelta(days=i)).isoformat() for i in range(20)}
    assert "2024-02-29" in days
