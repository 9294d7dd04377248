"""The compiled expectations, run by the real Great Expectations on rows that obey the contract and on others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from c360.contracts import (
    Column,
    Contract,
    Rule,
    audited_columns,
    get_contract,
    load_contracts,
    to_arrow,
    to_expectations,
)
from c360.contracts import to_frame as frame_of

# Great Expectations and what it imports are not free of deprecated calls; our own code stays under "error".
pytestmark = pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")

Row = dict[str, Any]
Validate = Callable[[Contract, list[Row]], set[tuple[str, tuple[str, ...]]]]

ALL = list(load_contracts().values())
PATTERNS = {  # one text that matches each pattern of the product's contracts
    "^[a-z]{2}$": "en",
    "^[A-Z]{2}$": "US",
    "^[1-5]{3}$": "543",
    "^[0-9a-f]{64}$": "0" * 64,
    r"^[^@\s]+@[^@\s]+\.[^@\s]+$": "a@example.com",
    "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$": "6f1c2d3e-4b5a-4c6d-8e7f-901a2b3c4d5e",
}
SURROGATES = {"customer_sk", "product_sk", "location_sk", "date_sk"}
NOON = datetime(2025, 3, 14, 12, tzinfo=UTC)


HEAD_START = {
    "order_items": 21,
    "shipments": 21,
    "orders": 20,
    "delivered": 20,
    "payments": 20,
    "quantity": 20,
    "amount": 20,
}
"""Wholes, which have to exceed the parts that a rule compares them with."""


def good_value(column: Column, number: int) -> Any:
    """A value that obeys the column; distinct per row number where nothing restricts it."""
    if column.enum:
        return column.enum[0]
    if column.type == "string":
        text = PATTERNS[column.pattern] if column.pattern else f"{column.name}-"
        return f"{text[:-1]}{number}" if column.name == "event_id" or not column.pattern else text
    if column.type == "boolean":
        return True
    if column.type == "date":
        return date(2025, 1, 1) + timedelta(days=number)
    if column.type == "timestamp":
        # The ends of periods and journeys come after their starts.
        hours = 1 if column.name.startswith(("valid_to", "last_", "delivered", "as_of")) else 0
        return NOON + timedelta(days=number, hours=hours)
    low, high = (float(bound) if bound is not None else 0 for bound in (column.minimum, column.maximum))
    value = low + HEAD_START.get(column.name, 1) + number % 50
    value = min(value, high) if column.maximum is not None else value
    if column.type == "decimal(9,4)":
        return Decimal(str(min(value, 1)))
    if column.type.startswith("decimal"):
        return Decimal(str(value)).quantize(Decimal("0.01"))
    return value if column.type == "double" else int(value) + (number if column.name in SURROGATES else 0)


def good_rows(contract: Contract, count: int = 3) -> list[Row]:
    return [{column.name: good_value(column, number) for column in contract.columns} for number in range(count)]


def table_of(contract: Contract, rows: list[Row]) -> pa.Table:
    """Rows as an Arrow table without the schema's NOT NULL, which would refuse the bad ones before the audit."""
    schema = pa.schema([field.with_nullable(True) for field in to_arrow(contract)])  # noqa: FBT003 - positional only
    return pa.Table.from_pylist(rows, schema=schema)


@pytest.fixture(scope="module")
def validate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Validate]:
    """Runs a contract's expectations and returns (rule, columns) of those that failed; refuses exceptions."""
    import great_expectations as gx

    patch = pytest.MonkeyPatch()
    patch.chdir(tmp_path_factory.mktemp("gx"))
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
    asset = context.data_sources.add_pandas("frames").add_dataframe_asset("frame")
    batches = asset.add_batch_definition_whole_dataframe("all")

    def run(contract: Contract, rows: list[Row]) -> set[tuple[str, tuple[str, ...]]]:
        suite = gx.ExpectationSuite(name=contract.name, expectations=to_expectations(contract))
        frame = frame_of(table_of(contract, rows).select(audited_columns(contract)))
        result = batches.get_batch({"dataframe": frame}).validate(suite)
        failed = set()
        for item in result.results:
            assert not item.exception_info.get("raised_exception"), item
            nested = [v for v in item.exception_info.values() if isinstance(v, dict)]
            assert not any(v.get("raised_exception") for v in nested), item
            if not item.success:
                assert item.expectation_config is not None
                meta = item.expectation_config.meta
                assert meta is not None
                failed.add((meta["rule"], tuple(meta["columns"])))
        return failed

    yield run
    patch.undo()


# Bronze tables differ in columns without rules only.
@pytest.mark.parametrize(
    "contract", [c for c in ALL if c.layer != "bronze" or c.table == "orders"], ids=lambda c: c.name
)
def test_rows_that_obey_pass(contract: Contract, validate: Validate) -> None:
    assert validate(contract, good_rows(contract)) == set()


