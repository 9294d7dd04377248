"""Data nobody here wrote: TPC-H files by ``tpchgen-cli``, and what their revenue is, straight from the raw files.

The mapping that these figures presuppose: quantity = l_quantity, unit_price = l_extendedprice / l_quantity (exact to
the cent, as l_extendedprice is l_quantity times a retail price in cents), discount_amount = l_extendedprice times
l_discount, rounded half up to the cent *per line*, nothing returned, nothing cancelled. Revenue of a line is then
l_extendedprice less discount_amount.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = ("customer", "nation", "region", "part", "orders", "lineitem")
NATIONS = {
    "ALGERIA": "DZ",
    "ARGENTINA": "AR",
    "BRAZIL": "BR",
    "CANADA": "CA",
    "CHINA": "CN",
    "EGYPT": "EG",
    "ETHIOPIA": "ET",
    "FRANCE": "FR",
    "GERMANY": "DE",
    "INDIA": "IN",
    "INDONESIA": "ID",
    "IRAN": "IR",
    "IRAQ": "IQ",
    "JAPAN": "JP",
    "JORDAN": "JO",
    "KENYA": "KE",
    "MOROCCO": "MA",
    "MOZAMBIQUE": "MZ",
    "PERU": "PE",
    "ROMANIA": "RO",
    "RUSSIA": "RU",
    "SAUDI ARABIA": "SA",
    "UNITED KINGDOM": "GB",
    "UNITED STATES": "US",
    "VIETNAM": "VN",
}
"""ISO 3166 codes of the 25 nations, as ``country_code`` in the landed locations."""

REVENUE_KEYS = {"customer": ("customer_id",), "month": ("month",), "nation": ("country_code",)}


def generate(raw: Path, scale: float = 0.1, file_format: Literal["csv", "parquet"] = "csv") -> None:
    """Write the six TPC-H tables into ``raw`` as ``<table>.<format>``, the same bytes every time.

    Raises AssertionError where ``tpchgen-cli`` is not installed beside this Python or on the path.
    """
    beside = Path(sys.executable).parent / "tpchgen-cli"
    program = str(beside) if beside.exists() else shutil.which("tpchgen-cli")
    assert program, "tpchgen-cli is not installed: uv sync installs it"
    raw.mkdir(parents=True, exist_ok=True)
    options = ["-s", str(scale), "-o", str(raw), "-T", ",".join(TABLES), "--quiet", "--overwrite"]
    subprocess.run([program, file_format, *options], check=True, timeout=300)


_TYPES = {
    "customer": "c_custkey: 'BIGINT', c_nationkey: 'INTEGER'",
    "nation": "n_nationkey: 'INTEGER', n_regionkey: 'INTEGER'",
    "region": "r_regionkey: 'INTEGER'",
    "part": "p_partkey: 'BIGINT', p_retailprice: 'DECIMAL(15,2)'",
    "orders": "o_orderkey: 'BIGINT', o_custkey: 'BIGINT', o_orderdate: 'DATE', o_totalprice: 'DECIMAL(15,2)'",
    "lineitem": "l_orderkey: 'BIGINT', l_partkey: 'BIGINT', l_linenumber: 'INTEGER', l_quantity: 'DECIMAL(15,2)', "
    "l_extendedprice: 'DECIMAL(15,2)', l_discount: 'DECIMAL(15,2)', l_tax: 'DECIMAL(15,2)'",
}


def raw_table(raw: Path, table: str) -> str:
    """The SQL expression that reads one raw table; money as decimals, never as doubles."""
    path = raw / f"{table}.csv"
    if path.exists():
        return f"read_csv('{path}', header = true, types = {{{_TYPES[table]}}})"
    return f"read_parquet('{raw / f'{table}.parquet'}')"


def expected_revenue(raw: Path) -> dict[str, pa.Table]:
    """Revenue per ``customer``, ``month`` of the order date, and ``nation`` of the customer, from the raw files.

    Columns: the key (customer_id string; month date, its first day; country_code string), orders, units (long),
    gross_amount, discount_amount, revenue_amount (decimal(18,2)). Only keys with at least one line appear.
    """
    import duckdb

    names = ", ".join(f"('{name}', '{code}')" for name, code in NATIONS.items())
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        connection.execute(f"""
            CREATE TABLE lines AS
            SELECT o_custkey::VARCHAR AS customer_id, date_trunc('month', o_orderdate)::DATE AS month, country_code,
                o_orderkey, l_quantity::BIGINT AS units, l_extendedprice AS gross,
                -- four decimals rounded half away from zero to two: DuckDB's rule for DECIMAL
                round(l_extendedprice * l_discount, 2)::DECIMAL(15,2) AS discount
            FROM {raw_table(raw, "lineitem")}
            JOIN {raw_table(raw, "orders")} ON o_orderkey = l_orderkey
            JOIN {raw_table(raw, "customer")} ON c_custkey = o_custkey
            JOIN {raw_table(raw, "nation")} ON n_nationkey = c_nationkey
            JOIN (VALUES {names}) AS iso(nation_name, country_code) ON nation_name = n_name
        """)
        return {
            name: connection.sql(
                f"SELECT {key}, count(DISTINCT o_orderkey) AS orders, sum(units)::BIGINT AS units, "
                "sum(gross)::DECIMAL(18,2) AS gross_amount, sum(discount)::DECIMAL(18,2) AS discount_amount, "
                f"sum(gross - discount)::DECIMAL(18,2) AS revenue_amount FROM lines GROUP BY {key} ORDER BY {key}"
            ).to_arrow_table()
            for name, (key,) in REVENUE_KEYS.items()
        }


def gold_revenue(fact_sales: pa.Table, dim_location: pa.Table) -> dict[str, pa.Table]:
    """The same three tables from the gold star, to be compared by ``assert_same_rows(…, REVENUE_KEYS[name])``."""
    import duckdb

    with duckdb.connect() as connection:
        connection.register("sales_arrow", fact_sales)
        connection.register("locations_arrow", dim_location)
        keys = {
            "customer": "customer_id",
            "month": "make_date(order_date_sk // 10000, order_date_sk // 100 % 100, 1) AS month",
            "nation": "country_code",
        }
        return {
            name: connection.sql(
                f"SELECT {key}, count(DISTINCT order_id) AS orders, sum(quantity)::BIGINT AS units, "
                "sum(gross_amount)::DECIMAL(18,2) AS gross_amount, "
                "sum(discount_amount)::DECIMAL(18,2) AS discount_amount, "
                "sum(revenue_amount)::DECIMAL(18,2) AS revenue_amount "
                "FROM sales_arrow JOIN locations_arrow USING (location_sk) GROUP BY 1 ORDER BY 1"
            ).to_arrow_table()
            for name, key in keys.items()
        }
