"""TPC-H at a small size: the raw files' revenue against plain decimals and the oracle's gold."""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from tests.oracle.compare import assert_same_rows
from tests.oracle.gold import gold_from
from tests.oracle.silver import SCHEMAS
from tests.oracle.tpch import NATIONS, REVENUE_KEYS, expected_revenue, generate, gold_revenue, raw_table
from tests.unit.oracle.world import at

if TYPE_CHECKING:
    from pathlib import Path

CENT = Decimal("0.01")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tpch")
    generate(folder, 0.002)
    return folder


def _rows(raw: Path, table: str) -> list[dict[str, str]]:
    with (raw / f"{table}.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_unit_price_is_exact_to_the_cent(raw: Path) -> None:
    prices = {row["p_partkey"]: Decimal(row["p_retailprice"]) for row in _rows(raw, "part")}
    for line in _rows(raw, "lineitem"):
        assert Decimal(line["l_quantity"]) * prices[line["l_partkey"]] == Decimal(line["l_extendedprice"])


def test_expected_revenue_is_what_plain_decimals_give(raw: Path) -> None:
    nations = {row["n_nationkey"]: NATIONS[row["n_name"]] for row in _rows(raw, "nation")}
    customers = {row["c_custkey"]: nations[row["c_nationkey"]] for row in _rows(raw, "customer")}
    orders = {row["o_orderkey"]: row for row in _rows(raw, "orders")}
    totals: dict[str, dict[object, Decimal]] = {name: defaultdict(Decimal) for name in REVENUE_KEYS}
    rounded = 0
    for line in _rows(raw, "lineitem"):
        order = orders[line["l_orderkey"]]
        price = Decimal(line["l_extendedprice"])
        discount = price * Decimal(line["l_discount"])
        rounded += discount != discount.quantize(CENT)
        revenue = price - discount.quantize(CENT, ROUND_HALF_UP)
        totals["customer"][order["o_custkey"]] += revenue
        totals["month"][date.fromisoformat(order["o_orderdate"]).replace(day=1)] += revenue
        totals["nation"][customers[order["o_custkey"]]] += revenue
    assert rounded > 1000, "the rounding per line was never put to the test"
    for name, table in expected_revenue(raw).items():
        key = REVENUE_KEYS[name][0]
        assert {row[key]: row["revenue_amount"] for row in table.to_pylist()} == totals[name]


def test_parquet_and_csv_agree(raw: Path, tmp_path: Path) -> None:
    generate(tmp_path, 0.002, "parquet")
    expected = expected_revenue(raw)
    for name, actual in expected_revenue(tmp_path).items():
        assert_same_rows(actual, expected[name], REVENUE_KEYS[name], name)


def test_the_star_gives_the_same_revenue(raw: Path) -> None:
    """The proposed mapping, in SQL: its gold must give the raw files' revenue to the cent."""
    import duckdb

    nations = ", ".join(f"('{name}', '{code}')" for name, code in NATIONS.items())
    table = {name: raw_table(raw, name) for name in ("customer", "nation", "part", "orders", "lineitem")}
    queries = {
        "customers": f"SELECT c_custkey AS customer_id, c_name AS last_name, 'C' || c_custkey AS location_id, "
        f"DATE '1992-01-01' AS registered_at, DATE '1992-01-01' AS updated_at FROM {table['customer']}",
        "locations": "SELECT 'C' || c_custkey AS location_id, code AS country_code, DATE '1992-01-01' AS updated_at "
        f"FROM {table['customer']} JOIN {table['nation']} ON n_nationkey = c_nationkey "
        f"JOIN (VALUES {nations}) AS iso(name, code) ON name = n_name",
        "products": "SELECT p_partkey AS product_id, p_name AS product_name, p_mfgr AS category, "
        f"p_retailprice AS unit_price, 'active' AS status, DATE '1992-01-01' AS updated_at FROM {table['part']}",
        "orders": "SELECT o_orderkey AS order_id, o_custkey AS customer_id, o_orderdate AS ordered_at, "
        "'completed' AS status, 'C' || o_custkey AS location_id, 'USD' AS currency, o_orderdate AS updated_at "
        f"FROM {table['orders']}",
        "order_items": "SELECT l_orderkey || '-' || l_linenumber AS order_item_id, l_orderkey AS order_id, "
        "l_linenumber AS line_number, l_partkey AS product_id, l_quantity AS quantity, "
        "round((l_extendedprice / l_quantity)::DECIMAL(18,6), 2) AS unit_price, "
        "round(l_extendedprice * l_discount, 2) AS discount_amount, l_receiptdate AS updated_at "
        f"FROM {table['lineitem']}",
    }
    silver: dict[str, pa.Table] = {}
    with duckdb.connect() as connection:
        for entity, schema in SCHEMAS.items():
            rows = connection.sql(queries[entity]).to_arrow_table() if entity in queries else schema.empty_table()
            nothing = pa.nulls(rows.num_rows)
            columns = [rows.column(n) if n in rows.column_names else nothing for n in schema.names]
            silver[entity] = pa.table(columns, names=schema.names).cast(schema)
    tables = gold_from(silver, at("1998-08-03"))
    expected = expected_revenue(raw)
    for name, actual in gold_revenue(tables["fact_sales"], tables["dim_location"]).items():
        assert_same_rows(actual, expected[name], REVENUE_KEYS[name], name)
    spent = sum(row["revenue_amount"] for row in tables["customer_360"].to_pylist())
    assert spent == sum(row["revenue_amount"] for row in expected["nation"].to_pylist())
    assert max(row["date_sk"] for row in tables["dim_date"].to_pylist()) == 19981231
