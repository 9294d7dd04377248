"""Row-for-row equality of two tables, fast at a million rows and readable when it fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

SHOWN = 5
_TOLERANCE = "1e-9"


def assert_same_rows(actual: pa.Table, expected: pa.Table, key: Sequence[str], name: str = "table") -> None:
    """Raise AssertionError unless both tables hold the same columns, keys and values, in any order.

    Integers compare by value whatever their width, decimals exactly whatever their scale, timestamps to the microsecond
    in UTC (one without a zone is taken as UTC), doubles to 1e-9 (relative above 1). Null equals null only. ``key`` must
    be unique on both sides. The message counts and shows the first differing keys and columns.
    """
    import duckdb

    problems = _differing_shape(actual, expected, key)
    if not problems:
        with duckdb.connect() as connection:
            for side, table in (("actual", actual), ("expected", expected)):
                connection.register(f"{side}_arrow", _comparable(table.select(expected.column_names)))
                connection.execute(f"CREATE TEMP TABLE {side} AS SELECT * FROM {side}_arrow")
            problems = _repeated_keys(connection, key) or [
                *_unmatched_keys(connection, key),
                *_differing_values(connection, expected.schema, key),
            ]
    if problems:
        heading = f"{name} differs from what was expected ({actual.num_rows} rows, expected {expected.num_rows}):"
        raise AssertionError("\n  ".join([heading, *problems]))


def _family(kind: pa.DataType) -> str:
    """What may be compared with what; width, scale, unit and zone do not matter."""
    if pa.types.is_dictionary(kind):
        return _family(kind.value_type)
    families = (
        ("integer", pa.types.is_integer(kind)),
        ("double", pa.types.is_floating(kind)),
        ("decimal", pa.types.is_decimal(kind)),
        ("timestamp", pa.types.is_timestamp(kind)),
    )
    for family, is_member in families:
        if is_member:
            return family
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "string"
    return str(kind)


def _differing_shape(actual: pa.Table, expected: pa.Table, key: Sequence[str]) -> list[str]:
    problems = []
    missing = [c for c in expected.column_names if c not in actual.column_names]
    unexpected = [c for c in actual.column_names if c not in expected.column_names]
    if missing:
        problems.append(f"columns missing: {missing}")
    if unexpected:
        problems.append(f"columns not expected: {unexpected}")
    if repeated := [c for c in actual.column_names if actual.column_names.count(c) > 1]:
        problems.append(f"columns occurring twice: {sorted(set(repeated))}")
    for column in [] if problems else expected.column_names:
        types = actual.schema.field(column).type, expected.schema.field(column).type
        if _family(types[0]) != _family(types[1]):
            problems.append(f"column {column} is {types[0]}, expected {types[1]}")
    if absent := [c for c in key if c not in expected.column_names]:
        problems.append(f"key columns that the expected table does not have: {absent}")
    return problems


def _comparable(table: pa.Table) -> pa.Table:
    """Moments as naive UTC microseconds, dictionaries as plain text: one DuckDB type for one family."""
    fields = []
    for field in table.schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        fields.append(pa.field(field.name, pa.timestamp("us") if pa.types.is_timestamp(kind) else kind))
    return table.cast(pa.schema(fields), safe=False)


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _repeated_keys(connection: duckdb.DuckDBPyConnection, key: Sequence[str]) -> list[str]:
    columns = ", ".join(map(_quoted, key))
    problems = []
    for side in ("actual", "expected"):
        query = f"FROM (SELECT {columns}, count(*) AS times FROM {side} GROUP BY ALL HAVING count(*) > 1)"
        total = _scalar(connection, f"SELECT count(*) {query}")
        if total:
            shown = connection.execute(f"SELECT * {query} ORDER BY ALL LIMIT {SHOWN}").fetchall()
            problems.append(f"{total} keys occur more than once in {side}: {_rows([*key, 'times'], shown)}")
    return problems


def _unmatched_keys(connection: duckdb.DuckDBPyConnection, key: Sequence[str]) -> list[str]:
    columns = ", ".join(map(_quoted, key))
    same = " AND ".join(f"a.{_quoted(c)} IS NOT DISTINCT FROM b.{_quoted(c)}" for c in key)
    problems = []
    for side, other, label in (("expected", "actual", "missing"), ("actual", "expected", "not expected")):
        query = f"FROM {side} a WHERE NOT EXISTS (FROM {other} b WHERE {same})"
        total = _scalar(connection, f"SELECT count(*) {query}")
        if total:
            shown = connection.execute(f"SELECT {columns} {query} ORDER BY ALL LIMIT {SHOWN}").fetchall()
            problems.append(f"{total} rows {label}, keys {_rows(key, shown)}")
    return problems


def _differing_values(connection: duckdb.DuckDBPyConnection, schema: pa.Schema, key: Sequence[str]) -> list[str]:
    same = " AND ".join(f"a.{_quoted(c)} IS NOT DISTINCT FROM b.{_quoted(c)}" for c in key)
    joined = f"FROM actual a JOIN expected b ON {same}"
    tests = {f.name: _differs(_quoted(f.name), f.type) for f in schema if f.name not in key}
    if not tests:
        return []
    counts = connection.execute(f"SELECT {', '.join(f'count(*) FILTER ({t})' for t in tests.values())} {joined}")
    problems = []
    for column, total in zip(tests, counts.fetchone() or (), strict=True):
        if total:
            shown = connection.execute(
                f"SELECT {', '.join('a.' + _quoted(c) for c in key)}, a.{_quoted(column)}, b.{_quoted(column)} "
                f"{joined} WHERE {tests[column]} ORDER BY ALL LIMIT {SHOWN}"
            ).fetchall()
            problems.append(f"column {column}: {total} rows differ: {_rows([*key, 'actual', 'expected'], shown)}")
    return problems


def _differs(column: str, kind: pa.DataType) -> str:
    a, b = f"a.{column}", f"b.{column}"
    if not pa.types.is_floating(kind):
        return f"{a} IS DISTINCT FROM {b}"
    # DuckDB holds NaN equal to NaN and infinity to itself; their difference would be NaN.
    near = f"({a} = {b} OR abs({a} - {b}) <= {_TOLERANCE} * greatest(1, abs({a}), abs({b})))"
    finite = f"(isfinite({a}) AND isfinite({b}))"
    return f"({a} IS DISTINCT FROM {b} AND (({a} IS NULL) <> ({b} IS NULL) OR NOT {finite} OR NOT {near}))"


def _scalar(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def _rows(columns: Sequence[str], rows: Sequence[tuple[object, ...]]) -> str:
    return "; ".join(", ".join(f"{c}={v!s}" for c, v in zip(columns, row, strict=True)) for row in rows)