@pytest.mark.parametrize("contract", [c for c in ALL if c.layer != "bronze"], ids=lambda c: c.name)
def test_rows_with_only_what_is_required_pass(contract: Contract, validate: Validate) -> None:
    required = {column.name for column in contract.columns if column.required}
    sparse = [{k: v if k in required else None for k, v in row.items()} for row in good_rows(contract)]
    warned = {rule.name or rule.metric for rule in contract.rules if rule.severity == "warning"}
    assert {rule for rule, _ in validate(contract, sparse)} <= warned


BAD: list[tuple[str, str, Any, str]] = [
    ("silver.orders", "customer_id", None, "ExpectColumnValuesToNotBeNull"),
    ("silver.orders", "status", "PAID", "ExpectColumnValuesToBeInSet"),
    ("silver.orders", "shipping_amount", Decimal("-0.01"), "ExpectColumnValuesToBeBetween"),
    ("silver.orders", "order_id", "o" * 10, ""),
    ("silver.customers", "customer_id", "c" * 65, "ExpectColumnValueLengthsToBeBetween"),
    ("silver.customers", "email", "nobody", "ExpectColumnValuesToMatchRegex"),
    ("silver.customers", "language", "en\n", "ExpectColumnValuesToMatchRegex"),
    ("silver.customers", "birth_date", date(1899, 12, 31), "ExpectColumnValuesToBeBetween"),
    ("silver.customers", "birth_date", date(1900, 1, 1), ""),
    ("silver.locations", "latitude", 90.0001, "ExpectColumnValuesToBeBetween"),
    ("silver.locations", "longitude", -180.0, ""),
    ("silver.stock", "quantity", -1_000_001, "ExpectColumnValuesToBeBetween"),
    ("silver.stock", "quantity", -1_000_000, ""),
    ("silver.order_items", "returned_quantity", 100, "returned_at_most_bought"),
    ("silver.shipments", "delivered_at", NOON - timedelta(days=9), "delivered_after_shipped"),
    ("silver.events", "event_id", "6F1C2D3E-4B5A-4C6D-8E7F-901A2B3C4D5E", "ExpectColumnValuesToMatchRegex"),
    ("silver.rejected", "reason", "bad_luck", "ExpectColumnValuesToBeInSet"),
    ("bronze.orders", "_error", "oops", "ExpectColumnValuesToBeInSet"),
    ("bronze.orders", "_source_row", 0, "ExpectColumnValuesToBeBetween"),
    ("gold.dim_customer", "valid_to", NOON - timedelta(days=9), "valid_period"),
    ("gold.dim_date", "month", 13, "ExpectColumnValuesToBeBetween"),
    ("gold.fact_sales", "revenue_amount", Decimal("-1.00"), "revenue_not_negative"),
    ("gold.fact_sales", "customer_sk", -1, "known_customer"),
    ("gold.sales_daily", "cancelled_orders", 99, "cancelled_within_orders"),
    ("gold.delivery_performance", "on_time_rate", Decimal("1.0001"), "ExpectColumnValuesToBeBetween"),
    ("gold.customer_value", "r_score", 6, "ExpectColumnValuesToBeBetween"),
    ("gold.customer_value", "rfm_score", "600", "ExpectColumnValuesToMatchRegex"),
    ("gold.anomaly_alerts", "amount", Decimal("-1.00"), "above_the_threshold"),
    ("gold.anomaly_alerts", "rule", "many_orders", "ExpectColumnValuesToBeInSet"),
    ("gold.inventory_insights", "last_sold_at", NOON + timedelta(days=9), "sold_by_then"),
    ("gold.inventory_insights", "restock_quantity", -1, "ExpectColumnValuesToBeBetween"),
    ("gold.customer_360", "segment", "Vip", "ExpectColumnValuesToBeInSet"),
    ("gold.customer_360", "risk_score", 101, "risk_score_within_hundred"),
]


@pytest.mark.parametrize(("name", "column", "value", "rule"), BAD, ids=[f"{b[0]}.{b[1]}={b[2]}" for b in BAD])
def test_one_bad_value_fails_its_own_rule_only(
    name: str, column: str, value: Any, rule: str, validate: Validate
) -> None:
    contract = get_contract(name)
    rows = good_rows(contract)
    rows[1][column] = value
    assert {failed for failed, _ in validate(contract, rows)} == ({rule} if rule else set())


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("silver.orders", ("order_id", "updated_at")),
        ("silver.events", ("event_id",)),
        ("silver.rejected", ("source_file", "source_row")),
        ("bronze.stock", ("_source_file", "_source_row")),
        ("gold.sales_daily", ("order_date", "sales_channel", "country_code")),
    ],
)
def test_a_repeated_key_fails(name: str, columns: tuple[str, ...], validate: Validate) -> None:
    contract = get_contract(name)
    rows = good_rows(contract)
    for column in columns:
        rows[2][column] = rows[0][column]
    assert validate(contract, rows) == {("primary_key", columns)}


