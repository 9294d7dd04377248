from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c360.errors import LandingError
from c360.ingest.csv import read_csv
from tests.unit.ingest.support import land, rows

if TYPE_CHECKING:
    from pathlib import Path

    from c360.ingest.records import Records

MALFORMED, BAD = "malformed_record", "bad_encoding"


def body(data: bytes) -> list[tuple[str | None, ...]]:
    """(a, b, raw) of the records after the header ``a,b``."""
    records = read_csv(b"a,b\n" + data, "f.csv", ("a", "b"), {"a", "b"})
    return [tuple(r) for r in cells(records)]


def cells(records: Records) -> list[list[str | None]]:
    refused = {r.ordinal: r.text for r in records.refused}
    columns = [records.columns[name].to_pylist() for name in ("a", "b")]
    return [[*(c[i] for c in columns), refused.get(i)] for i in range(records.count)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"1,2\n3,4", [("1", "2", None), ("3", "4", None)]),
        (b"1,2\r\n3,4\r\n", [("1", "2", None), ("3", "4", None)]),
        (b"1,2\r3,4\r", [("1", "2", None), ("3", "4", None)]),
        (b'"x, y","say ""no"""\n', [("x, y", 'say "no"', None)]),
        (b'1,"two\nlines"\n3,4\n', [("1", "two\nlines", None), ("3", "4", None)]),
        (b'1,5" pipe\n', [("1", '5" pipe', None)]),
        (b" 1 , 2\t\n", [(" 1 ", " 2\t", None)]),
        (b"1,\n,2\n", [("1", "", None), ("", "2", None)]),
        (b"1,\x00NULL\n", [("1", "\x00NULL", None)]),
        (b"", []),
        (b"\n\n", []),
        (b"1,2\n\n3,4\n\n\n", [("1", "2", None), (None, None, ""), ("3", "4", None)]),
        (b"1,2\n  \n3,4\n", [("1", "2", None), (None, None, "  "), ("3", "4", None)]),
        (b"1\n1,2\n1,2,3\n", [(None, None, "1"), ("1", "2", None), (None, None, "1,2,3")]),
        (b'1,2\n3,"cut', [("1", "2", None), (None, None, '3,"cut')]),
        (b'1,2\n"cut', [("1", "2", None), (None, None, '"cut')]),
        (b'1,"a"b\n3,4\n', [(None, None, '1,"a"b'), ("3", "4", None)]),
    ],
)
def test_records_and_what_does_not_fit(data: bytes, expected: list[tuple[str | None, ...]]) -> None:
    assert body(data) == expected


def test_a_quote_left_open_spoils_its_own_line_only() -> None:
    assert body(b'1,"open\n2,x\n3,"y"\n4,"open\n5,"z"\n') == [
        (None, None, '1,"open'),
        ("2", "x", None),
        ("3", "y", None),
        (None, None, '4,"open'),
        ("5", "z", None),
    ]


def test_bad_bytes_refuse_one_record_and_are_kept_escaped() -> None:
    assert body(b'1,caf\xc3\xa9\n2,caf\xe9\n"3","\\\xff,"\n4\xff\n') == [
        ("1", "café", None),
        (None, None, r"2,caf\xe9"),
        (None, None, r'3,"\\\xff,"'),
        (None, None, r"4\xff"),
    ]


def test_text_of_the_marks_that_stand_for_bad_bytes_is_not_taken_for_them() -> None:
    private = "\U00100080".encode()
    assert body(b"1," + private + b"\n2,\xff\n") == [("1", "\U00100080", None), (None, None, r"2,\xff")]


def test_header_may_be_reordered_and_have_more_columns(tmp_path: Path) -> None:
    reading = land(tmp_path, b'x,name,id,"y z"\n1,ann,7,\n', "csv")
    assert rows(reading, "id", "name", "_extra") == [("7", "ann", '{"x":"1","y z":""}')]
    assert reading.extra == ("x", "y z")
    assert reading.missing == ()


def test_an_optional_column_may_be_missing_and_is_reported(tmp_path: Path) -> None:
    reading = land(tmp_path, b"id\n7\n", "csv", required={"id"})
    assert rows(reading) == [("7", None, None, None)]
    assert reading.missing == ("name",)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"id,nmae\n1,2\n", "lacks the required column 'name'. Mend: rename 'nmae' to 'name'"),
        (b"id,Name\n1,2\n", "rename 'Name' to 'name'"),
        (b"id\n1\n", "lacks the required column 'name'. Mend: export the file with 'name'"),
        (b"7,ann\n8,bob\n", "names none of the columns id, name"),
        (b"id;name\n1;2\n", "separates its columns by semicolons (';'), not by commas"),
        (b"id\tname\n1\t2\n", "separates its columns by tabs"),
        (b"id|name\n1|2\n", "separates its columns by vertical bars"),
        (b"id,name,id\n1,2,3\n", "names the column 'id' twice"),
        (b"id,name\xff\n1,2\n", "header line that is not UTF-8"),
        (b"", "is empty (0 bytes)"),
        ("id,name\n1,2\n".encode("utf-16"), "encoded in UTF-16"),
        ("id,name\n1,2\n".encode("utf-16-be"), "encoded in UTF-16"),
    ],
)
def test_a_file_that_cannot_be_taken_in_says_why_and_what_mends_it(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(LandingError) as refusal:
        land(tmp_path, data, "csv")
    assert words in str(refusal.value)
    assert "shop/example/2025-01-31/example.csv" in str(refusal.value)


texts = st.text(st.sampled_from('ab,"\n\r é字\U0001f600;\t'), max_size=5)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(texts, texts).filter(any), max_size=8), st.sampled_from(["\n", "\r\n", "\r"]))
def test_what_a_csv_writer_writes_is_read_back(written: list[tuple[str, str]], end: str) -> None:
    out = io.StringIO(newline="")
    bare = any(
        {"\r", "\n"} & set(cell) for row in written for cell in row
    )  # which the writer does not always quote by itself
    csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL if bare else csv.QUOTE_MINIMAL).writerows(written)
    assert body(out.getvalue().encode()) == [(a, b, None) for a, b in written]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.binary(max_size=6).map(lambda b: b.translate(None, b'"\r\n')), max_size=8))
def test_lines_without_quotes_are_records_whatever_they_hold(lines: list[bytes]) -> None:
    while lines and not lines[-1]:
        lines.pop()
    expected: list[tuple[str | None, ...]] = []
    for line in lines:
        parts = line.split(b",")
        try:
            expected.append((parts[0].decode(), parts[1].decode(), None) if len(parts) == 2 and any(parts) else ())
        except UnicodeDecodeError:
            expected.append(())
    found = body(b"\n".join(lines))
    assert [row if row[2] is None else () for row in found] == expected


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from([b'"', b",", b"\n", b"a", b"\xff", b'""', b'","']), max_size=14).map(b"".join))
def test_any_quoting_loses_no_byte_but_line_ends(data: bytes) -> None:
    records = read_csv(b"a,b\n" + data, "f.csv", ("a", "b"), {"a", "b"})
    kept = "".join(cell or "" for row in cells(records) for cell in row)
    for letter in ("a", "\xff"):
        shown = letter if letter == "a" else "\\xff"
        assert kept.count(shown) == data.count(letter.encode("latin-1"))
    assert len(records.columns["a"]) == records.count
