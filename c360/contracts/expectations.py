"""A contract as Great Expectations: what an audit asks of the rows before they are published.

Types are not asked again: Iceberg's schema holds them, and a write that does not fit fails before the audit.
Great Expectations and pandas take seconds to import, so they are imported inside the functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    import pyarrow as pa
    from great_expectations.expectations.expectation import Expectation

    from c360.contracts.model import Column, Contract, Rule

Scope = Literal["rows", "key", "table"]
_SAMPLE, _WORTH_IT = 20_000, 1_000  # rows


@dataclass(frozen=True)
class _Ask:
    """One expectation before it is made: class name, arguments, and what its result is filed under."""

    expectation: str
    arguments: dict[str, Any]
    columns: tuple[str, ...]
    scope: Scope
    description: str
    severity: Literal["error", "warning"] = "error"
    name: str = ""


def to_expectations(contract: Contract, scope: Scope | None = None) -> list[Expectation]:
    """The expectations of a contract, for a frame of :func:`to_frame`.

    ``scope`` "rows" keeps those that judge each row by itself, so that the changed rows are enough; "key" uniqueness,
    which needs all rows that share a key with them; "table" those that need all rows (counts, shares). A rule of
    severity error becomes ``critical``, which blocks publishing; a warning stays a warning. ``meta`` holds contract,
    version, rule, columns, scope and severity.
    """
    import great_expectations.expectations as gxe

    made = []
    for ask in _asks(contract):
        if scope is not None and ask.scope != scope:
            continue
        meta = {
            "contract": contract.name,
            "contract_version": contract.version,
            "rule": ask.name or ask.expectation,
            "columns": list(ask.columns),
            "scope": ask.scope,
            "severity": ask.severity,
        }
        severity = "critical" if ask.severity == "error" else "warning"
        kind = getattr(gxe, ask.expectation)
        made.append(kind(**ask.arguments, description=ask.description, severity=severity, meta=meta))
    return made


def audited_columns(contract: Contract, scope: Scope | None = None) -> tuple[str, ...]:
    """Columns that the expectations of that scope read, in contract order: all an audit has to load."""
    read = {name for ask in _asks(contract) if scope is None or ask.scope == scope for name in ask.columns}
    return tuple(name for name in contract.names if name in read)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """The table as Great Expectations likes it: decimals as floats, timestamps as UTC without a time zone.

    Python decimals take ten times as long, and a bound of a contract has few digits, so a float is exact enough to
    tell on which side of it a value lies. With a time zone, pair expectations use a deprecated call of pandas. Texts
    that repeat become categories: each expectation copies the whole frame, and then a number per row is copied.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    def plain(type_: pa.DataType) -> pa.DataType:
        if pa.types.is_decimal(type_):
            return pa.float64()
        return pa.timestamp("us") if pa.types.is_timestamp(type_) else type_

    def repeats(column: pa.ChunkedArray[Any]) -> bool:
        first = column.slice(0, _SAMPLE)
        return len(first) >= _WORTH_IT and pc.count_distinct(first).as_py() * 10 <= len(first)

    table = table.cast(pa.schema([field.with_type(plain(field.type)) for field in table.schema]))
    for i, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            column = table.column(i)
            if repeats(column):
                table = table.set_column(i, field.name, column.dictionary_encode())
    return table.to_pandas()


def _asks(contract: Contract) -> Iterator[_Ask]:
    for column in contract.columns:
        yield from _column_asks(column)
    key = contract.primary_key
    yield _unique(key, f"The key {', '.join(key)} is unique.", name="primary_key")
    for column in contract.columns:
        if column.unique and (column.name,) != key:
            yield _unique((column.name,), f"{column.name} is unique.")
    for rule in contract.rules:
        yield from _rule_asks(rule)


