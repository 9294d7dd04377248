"""A mapping may come from anybody: its expressions must reach neither files, network, clock nor engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from c360.ingest.mapping import MappingError
from c360.ingest.mapping_sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as opened:
        yield opened


def resolve(parts: tuple[str, ...]) -> str:
    if parts not in (("a",), ("b",)):
        raise MappingError(f"no column {'.'.join(parts)}", "use a or b")
    return parts[0]


HOSTILE = [
    "(SELECT content FROM read_text('{secret}'))",
    "read_text('{secret}')",
    "(SELECT * FROM read_csv('{secret}'))",
    "(SELECT * FROM '{secret}')",
    "(FROM read_blob('{secret}'))",
    "EXISTS (SELECT 1 FROM glob('*'))",
    "a IN (SELECT content FROM read_text('{secret}'))",
    "a = ANY(SELECT content FROM read_text('{secret}'))",
    "a FROM read_csv('{secret}')",
    "1; COPY (SELECT 1) TO '{out}'",
    "1; ATTACH '{out}' AS x",
    "1; INSTALL httpfs",
    "1 UNION SELECT content FROM read_text('{secret}')",
    "a); COPY (SELECT 1) TO '{out}' --",
    "a WHERE 1 = 1",
    "a ORDER BY a",
    "a LIMIT 1",
    "a, b",
    "*",
    "COLUMNS(*)",
    "COLUMNS('a')",
    "getenv('HOME')",
    "current_setting('temp_directory')",
    "getvariable('x')",
    "nextval('x')",
    "query('SELECT 1')",
    "query_table('x')",
    "now()",
    "current_timestamp",
    "current_localtimestamp()",
    "today()",
    "age(TIMESTAMP '2024-01-01')",
    "random()",
    "uuid()",
    "sleep_ms(1)",
    "write_log('x')",
    "error('x')",
    "version()",
    "json_serialize_plan('SELECT 1')",
    "json_deserialize_sql('x')",
    "list_transform([1], lambda x: x)",
    "list_aggregate([1], 'sum')",
    "sum(a)",
    "count(*)",
    "row_number() OVER ()",
    "unnest([1, 2])",
    "system.main.lower(a)",
    "main.number(a)",
    "units(a)",
    "lower(DISTINCT a)",
    "sum(1) FILTER (WHERE true)",
    "$1",
    "?",
    "#1",
    "secret",
    "other.table.a",
    "",
    "   ",
    "a /*",
    "'unterminated",
]


@pytest.mark.parametrize("expression", HOSTILE)
def test_hostile_expressions_are_refused(sandbox: Sandbox, tmp_path: Path, expression: str) -> None:
    secret, out = tmp_path / "secret.txt", tmp_path / "out"
    secret.write_text("s3cret")
    with pytest.raises(MappingError) as caught:
        sandbox.check(
            expression.format(secret=secret, out=out) if "{" in expression else expression, resolve, "column 'x'"
        )
    assert "s3cret" not in str(caught.value)
    assert not out.exists()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('{secret}')",
        "SELECT * FROM '{secret}'",
        "COPY (SELECT 1) TO '{out}'",
        "ATTACH '{out}' AS x",
        "EXPORT DATABASE '{out}'",
        "INSTALL httpfs",
        "LOAD '{secret}'",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "RESET enable_external_access",
        "SELECT * FROM local_variable",
    ],
)
def test_the_engine_itself_is_fenced_even_if_an_expression_slipped_through(
    sandbox: Sandbox, tmp_path: Path, statement: str
) -> None:
    import duckdb

    local_variable = [1]
    secret, out = tmp_path / "secret.csv", tmp_path / "out"
    secret.write_text("a\n1\n")
    with pytest.raises(duckdb.Error):
        sandbox.connection.execute(statement.format(secret=secret, out=out)).fetchall()
    assert local_variable
    assert not out.exists()


@pytest.mark.parametrize(
    "expression",
    [
        "number(a) / 2",
        "CAST(number(a) / 2 AS DECIMAL(12,2))",  # the detour is seen behind the cast
        "round(CAST(a AS DOUBLE), 2)::DECIMAL(12,2)",
        "number(a) * 1e0",
        "CAST(sqrt(number(a)) AS INTEGER)",
        "CAST(a AS REAL)",
        "number(a) // 2",
    ],
)
def test_floating_point_is_refused_where_money_is_computed(sandbox: Sandbox, expression: str) -> None:
    with pytest.raises(MappingError, match="floating point"):
        sandbox.check(expression, resolve, "column 'x'")
    sandbox.check(expression, resolve, "column 'x'", exact=False)  # a latitude may be a float


@pytest.mark.parametrize(
    ("expression", "value", "expected"),
    [
        ("round(number(a) * 1.005, 2)", "100", "100.50"),
        ("number(a) + 0.2", "0.1", "0.300000000"),
        ("strftime(strptime(a, '%d.%m.%Y') + INTERVAL 1 DAY, '%Y')", "31.12.2024", "2025"),
        ("TRY(number(a))", "x", None),
        ("coalesce(TRY_CAST(a AS INTEGER), -1)", "x", -1),
        ("CASE WHEN a LIKE 'x%' AND NOT b IS NULL THEN 1 ELSE 2 END", "xy", 2),
        ("a[2:3]", "abcd", "bc"),
        ("a -- a comment\n", "z", "z"),
        ("regexp_extract(a, '(\\d+)', 1)", "ab12", "12"),
        ("json_extract_string(a, '$.k')", '{"k": "v"}', "v"),
    ],
)
def test_useful_expressions_pass(sandbox: Sandbox, expression: str, value: str, expected: object) -> None:
    sql, _ = sandbox.check(expression, resolve, "column 'x'")
    row = sandbox.connection.execute(
        f"SELECT {sql} FROM (SELECT ?::VARCHAR AS a, NULL::VARCHAR AS b)", [value]
    ).fetchone()
    assert row is not None
    assert (str(row[0]) if isinstance(expected, str) else row[0]) == expected
