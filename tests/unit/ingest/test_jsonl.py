from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c360.errors import LandingError
from c360.ingest import jsonl
from c360.ingest.jsonl import read_jsonl
from c360.ingest.jsonl_uniform import Uniform
from tests.unit.ingest.support import land, rows

if TYPE_CHECKING:
    from pathlib import Path

MALFORMED, BAD = "malformed_record", "bad_encoding"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'"x"', "x"),
        (b'""', ""),
        (b"null", None),
        (b"true", "true"),
        (b"false", "false"),
        (b"1", "1"),
        (b"0", "0"),
        (b"-0", "-0"),
        (b"1.10", "1.10"),
        (b"1e5", "1e5"),
        (b"-2.50E-3", "-2.50E-3"),
        (b"0.1", "0.1"),
        (b"12345678901234567890123", "12345678901234567890123"),
        (b"0.12345678901234567890123", "0.12345678901234567890123"),
        (b'{ "k" : [1, "a"] }', '{"k":[1,"a"]}'),
        (b"[ ]", "[]"),
        (b'"\\u00e9\\n\\ud83d\\ude00"', "é\n\U0001f600"),
        (b'"\\u0000"', "\x00"),
        (b'"a\\":b"', 'a":b'),
    ],
)
@pytest.mark.parametrize("form", [b'{"id":1,"name":%s}', b'{"name": %s , "id" : 1}'])
def test_values_are_text_exactly_as_received(tmp_path: Path, line: bytes, text: str | None, form: bytes) -> None:
    assert rows(land(tmp_path, form % line, "jsonl")) == [("1", text, None, None)]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"", MALFORMED),
        (b"   ", MALFORMED),
        (b'{"id":1,"na', MALFORMED),
        (b'{"id":1,}', MALFORMED),
        (b'{"id":NaN}', MALFORMED),
        (b'{"id":01}', MALFORMED),
        (b'{"id":1}{"id":2}', MALFORMED),
        (b"[1,2]", MALFORMED),
        (b'"text"', MALFORMED),
        (b"1", MALFORMED),
        (b"null", MALFORMED),
        (b'{"id":1,"id":2}', MALFORMED),
        (b'{"id":1,"id" :1}', MALFORMED),
        (b'{"id":1,"name":{"k":1,"k":2}}', MALFORMED),
        (b'{"id":1,"name":[{"k":1},{"k":1,"k":2}]}', MALFORMED),
        (b'{"i\\u0064":1,"id":2}', MALFORMED),
        (b'{"id":"\\ud800"}', MALFORMED),
        (b'{"id":"a\tb"}', MALFORMED),
        (b'{"id":"caf\xe9"}', BAD),
        (b'{"id":"caf\xe9"', MALFORMED),
        (b'{"id":"' + b"[" * 5000 + b'"}', None),
        (b'{"id":' + b"[" * 5000 + b"]" * 5000 + b"}", MALFORMED),
        (b'{"a\\\\":1,"id":2}', None),
        (b'{"id":"\\":\\":"}', None),
        (b'{"id":"x\\\\"}', None),
    ],
)
def test_a_line_that_is_no_record_is_kept_as_text_among_its_neighbours(
    tmp_path: Path, line: bytes, error: str | None
) -> None:
    good = b'{"id":"g","name":"n"}\n'
    found = rows(
        land(tmp_path, good + line + b"\n" + good, "jsonl", required=set()), "id", "_raw", "_error", "_source_row"
    )
    assert [row[0] for row in found][::2] == ["g", "g"]
    assert [row[3] for row in found] == [1, 2, 3]
    assert found[1][2] == error
    if error:
        assert found[1][1] == line.decode(errors="backslashreplace")
        assert found[1][0] is None


def test_windows_line_ends_and_a_missing_last_one(tmp_path: Path) -> None:
    found = rows(land(tmp_path, b'{"id":"1","name":"a"}\r\n{"id":"2"\r\n{"id":"3","name":"b"}', "jsonl"))
    assert found == [("1", "a", None, None), (None, None, '{"id":"2"', MALFORMED), ("3", "b", None, None)]