def test_an_alternate_key_and_an_empty_dimension_fail(validate: Validate) -> None:
    contract = get_contract("gold.dim_customer")
    rows = good_rows(contract)
    rows[2].update(customer_id=rows[0]["customer_id"], valid_from=rows[0]["valid_from"])
    assert validate(contract, rows) == {("duplicateValues", ("customer_id", "valid_from"))}
    assert validate(contract, []) == {("rowCount", ())}


def test_a_share_of_rare_slips_passes_and_a_habit_fails(validate: Validate) -> None:
    contract = get_contract("gold.customer_360")
    rows = good_rows(contract, 200)
    rows[7]["risk_score"] = 250
    assert validate(contract, rows) == set()
    for row in rows[:3]:
        row["risk_score"] = -1
    assert validate(contract, rows) == {("risk_score_within_hundred", ("risk_score",))}


def test_library_metrics(validate: Validate) -> None:
    text = Column("colour", "string")
    contract = Contract(
        name="silver.things",
        layer="silver",
        table="things",
        version="1.0.0",
        domain="sales",
        owner="sales-data",
        description="Things.",
        columns=(
            Column("thing_id", "long", required=True),
            text,
            Column("seen_at", "timestamp", minimum="2020-01-01T00:00:00Z"),
        ),
        primary_key=("thing_id",),
        rules=(
            Rule("nullValues", {}, "warning", columns=("colour",), maximum=50, percent=True, name="half"),
            Rule("missingValues", {"missingValues": ["n/a"]}, columns=("colour",), minimum=0, maximum=0, name="said"),
            Rule("invalidValues", {"validValues": ["red", "n/a"]}, columns=("colour",), maximum=0, name="known"),
            Rule("invalidValues", {"pattern": "^r"}, columns=("colour",), maximum=40, percent=True, name="red"),
            Rule("rowCount", {}, minimum=2, maximum=4, name="few"),
        ),
    )

    def failed(*colours: str | None, seen_at: datetime = NOON) -> set[str]:
        rows = [{"thing_id": n, "colour": colour, "seen_at": seen_at} for n, colour in enumerate(colours)]
        return {rule for rule, _ in validate(contract, rows)}

    assert failed("red", "red", None) == set()
    assert failed("red", None, None) == {"half"}
    assert failed("red", "red", "n/a") == {"said"}
    assert failed("red", "red", "blue") == {"known"}
    assert failed("red", "n/a") == {"said", "red"}
    assert failed("red") == {"few"}
    assert failed(*["red"] * 5) == {"few"}
    assert failed("red", "red", seen_at=datetime(2019, 12, 31, 23, 59, 59, tzinfo=UTC)) == {
        "ExpectColumnValuesToBeBetween"
    }


def meta(expectation: Any) -> dict[str, Any]:
    return dict(expectation.meta)


def test_scopes_part_the_expectations_and_name_what_they_read() -> None:
    for contract in ALL:
        both = to_expectations(contract)
        rows, key, table = (to_expectations(contract, scope) for scope in ("rows", "key", "table"))
        assert len(rows) + len(key) + len(table) == len(both)
        assert {meta(e)["scope"] for e in rows} <= {"rows"}
        assert {meta(e)["scope"] for e in table} <= {"table"}
        assert {meta(e)["scope"] for e in key} == {"key"}
        for scope, expectations in (("rows", rows), ("key", key), ("table", table)):
            read = {name for e in expectations for name in meta(e)["columns"]}
            assert set(audited_columns(contract, scope)) == read  # type: ignore[arg-type]
        # A share of rows cannot be told from the changed rows alone.
        assert all(getattr(e, "mostly", 1) == 1 for e in rows)


def test_severity_and_origin_travel_with_the_expectation() -> None:
    contract = get_contract("gold.fact_sales")
    by_rule = {meta(e)["rule"]: e for e in to_expectations(contract)}
    assert by_rule["known_customer"].severity.value == "warning"
    assert getattr(by_rule["known_customer"], "mostly", None) == 0.95
    assert by_rule["primary_key"].severity.value == "critical"
    assert meta(by_rule["primary_key"])["contract"] == "gold.fact_sales"
    assert meta(by_rule["primary_key"])["contract_version"] == contract.version
    assert by_rule["primary_key"].description == "The key order_item_id is unique."


def test_decimals_become_floats_for_the_audit_only() -> None:
    contract = get_contract("silver.order_items")
    table = table_of(contract, good_rows(contract))
    frame = frame_of(table)
    assert str(frame["unit_price"].dtype) == "float64"
    assert frame["unit_price"].tolist() == [float(v or 0) for v in table["unit_price"].to_pylist()]
    assert list(frame.columns) == list(contract.names)
