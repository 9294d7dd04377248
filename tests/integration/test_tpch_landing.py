"""TPC-H landed through the example's mappings, checked against DuckDB on the raw files: every record, to the cent."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from c360.conform import conform
from c360.ingest.land import Landed, land, plan
from c360.ingest.mapping_target import find_target
from c360.ingest.mapping_trial import try_out
from c360.ingest.readers import read_landing_file

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[2] / "docs/examples/tpch"
DAY = date(2025, 1, 1)
SCALE = "0.1"
LANDINGS = {
    "crm.customers": ("customer", "customers"),
    "crm.locations": ("customer", "locations"),
    "catalog.products": ("part", "products"),
    "shop.orders": ("orders", "orders"),
    "shop.order_items": ("lineitem", "order_items"),
}
TABLES = "customer,nation,region,part,orders,lineitem"


def generate(folder: Path, format_: str, scale: str) -> Path:
    tool = Path(sys.executable).with_name("tpchgen-cli")
    command: list[str | Path] = [tool, format_, "-s", scale, "-o", folder, "--no-progress", "-q", "--tables", TABLES]
    subprocess.run(command, check=True, timeout=120)
    return folder


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("raw"), "csv", SCALE)


@pytest.fixture(scope="module")
def landing(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Landed]]:
    folder = tmp_path_factory.mktemp("landing")
    landed = {
        target: land(plan(raw / f"{file}.csv", target, EXAMPLE / f"{mapping}.yaml"), folder, DAY)
        for target, (file, mapping) in LANDINGS.items()
    }
    return folder, landed


@pytest.fixture(scope="module")
def silver(landing: tuple[Path, dict[str, Landed]]) -> dict[str, pa.Table]:
    """What the real reader and rules accept of the landed files; asserts that they accept everything."""
    folder, landed = landing
    accepted = {}
    for name, result in landed.items():
        (file,) = result.files
        target = find_target(name)
        outcome = conform(read_landing_file(folder / file, file, target.bronze, DAY), target.silver)
        assert (outcome.rejected.num_rows, outcome.deduplicated.num_rows) == (0, 0), name
        assert outcome.accepted.num_rows == outcome.received == result.tally.read == result.tally.written
        assert not result.tally.unreadable
        assert not result.tally.unmatched
        accepted[name.replace(".", "_")] = outcome.accepted
    return accepted


@pytest.fixture(scope="module")
def oracle(raw: Path, silver: dict[str, pa.Table]) -> duckdb.DuckDBPyConnection:
    """The raw files with their declared types beside the accepted rows; no product code in between."""
    import duckdb

    connection = duckdb.connect()
    types = "{'l_extendedprice': 'DECIMAL(15,2)', 'l_discount': 'DECIMAL(15,2)', 'l_quantity': 'DECIMAL(15,2)'}"
    for table in TABLES.split(","):
        given = f", types = {types}" if table == "lineitem" else ""
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_csv('{raw / table}.csv', header = true{given})")
    for name, accepted in silver.items():
        connection.register(name, accepted)
    return connection


def only(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[object, ...]:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return tuple(row)


def test_every_record_arrives(oracle: duckdb.DuckDBPyConnection) -> None:
    for raw_table, ours in (("customer", "crm_customers"), ("customer", "crm_locations"), ("part", "catalog_products"),
                            ("orders", "shop_orders"), ("lineitem", "shop_order_items")):  # fmt: skip
        assert only(oracle, f"SELECT count(*) FROM {raw_table}") == only(oracle, f"SELECT count(*) FROM {ours}")
    assert only(oracle, "SELECT count(*) FROM shop_order_items")[0] == 600_572


def test_every_line_item_to_the_cent(oracle: duckdb.DuckDBPyConnection) -> None:
    """Amounts in whole cents of the raw text, so that no division and no rounding of the engine is relied on."""
    wrong = only(
        oracle,
        """
        WITH raw AS (
            SELECT l_orderkey || '-' || l_linenumber AS id, l_orderkey, l_linenumber, l_partkey,
                   (l_quantity)::BIGINT AS quantity, (l_extendedprice * 100)::BIGINT AS cents,
                   (l_discount * 100)::BIGINT AS percent, l_receiptdate
            FROM lineitem
        )
        SELECT count(*), count(*) FILTER (i.order_item_id IS NULL),
               count(*) FILTER ((i.unit_price * 100)::BIGINT * raw.quantity <> cents),
               count(*) FILTER ((i.discount_amount * 100)::BIGINT <> (cents * percent + 50) // 100),
               count(*) FILTER (i.quantity <> raw.quantity OR i.order_id <> l_orderkey::VARCHAR
                   OR i.line_number <> l_linenumber
                   OR i.product_id <> l_partkey::VARCHAR OR i.returned_quantity IS NOT NULL
                   OR i.updated_at <> l_receiptdate::TIMESTAMP AT TIME ZONE 'UTC')
        FROM raw LEFT JOIN shop_order_items i ON i.order_item_id = raw.id
        """,
    )
    assert wrong == (600_572, 0, 0, 0, 0)


def test_revenue_by_customer_month_and_nation(oracle: duckdb.DuckDBPyConnection) -> None:
    ours = """
        SELECT o.customer_id, date_trunc('month', o.ordered_at AT TIME ZONE 'UTC')::DATE, l.country_code,
               sum(i.quantity * i.unit_price - i.discount_amount) AS revenue
        FROM shop_order_items i JOIN shop_orders o USING (order_id)
             JOIN crm_locations l ON l.location_id = o.location_id
        GROUP BY ALL
    """
    theirs = """
        SELECT c_custkey::VARCHAR, date_trunc('month', o_orderdate)::DATE,
               CASE n_name WHEN 'CHINA' THEN 'CN' WHEN 'UNITED KINGDOM' THEN 'GB' WHEN 'UNITED STATES' THEN 'US'
                   WHEN 'ALGERIA' THEN 'DZ' WHEN 'MOROCCO' THEN 'MA' WHEN 'MOZAMBIQUE' THEN 'MZ'
                   WHEN 'SAUDI ARABIA' THEN 'SA' WHEN 'GERMANY' THEN 'DE' WHEN 'INDONESIA' THEN 'ID'
                   WHEN 'IRAN' THEN 'IR' WHEN 'IRAQ' THEN 'IQ'
                   WHEN 'JAPAN' THEN 'JP' WHEN 'VIETNAM' THEN 'VN' ELSE left(n_name, 2) END,
               sum(l_extendedprice - ((l_extendedprice * l_discount * 10000)::BIGINT + 50) // 100 * 0.01)
        FROM lineitem JOIN orders ON l_orderkey = o_orderkey JOIN customer ON o_custkey = c_custkey
             JOIN nation ON c_nationkey = n_nationkey
        GROUP BY ALL
    """
    assert only(oracle, f"SELECT count(*) FROM ({ours} EXCEPT ALL {theirs})") == (0,)
    assert only(oracle, f"SELECT count(*) FROM ({theirs} EXCEPT ALL {ours})") == (0,)


def test_customers_places_orders_and_products(oracle: duckdb.DuckDBPyConnection) -> None:
    assert only(
        oracle,
        """SELECT count(*) FROM customer JOIN nation ON c_nationkey = n_nationkey
           JOIN region ON n_regionkey = r_regionkey
           JOIN crm_customers c ON c.customer_id = c_custkey::VARCHAR
           JOIN crm_locations l ON l.location_id = 'C' || c_custkey
           WHERE c.last_name = c_name AND c.phone = c_phone AND c.location_id = l.location_id AND l.region = r_name
             AND c.email IS NULL AND c.registered_at = TIMESTAMPTZ '1992-01-01 00:00:00+00'
             AND length(l.country_code) = 2 AND l.street = trim(regexp_replace(c_address, ' +', ' ', 'g'))""",
    ) == (15_000,)
    assert only(oracle, "SELECT count(DISTINCT country_code) FROM crm_locations") == (25,)
    assert only(
        oracle,
        """SELECT count(*) FROM orders JOIN shop_orders o ON o.order_id = o_orderkey::VARCHAR
           WHERE o.customer_id = o_custkey::VARCHAR AND o.location_id = 'C' || o_custkey AND o.currency = 'USD'
             AND o.status = CASE o_orderstatus WHEN 'F' THEN 'completed' WHEN 'O' THEN 'placed' ELSE 'shipped' END
             AND o.ordered_at = o_orderdate::TIMESTAMP AT TIME ZONE 'UTC' AND o.updated_at = o.ordered_at""",
    ) == (150_000,)
    assert only(
        oracle,
        """SELECT count(*) FROM part JOIN catalog_products p ON p.product_id = p_partkey::VARCHAR
           WHERE p.product_name = p_name AND p.category = p_mfgr AND p.subcategory = p_type AND p.brand = p_brand
             AND p.unit_price = p_retailprice::DECIMAL(12,2) AND p.status = 'active'""",
    ) == (20_000,)


def test_landing_again_changes_nothing(raw: Path, landing: tuple[Path, dict[str, Landed]]) -> None:
    folder, landed = landing
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    again = land(plan(raw / "customer.csv", "crm.locations", EXAMPLE / "locations.yaml"), folder)
    assert again.already
    assert again.files == landed["crm.locations"].files
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same small data in both formats."""
    return {f: generate(tmp_path_factory.mktemp(f), f, "0.001") for f in ("csv", "parquet")}


@pytest.mark.parametrize("target", LANDINGS)
def test_parquet_gives_the_same_rows_as_csv(small: dict[str, Path], tmp_path: Path, target: str) -> None:
    rows = {}
    file, mapping = LANDINGS[target]
    text = (EXAMPLE / f"{mapping}.yaml").read_text()
    for format_, folder in small.items():
        path = tmp_path / f"{format_}-{mapping}.yaml"
        path.write_text(text.replace(".csv", f".{format_}"))
        trial = try_out(plan(folder / f"{file}.{format_}", target, path), DAY)
        assert trial.rejected == 0
        landed = land(plan(folder / f"{file}.{format_}", target, path), tmp_path / "landing" / format_, DAY)
        contract = find_target(target)
        raw = read_landing_file(tmp_path / "landing" / format_ / landed.files[0], "same", contract.bronze, DAY)
        accepted = conform(raw, contract.silver).accepted
        rows[format_] = accepted.drop_columns([c for c in accepted.column_names if c.startswith("_")])
    assert rows["csv"].num_rows > 0
    assert rows["csv"].equals(rows["parquet"])