def test_undeclared_keys_are_kept_and_missing_ones_are_null(tmp_path: Path) -> None:
    reading = land(tmp_path, b'{"id":1,"new":{"a":1},"z":"y"}\n{"name":"n"}\n', "jsonl")
    assert rows(reading, "id", "name", "_extra") == [("1", None, '{"new":{"a":1},"z":"y"}'), (None, "n", None)]
    assert reading.extra == ("new", "z")


def test_a_renamed_key_refuses_the_file_a_missing_one_does_not(tmp_path: Path) -> None:
    with pytest.raises(LandingError, match=r"lacks the required column 'name'\. Mend: rename 'nmae' to 'name'"):
        land(tmp_path, b'{"id":1,"nmae":"n"}\n', "jsonl")
    assert rows(land(tmp_path, b'{"id":1}\n', "jsonl")) == [("1", None, None, None)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty (0 bytes)"),
        (b'[\n{"id":1},\n{"id":2}\n]\n', "is one JSON array, not JSON Lines"),
        (b'[{"id":1},{"id":2}]', "is one JSON array, not JSON Lines"),
        ('{"id":1}\n'.encode("utf-16"), "encoded in UTF-16"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(LandingError) as refusal:
        land(tmp_path, data, "jsonl")
    assert words in str(refusal.value)


class Digits(str):
    """A number as it stands in the text."""

    __slots__ = ()


def oracle(line: bytes) -> dict[str, Any] | None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError
        return dict(pairs)

    def refuse(_: str) -> None:
        raise ValueError

    try:
        text = line.decode()
        value = json.loads(
            text, object_pairs_hook=once, parse_int=Digits, parse_float=Digits, parse_constant=refuse, strict=True
        )
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is no text
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


scalars = st.sampled_from(
    ['"x"', '""', "1", "0", "-0", "1.0", "1.10", "1e3", "true", "null", '"\\":"', '"a\\\\"', '"é"', "NaN", "{}"]
)
values = scalars | st.sampled_from(
    ['{"id":1,"id":1}', '{"id" :1}', "[1.50]", '{"k":{"k":2}}', '"\\ud83d"', "12345678901234567890"]
)
keys = st.sampled_from(['"id"', '"name"', '"id"', '"other"', '"a\\\\"', '"i\\u0064"'])
pairs = st.builds(lambda k, s, v: f"{k}{s}{v}", keys, st.sampled_from([":", ":", ": ", " :", "\t: "]), values)
objects = st.lists(pairs, max_size=4).map(lambda p: ("{" + ", ".join(p) + "}").encode())
lines = (
    objects
    | st.builds(lambda o, n: o[:n], objects, st.integers(0, 20))
    | st.sampled_from([b"", b"[]", b'{"id":"\xff"}'])
)
plain = st.builds(
    lambda i, n: json.dumps({"id": i, "name": n}).encode(), st.text(max_size=3), st.none() | st.text(max_size=3)
)


@settings(deadline=None, max_examples=300)
@given(st.lists(lines | plain, min_size=1, max_size=20))
def test_lines_mean_what_the_standard_library_says(written: list[bytes]) -> None:
    written = [b"{}", *written, b"{}"]  # a file that begins with an array, or ends with a blank line, is another matter
    records = read_jsonl(b"\n".join(written) + b"\n", "f.jsonl", ("id", "name"), set())
    refused = {r.ordinal for r in records.refused}
    assert records.count == len(written)
    for i, line in enumerate(written):
        expected = oracle(line)
        assert (i in refused) == (expected is None), line
        if expected is not None:
            for name in ("id", "name"):
                assert records.columns[name][i].as_py() == as_text(expected.get(name)), line


def as_text(value: Any) -> str | None:
    if isinstance(value, Digits):
        return str(value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()

    # Inside nested values numbers are equal, not identical in their digits.
    def number(v: Any) -> Any:
        if isinstance(v, Digits):
            return float(v) if set(v) & set(".eE") or len(v) > 19 else int(v)
        if isinstance(v, dict):
            return {k: number(x) for k, x in v.items()}
        return [number(x) for x in v] if isinstance(v, list) else v

    return json.dumps(number(value), separators=(",", ":"), ensure_ascii=False)


def test_blocks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    written = [json.dumps({"id": str(i), "name": "x" * (i % 7)}).encode() for i in range(200)]
    written[50], written[120] = b'{"cut', b""
    whole = read_jsonl(b"\n".join(written), "f", ("id", "name"), set())
    monkeypatch.setattr(jsonl, "_BLOCK", 64)
    split = read_jsonl(b"\n".join(written), "f", ("id", "name"), set())
    assert split.count == whole.count == 200
    assert [r.ordinal for r in split.refused] == [50, 120]
    assert split.columns["id"].to_pylist() == whole.columns["id"].to_pylist()


uniform = st.builds(
    lambda i, n, flag: json.dumps(
        {"id": i, "name": n, "flag": flag}, separators=(",", ":"), ensure_ascii=False
    ).encode(),
    st.integers(-3, 10**20) | st.integers(0, 9),
    st.text(st.sampled_from('ab":\\{}é\n\x00'), max_size=4) | st.none(),
    st.booleans(),
)
spoiled = st.builds(lambda line, i, b: line[:i] + b + line[i + 1 :], uniform, st.integers(0, 30), st.binary(max_size=2))
spoiled = spoiled.map(lambda line: line.replace(b"\n", b" "))
unusual = st.sampled_from(
    [
        b'{"id":-0,"name":"a"}',
        b'{"id":1.0}',
        b' {"id":5}',
        b'{"id":5} ',
        b'{"id":1}{"id":2}',
        b"",
        b'{"id":1,"new":2}',
        b'{"id":"7"}',
        b'{"id":1,"id":2}',
        b'{"id":1,"name":{"a":1}}',
        b'{"name":"\xff"}',
        b'{"id":5}\r',
        b'{"flag":1}',
        b"{}",
        b'{"id":',
        b"}{",
    ]
)


@settings(deadline=None, max_examples=300)
@given(st.lists(uniform, min_size=1, max_size=3), st.lists(uniform | uniform | spoiled | unusual, max_size=25))
def test_the_fast_lane_gives_the_rows_of_the_careful_one(sample: list[bytes], rest: list[bytes]) -> None:
    data = b"\n".join([*sample, *rest, b"{}"])

    def everything() -> Any:
        records = read_jsonl(data, "f", ("id", "name", "flag"), set())
        columns = {name: column.to_pylist() for name, column in records.columns.items()}
        extra = None if records.extra is None else records.extra.to_pylist()
        return records.count, columns, extra, list(records.refused)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "_SAMPLE", len(sample[0]))
        patch.setattr(jsonl, "_BLOCK", 100)
        fast = everything()
        patch.setattr(Uniform, "of", lambda _: None)
        assert fast == everything()


def test_the_fast_lane_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[bool] = []
    original = Uniform.parse

    def watched(self: Uniform, block: bytes) -> Any:
        result = original(self, block)
        parsed.append(result is not None)
        return result

    monkeypatch.setattr(Uniform, "parse", watched)
    monkeypatch.setattr(jsonl, "_SAMPLE", 100)
    monkeypatch.setattr(jsonl, "_BLOCK", 1000)
    written = [json.dumps({"id": i, "name": "é"}).encode() for i in range(500)]
    written[100], written[200] = b'{"id":1,"na', b'{"id":2,"name":"\xff"}'
    records = read_jsonl(b"\n".join(written), "f", ("id", "name"), set())
    assert len(parsed) > 5
    assert all(parsed)
    assert records.columns["id"].to_pylist() == [None if i in (100, 200) else str(i) for i in range(500)]
    assert [(r.ordinal, r.error) for r in records.refused] == [(100, MALFORMED), (200, BAD)]
