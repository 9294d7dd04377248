"""Random dirty rows through the product and through the oracle: the same fate for every record, the same values."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from c360.conform import Existing, conform
from c360.contracts.model import Column, Contract
from tests.unit.conform.oracle import bronze_row, conform_by_hand

NAMES = ("nfc", "strip_control", "trim", "squeeze")
COLUMNS = (
    Column("id", "string", required=True, standardise=("trim", "lower")),
    Column("name", "string", standardise=NAMES, max_length=6),
    Column("kind", "string", standardise=("trim", "lower"), enum=("a", "b")),
    Column("code", "string", required=True, standardise=("trim", "upper"), pattern=r"^[A-Z]{2}$", max_length=2),
    Column("small", "int"),
    Column("amount", "decimal(6,2)", minimum="0", standardise=("trim",)),
    Column("whole", "decimal(4,0)"),
    Column("count", "long", minimum="-5", maximum="100"),
    Column("ratio", "double", minimum="-90", maximum="1e300"),
    Column("flag", "boolean"),
    Column("born", "date", minimum="1900-01-01", source="birth"),
    Column("seen", "timestamp", standardise=("timestamp_utc",)),
    Column("at", "timestamp", required=True, standardise=("trim", "timestamp_utc")),
    Column("zoned", "timestamp"),
)
CONTRACT = Contract(
    name="silver.things",
    layer="silver",
    table="things",
    version="1.2.0",
    domain="d",
    owner="o",
    description="",
    columns=COLUMNS,
    primary_key=("id", "at"),
)


def words_of(text: str) -> list[str]:
    return text.split()


numbers = st.sampled_from(
    words_of(
        "0 -0 +1 1 1.0 5. .5 . + 1.50 1.500 1.005 9999.99 10000 99999 -1 1e3 1E+2 1e 1e999 -1e-999 NaN nan inf "
        "-Infinity 1_0 1,5 0x10 007 2147483647 2147483648 9223372036854775807 9223372036854775808 "
        "-9223372036854775808 99999999999999999999 "
        "100.00 101 ١ 1.7976931348623157e308 0.1 123456789.123456789 "
        "12.3.4 --1 -.00 +.0"
    )
) | st.from_regex(r"\A[+-]?[0-9]{0,5}(\.[0-9]{0,4})?\Z")
days = st.sampled_from(
    words_of(
        "2025-01-31 2025-02-29 2024-02-29 1900-02-29 2000-02-29 2025-04-31 2025-13-01 2025-00-10 1899-12-31 "
        "1900-01-01 1969-12-31 0001-01-01 9999-12-31 2100-12-31 2101-01-01 20250131 2025-1-3 31.01.2025 2025-01-3x"
    )
)
times = st.sampled_from(
    [
        "",
        "T00:00:00",
        " 00:00",
        "T00",
        "T24:00",
        "T12:30:59.1",
        " 12:30:59.123456789",
        "T12:30:60",
        "T12:3",
        "t12:30",
        "T00:00:00.000",
        "T12:30:59,5",
        "T",
        " ",
        "T23:59:59.999999",
        "T12:30:59.",
        "T12:30.5",
        "T12:30:59.1234567890",
    ]
)
zones = st.sampled_from(
    ["", "Z", "z", "+00:00", "+02:00", "-0530", "+14", "+24:00", "-00:00", "+1", "+02:", " UTC", "+00", "-23:59"]
)
moments = st.builds(lambda d, t, z: d + t + z, days, times, zones) | st.sampled_from(
    ["1735689600", "1735689600000", "now"]
)
flags = st.sampled_from(words_of("true FALSE 1 0 yes No t 2 on"))
words = st.text(
    st.sampled_from("aB\u200e\u061c\u2060\xad\u00e9e\u0301\u200c\u202e\u2066\ufeff\x00\x07\t\n \xa0\u3000字ß"),
    max_size=9,
)
blank = st.none() | st.sampled_from(["", " ", "\t \u2003"])
space = st.sampled_from(["", " ", "\t", "\xa0"])


def cell(values: st.SearchStrategy[str]) -> st.SearchStrategy[str | None]:
    padded = st.builds(lambda a, v, b: a + v + b, space, values, space)
    return st.one_of(values, values, padded, blank)


CELLS: dict[str, st.SearchStrategy[str | None]] = {
    "id": st.sampled_from(["k1", "k1", "K1 ", "k2", "k3", "", None]),
    "name": st.sampled_from(["ann", "ann ", "bob"]) | words,
    "kind": st.sampled_from(["a", "A ", "b", "c", "", None]),
    "code": st.sampled_from(["us", "US", "de", "D", "deu", "US\n", "", None]),
    "small": cell(numbers),
    "amount": cell(numbers),
    "whole": cell(numbers),
    "count": cell(numbers),
    "ratio": cell(numbers),
    "flag": cell(flags),
    "birth": cell(moments),
    "seen": cell(moments),
    "at": st.sampled_from(["2025-01-01T00:00:00Z", "2025-01-01", "2025-01-01 02:00+02:00", "2025-01-02T10:00Z"])
    | cell(moments),
    "zoned": cell(moments),
}
CLEAN: dict[str, str | None] = dict.fromkeys(CELLS) | {"code": "US", "at": "2025-01-01T00:00:00Z"}
SCHEMA = pa.schema(
    [(name, pa.string()) for name in CELLS]
    + [("_raw", pa.string()), ("_extra", pa.string()), ("_error", pa.string()), ("_source_file", pa.string())]
    + [("_source_row", pa.int64()), ("_batch_date", pa.date32())]
)


@st.composite
def record(draw: st.DrawFn) -> dict[str, Any]:
    """A row with few dirty cells, so that every reason and also acceptance are common."""
    cells = CLEAN | {"id": draw(CELLS["id"]), "name": draw(st.sampled_from(["ann", "ann ", "bob"]))}
    for name in draw(st.lists(st.sampled_from(list(CELLS)), max_size=3)):
        cells[name] = draw(CELLS[name])
    error = draw(st.sampled_from([None] * 9 + ["malformed_record", "bad_encoding"]))
    return {"cells": dict.fromkeys(cells) if error else cells, "error": error}


def rows_of(records: list[dict[str, Any]], file: str) -> list[dict[str, Any]]:
    return [bronze_row(file, i, r["cells"], r["error"]) for i, r in enumerate(records, 1)]


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, SCHEMA)


def assert_same(outcome: Any, expected: Any, received: int) -> None:
    accepted = outcome.accepted.to_pylist()
    assert accepted == expected.accepted
    assert all(math.copysign(1, row["ratio"]) == 1 for row in accepted if row["ratio"] == 0)
    columns = ("source_file", "source_row", "kept_file", "kept_row")
    assert [tuple(r[c] for c in columns) for r in outcome.deduplicated.to_pylist()] == expected.deduplicated
    rejected = ("source_file", "source_row", "reason", "column_name", "value")
    assert [tuple(r[c] for c in rejected) for r in outcome.rejected.to_pylist()] == expected.rejected
    assert outcome.skipped == expected.skipped
    parts = (outcome.accepted, outcome.deduplicated, outcome.rejected)
    assert sum(p.num_rows for p in parts) + outcome.skipped == received == outcome.received


slow = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@slow
@given(st.lists(record(), max_size=25))
def test_every_record_meets_the_fate_the_oracle_gives_it(records: list[dict[str, Any]]) -> None:
    rows = rows_of(records, "s/e/2025-01-01/a.csv")
    assert_same(conform(table(rows), CONTRACT), conform_by_hand(rows, CONTRACT), len(rows))


@slow
@given(st.lists(record(), max_size=12), st.lists(record(), max_size=12))
def test_two_batches_give_what_one_gives(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> None:
    one, two = rows_of(first, "s/e/2025-01-01/a.csv"), rows_of(second, "s/e/2025-01-02/a.csv")
    before = conform(table(one), CONTRACT)
    after = conform(table(two), CONTRACT, Existing(before.accepted))
    assert_same(after, conform_by_hand(two, CONTRACT, before.accepted.to_pylist()), len(two))
    whole = conform(table(one + two), CONTRACT)
    for name in ("accepted", "deduplicated", "rejected"):
        assert (
            getattr(whole, name).to_pylist()
            == pa.concat_tables([getattr(o, name) for o in (before, after)]).to_pylist()
        )


@slow
@given(st.lists(record(), max_size=12), st.integers(0, 12))
def test_a_rerun_after_a_crash_adds_nothing_twice(records: list[dict[str, Any]], done: int) -> None:
    rows = rows_of(records, "s/e/2025-01-01/a.csv")
    whole = conform(table(rows), CONTRACT)
    written = whole.accepted.slice(0, done)
    again = conform(table(rows), CONTRACT, Existing(written))
    assert again.skipped == written.num_rows
    assert pa.concat_tables([written, again.accepted]).to_pylist() == whole.accepted.to_pylist()
    assert again.deduplicated.to_pylist() == whole.deduplicated.to_pylist()
    assert again.rejected.to_pylist() == whole.rejected.to_pylist()


@slow
@given(st.lists(record(), max_size=15), st.randoms(use_true_random=False))
def test_the_order_in_which_rows_are_handed_over_does_not_matter(records: list[dict[str, Any]], random: Any) -> None:
    rows = rows_of(records, "s/e/2025-01-01/a.csv")
    shuffled = rows.copy()
    random.shuffle(shuffled)
    given_order, any_order = conform(table(rows), CONTRACT), conform(table(shuffled), CONTRACT)
    for name in ("accepted", "deduplicated", "rejected"):
        assert getattr(given_order, name).to_pylist() == getattr(any_order, name).to_pylist()


@pytest.mark.parametrize("column", COLUMNS, ids=lambda c: c.name)
def test_each_column_alone_over_all_its_cells(column: Column) -> None:
    """The pools above, exhausted: what random choice may miss."""
    examples = {
        "numbers": [
            "0",
            "-0",
            "5.",
            ".5",
            "+",
            "1.005",
            "1.50000",
            "1e999",
            "NaN",
            "-inf",
            "9223372036854775808",
            "007",
        ],
        "moments": [
            d + t + z
            for d in ("2024-02-29", "2025-02-29", "9999-12-31")
            for t in ("", "T12", " 12:30:59.1234567")
            for z in ("", "Z", "+02:00", "-2359", "+24:00")
        ],
        "words": ["", " ", "a", "A", "us", "e\u0301", "\u202eabc", "abcdefg", "a\tb", "\x00", "true", "YES", "2"],
    }
    contract = replace(CONTRACT, columns=(Column("key", "string", required=True), column), primary_key=("key",))
    cells = [text for pool in examples.values() for text in pool]
    rows = [bronze_row("f", i, {"key": str(i), column.source or column.name: text}) for i, text in enumerate(cells, 1)]
    fields = [pa.field("key", pa.string()), SCHEMA.field(column.source or column.name), *list(SCHEMA)[len(CELLS) :]]
    outcome = conform(pa.Table.from_pylist(rows, pa.schema(fields)), contract)
    expected = conform_by_hand(rows, contract)
    assert outcome.accepted.to_pylist() == expected.accepted
    assert [(r["source_row"], r["reason"]) for r in outcome.rejected.to_pylist()] == [
        (row, reason) for _, row, reason, _, _ in expected.rejected
    ]