def _column_asks(column: Column) -> Iterator[_Ask]:
    name, on = column.name, (column.name,)
    if column.required:
        yield _Ask("ExpectColumnValuesToNotBeNull", {"column": name}, on, "rows", f"{name} is never null.")
    if column.minimum is not None or column.maximum is not None:
        low, high = _bound(column, column.minimum), _bound(column, column.maximum)
        arguments: dict[str, Any] = {"column": name, "min_value": low, "max_value": high}
        words = " and ".join(
            f"at {which} {bound}" for which, bound in (("least", column.minimum), ("most", column.maximum)) if bound
        )
        yield _Ask("ExpectColumnValuesToBeBetween", arguments, on, "rows", f"{name} is {words}.")
    if column.enum:
        arguments = {"column": name, "value_set": list(column.enum)}
        yield _Ask("ExpectColumnValuesToBeInSet", arguments, on, "rows", f"{name} is one of {', '.join(column.enum)}.")
    if column.pattern is not None:
        arguments = {"column": name, "regex": _to_the_end(column.pattern)}
        yield _Ask("ExpectColumnValuesToMatchRegex", arguments, on, "rows", f"{name} matches {column.pattern}.")
    if column.max_length is not None:
        arguments = {"column": name, "max_value": column.max_length}
        words = f"{name} has at most {column.max_length} characters."
        yield _Ask("ExpectColumnValueLengthsToBeBetween", arguments, on, "rows", words)


def _unique(columns: tuple[str, ...], description: str, name: str = "") -> _Ask:
    if len(columns) == 1:
        arguments: dict[str, Any] = {"column": columns[0]}
        return _Ask("ExpectColumnValuesToBeUnique", arguments, columns, "key", description, name=name)
    arguments = {"column_list": list(columns)}
    return _Ask("ExpectCompoundColumnsToBeUnique", arguments, columns, "key", description, name=name)


def _rule_asks(rule: Rule) -> Iterator[_Ask]:
    if rule.metric.startswith("expect_"):
        expectation = "".join(part.capitalize() for part in rule.metric.split("_"))
        # A row that lacks one of the two values says nothing about their order.
        pair = {"ignore_row_if": "either_value_is_missing"} if len(rule.columns) == 2 else {}
        scope: Scope = "table" if "mostly" in rule.arguments else "rows"
        yield _filed(rule, expectation, {**pair, **rule.arguments}, scope)
    elif rule.metric == "rowCount":
        low, high = (None if bound is None else int(bound) for bound in (rule.minimum, rule.maximum))
        yield _filed(rule, "ExpectTableRowCountToBeBetween", {"min_value": low, "max_value": high}, "table")
    elif rule.metric == "duplicateValues":
        unique = _unique(rule.columns, rule.description)
        yield _filed(rule, unique.expectation, unique.arguments, "key")
    else:
        for column in rule.columns:
            yield from _share_asks(rule, column)


def _share_asks(rule: Rule, column: str) -> Iterator[_Ask]:
    """Null, missing or invalid values of one column, of which a share may be allowed."""
    allowed = (rule.maximum or 0) / 100 if rule.percent else 0
    scope: Scope = "table" if allowed else "rows"
    base = {"column": column, **({"mostly": 1 - allowed} if allowed else {})}
    if rule.metric == "nullValues":
        yield _filed(rule, "ExpectColumnValuesToNotBeNull", base, scope)
    if "missingValues" in rule.arguments:
        values = {**base, "value_set": rule.arguments["missingValues"]}
        yield _filed(rule, "ExpectColumnValuesToNotBeInSet", values, scope)
    if "validValues" in rule.arguments:
        yield _filed(rule, "ExpectColumnValuesToBeInSet", {**base, "value_set": rule.arguments["validValues"]}, scope)
    if "pattern" in rule.arguments:
        regex = _to_the_end(str(rule.arguments["pattern"]))
        yield _filed(rule, "ExpectColumnValuesToMatchRegex", {**base, "regex": regex}, scope)


def _filed(rule: Rule, expectation: str, arguments: dict[str, Any], scope: Scope) -> _Ask:
    name = rule.name or rule.metric
    return _Ask(expectation, arguments, rule.columns, scope, rule.description or name, rule.severity, name)


def _bound(column: Column, bound: str | None) -> float | date | datetime | None:
    if bound is None:
        return None
    if column.type == "date":
        return date.fromisoformat(bound)
    if column.type == "timestamp":
        stated = datetime.fromisoformat(bound)
        return stated.astimezone(UTC).replace(tzinfo=None) if stated.tzinfo else stated
    return float(bound)


def _to_the_end(pattern: str) -> str:
    """Python's ``$`` also matches before a last line feed, the standard's (ECMA-262) does not."""
    return pattern[:-1] + r"\Z" if pattern.endswith("$") and not pattern.endswith(r"\$") else pattern
