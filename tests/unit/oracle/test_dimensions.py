"""Dimensions of a hand-made company."""

from __future__ import annotations

import hashlib
from datetime import UTC, date, datetime

import pytest

from tests.oracle.dimensions import MACROS
from tests.unit.oracle.world import CUSTOMERS, LOCATIONS, PRODUCTS, at, by, gold, part

FIRST, LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
JANUARY, MARCH = 1704067200000000, 1709251200000000  # 2024-01-01 and 2024-03-01 in microseconds


def sk(text: str) -> int:
    """The surrogate key by hand."""
    return int(hashlib.md5(text.encode()).hexdigest()[:15], 16)


def test_customer_versions_that_change_nothing_collapse_into_the_earliest() -> None:
    dimension = gold(customers=CUSTOMERS)["dim_customer"]
    versions = {(r["customer_id"], r["version_number"]): r for r in dimension.to_pylist()}
    assert set(versions) == {("C1", 1), ("C1", 2), ("C2", 1), ("C3", 1), ("unknown", None)}
    shown = ("customer_sk", "version_at", "valid_from", "valid_to", "is_current", "loyalty_tier", "full_name")
    assert part(versions["C1", 1], *shown) == (
        sk(f"customer|C1|{JANUARY}"), at("2024-01-01"), FIRST, at("2024-03-01"), False, "silver", "Ana Gil",
    )  # fmt: skip
    assert part(versions["C1", 2], *shown) == (
        sk(f"customer|C1|{MARCH}"), at("2024-03-01"), at("2024-03-01"), LAST, True, "gold", "Ana Gil",
    )  # fmt: skip
    assert versions["C2", 1]["full_name"] is None
    assert versions["C3", 1]["full_name"] == "Ito"


def test_a_value_that_becomes_null_and_returns_makes_versions() -> None:
    rows = [
        {"customer_id": "C1", "email": email, "registered_at": "2024-01-01", "updated_at": f"2024-01-0{day}"}
        for day, email in enumerate(["a@b.co", None, None, "a@b.co"], start=1)
    ]
    dimension = by(gold(customers=rows)["dim_customer"], "version_at")
    assert [r["email"] for at_, r in sorted((k, v) for k, v in dimension.items() if k)] == ["a@b.co", None, "a@b.co"]


def test_history_is_ordered_by_version_not_by_row() -> None:
    straight, shuffled = gold(customers=CUSTOMERS), gold(customers=CUSTOMERS[::-1])
    assert by(straight["dim_customer"], "customer_sk") == by(shuffled["dim_customer"], "customer_sk")


def test_unknown_members_hold_nothing_but_their_key() -> None:
    tables = gold(customers=CUSTOMERS, products=PRODUCTS, locations=LOCATIONS)
    for name, key in (("dim_customer", "customer"), ("dim_product", "product")):
        row = by(tables[name], f"{key}_sk")[-1]
        assert part(row, f"{key}_id", "valid_from", "valid_to", "is_current") == ("unknown", FIRST, LAST, True)
        assert {v for k, v in row.items() if k not in {f"{key}_sk", f"{key}_id"} and k[:3] not in ("val", "is_")} == {
            None
        }
    location = by(tables["dim_location"], "location_sk")[-1]
    assert {k: v for k, v in location.items() if v is not None} == {"location_sk": -1, "location_id": "unknown"}
    assert {k: v for k, v in by(tables["dim_date"], "date_sk")[-1].items() if v is not None} == {"date_sk": -1}


def test_product_price_change_is_a_version() -> None:
    rows = [r for r in gold(products=PRODUCTS)["dim_product"].to_pylist() if r["product_id"] == "P1"]
    assert sorted(part(r, "version_number", "category", "is_current", "product_sk") for r in rows) == [
        (1, "Desk", False, sk(f"product|P1|{JANUARY}")),
        (2, "Art", True, sk("product|P1|1707955200000000")),
    ]


def test_location_keeps_the_latest() -> None:
    rows = by(gold(locations=LOCATIONS)["dim_location"], "location_id")
    assert {k: r["city"] for k, r in rows.items()} == {"L1": "Salem", "L2": "Bonn", "unknown": None}
    assert rows["L1"]["location_sk"] == sk("location|L1")


def test_calendar_spans_whole_years_of_orders_and_shipments() -> None:
    order = {"order_id": "O1", "customer_id": "C1", "ordered_at": "2023-12-31T23:59:59", "updated_at": "2024-01-01"}
    shipment = {"shipment_id": "S1", "order_id": "O1", "promised_at": "2024-02-01", "updated_at": "2024-01-01"}
    days = by(gold(orders=[order], shipments=[shipment])["dim_date"], "date_sk")
    assert len(days) == 365 + 366 + 1
    assert (min(d for d in days if d > 0), max(days)) == (20230101, 20241231)
    leap = days[20240229]
    assert leap == {
        "date_sk": 20240229, "date": date(2024, 2, 29), "year": 2024, "quarter": 1, "month": 2,
        "month_name": "February", "iso_week": 9, "day_of_month": 29, "day_of_week": 4, "day_name": "Thursday",
        "day_of_year": 60, "is_weekend": False, "is_month_end": True,
    }  # fmt: skip
    assert part(days[20230101], "iso_week", "day_of_week", "is_weekend") == (52, 7, True)
    assert part(days[20240302], "iso_week", "day_of_week", "is_weekend", "is_month_end") == (9, 6, True, False)
    assert part(days[20240304], "iso_week", "day_of_week", "is_weekend") == (10, 1, False)


def test_nothing_dated_leaves_only_the_unknown_day() -> None:
    assert gold()["dim_date"].column("date_sk").to_pylist() == [-1]


@pytest.mark.parametrize(
    ("num", "den", "rounded"),
    [(5, 2, 3), (-5, 2, -3), (4, 3, 1), (5, 3, 2), (0, 7, 0), (1, -2, -1), (10**20 + 1, 2, 5 * 10**19 + 1)],
)
def test_half_up_is_exact_and_away_from_zero(num: int, den: int, rounded: int) -> None:
    import duckdb

    with duckdb.connect() as connection:
        for macro in MACROS:
            connection.execute(macro)
        assert connection.execute(f"SELECT half_up({num}::HUGEINT, {den}::HUGEINT)").fetchall() == [(rounded,)]


def test_a_truth_with_a_repeated_key_is_refused() -> None:
    with pytest.raises(AssertionError, match="breaks its primary key"):
        gold(locations=[LOCATIONS[0], LOCATIONS[0]])
