"""What an audit finds and shows, on few rows and on so many that repeated texts become categories."""

from __future__ import annotations

import pyarrow as pa
import pytest

from c360.contracts import Column, Contract
from c360.contracts.model import Rule
from c360_assets.quality.audit import AuditReport, audit

CONTRACT = Contract(
    name="silver.things",
    layer="silver",
    table="things",
    version="1.0.0",
    domain="test",
    owner="test",
    description="rows of an audit",
    columns=(
        Column("region", "string", required=True),
        Column("id", "string", required=True),
        Column("status", "string", enum=("open", "closed")),
        Column("code", "string", pattern="^[a-z]$"),
        Column("name", "string", max_length=3),
        Column("amount", "decimal(12,2)", minimum="0"),
        Column("low", "long"),
        Column("high", "long"),
    ),
    primary_key=("region", "id"),
    rules=(
        Rule(
            "expect_column_pair_values_a_to_be_greater_than_b",
            {"column_A": "high", "column_B": "low", "or_equal": True},
            columns=("high", "low"),
        ),
    ),
)


def rows(count: int) -> pa.Table:
    from decimal import Decimal

    return pa.table(
        {
            "region": ["r1" if i % 2 else "r2" for i in range(count)],
            "id": [f"id{i:06d}" for i in range(count)],
            "status": ["open" if i % 3 else "closed" for i in range(count)],
            "code": ["abc"[i % 3] for i in range(count)],
            "name": ["abc" if i % 2 else None for i in range(count)],
            "amount": pa.array([Decimal(i % 7) for i in range(count)], pa.decimal128(12, 2)),
            "low": pa.array([i % 5 for i in range(count)], pa.int64()),
            "high": pa.array([None if i % 11 == 0 else i % 5 for i in range(count)], pa.int64()),
        }
    )


def ask(changed: pa.Table, whole: pa.Table) -> AuditReport:
    return audit(CONTRACT, changed, whole, whole)


def put(table: pa.Table, column: str, at: dict[int, object]) -> pa.Table:
    values = table.column(column).to_pylist()
    for position, value in at.items():
        values[position] = value
    field = table.schema.field(column)
    return table.set_column(table.schema.get_field_index(column), field, pa.array(values, field.type))


def only_failure(report: AuditReport, expectation: str) -> tuple[str, int, list[tuple[str, object]]]:
    [failure] = report.failures
    assert failure.expectation == expectation
    assert not report.passed
    last = failure.column.split(", ")[0]
    return failure.column, failure.unexpected, [(row["id"], row[last]) for row in failure.sample]


@pytest.fixture(params=[40, 5_000], ids=["few rows", "many rows"])
def good(request: pytest.FixtureRequest) -> pa.Table:
    return rows(request.param)


def test_good_rows_pass(good: pa.Table) -> None:
    report = ask(good, good)
    assert report.passed
    assert len(report.findings) == 8
    assert report.sentence() == f"8 expectations passed on {good.num_rows} rows"


@pytest.mark.parametrize(
    ("column", "value", "expectation"),
    [
        ("region", None, "expect_column_values_to_not_be_null"),
        ("status", "lost", "expect_column_values_to_be_in_set"),
        ("status", "", "expect_column_values_to_be_in_set"),
        ("code", "a\n", "expect_column_values_to_match_regex"),
        ("code", "ab", "expect_column_values_to_match_regex"),
        ("name", "abcd", "expect_column_value_lengths_to_be_between"),
        ("amount", -1, "expect_column_values_to_be_between"),
        ("high", -1, "expect_column_pair_values_a_to_be_greater_than_b"),
    ],
)
def test_a_wrong_value_is_counted_and_shown_with_its_key(
    good: pa.Table, column: str, value: object, expectation: str
) -> None:
    wrong = put(good, column, {3: value, 17: value})
    named, unexpected, sample = only_failure(ask(wrong, good), expectation)
    assert named == ("high, low" if column == "high" else column)
    assert unexpected == 2
    assert sample == [("id000003", value), ("id000017", value)]


def test_a_repeated_key_is_found_in_the_whole_table(good: pa.Table) -> None:
    twice = put(good, "id", {3: "id000005"})
    assert ask(good, good).passed
    [failure] = ask(good, twice).failures
    assert (failure.expectation, failure.column) == ("expect_compound_columns_to_be_unique", "region, id")
    assert failure.sample == ({"region": "r1", "id": "id000005"},) * 2
    assert ask(good, put(good, "id", {4: "id000005"})).passed  # of another region


def test_no_more_rows_are_shown_than_one_can_read(good: pa.Table) -> None:
    wrong = put(good, "status", dict.fromkeys(range(30), "lost"))
    [failure] = ask(wrong, good).failures
    assert (failure.unexpected, len(failure.sample)) == (30, 10)


def test_an_expectation_that_raises_is_a_failure(good: pa.Table) -> None:
    failures = ask(good.drop_columns(["status"]), good).failures
    assert [f.column for f in failures] == ["status"]
    assert "status" in str(failures[0].sample[0]["exception"])
