"""Foreign files of every kind: dialects, encodings, damage; and nothing in them gets lost."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import random
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from c360.errors import LandingError
from c360.ingest import mapping_csv
from c360.ingest.mapping import MappingError
from c360.ingest.mapping_model import SourceSpec
from c360.ingest.mapping_source import open_source

Write = Callable[..., Path]
TBL = {"delimiter": "|", "header": False, "names": ("a", "b"), "trailing_delimiter": True}


def read(
    path: Path, wanted: tuple[str, ...] | None = None, **spec: Any
) -> tuple[list[tuple[Any, ...]], list[tuple[int, str]]]:
    source = open_source(path, SourceSpec(**spec))
    rows: list[tuple[Any, ...]] = []
    bad: list[tuple[int, str]] = []
    for batch in source.batches(wanted if wanted is not None else source.columns):
        rows += [tuple(r.values()) for r in batch.table.to_pylist()]
        bad += [(m.record, m.text) for m in batch.malformed]
    return rows, bad


@pytest.mark.parametrize(
    ("content", "spec", "rows"),
    [
        ("a,b\n1,2\n", {}, [("1", "2", 1)]),
        ("\ufeffa,b\r\n1,2\r\n", {}, [("1", "2", 1)]),
        ("a,b\r1,2\r", {}, [("1", "2", 1)]),
        ("a;b\n1;2", {"delimiter": ";"}, [("1", "2", 1)]),
        ("a\tb\n1\t2\n", {"delimiter": "tab"}, [("1", "2", 1)]),
        ("1|2|\n3|4|\n", TBL, [("1", "2", 1), ("3", "4", 2)]),
        ("a|b|\n1|2|\n", {"delimiter": "|", "trailing_delimiter": True}, [("1", "2", 1)]),
        ("report of today\n\na,b\n1,2\n", {"skip": 2}, [("1", "2", 1)]),
        ("x,x\n1,2\n", {"names": ("a", "b")}, [("1", "2", 1)]),
        ('a,b\n"1,5","say ""hi"""\n', {}, [("1,5", 'say "hi"', 1)]),
        ("a,b\n'1,5',2\n", {"quote": "'"}, [("1,5", "2", 1)]),
        ('a,b\n5" pipe,2\n"6,3\n', {"quote": None}, [('5" pipe', "2", 1), ('"6', "3", 2)]),
        ('a,b\n"1\\"2",3\n', {"escape": "\\"}, [('1"2', "3", 1)]),
        ('a,b\n"1\n2",3\n4,5\n', {}, [("1\n2", "3", 1), ("4", "5", 2)]),
        ("a,b\n\n1,2\n\n\n3,4\n\n", {}, [("1", "2", 1), ("3", "4", 2)]),
        ("a,b\n1,\x00\u202e\n", {}, [("1", "\x00\u202e", 1)]),
        ("größe,b\n1,ä\n".encode("cp1252"), {"encoding": "windows-1252"}, [("1", "ä", 1)]),
        ("a,b\n1,ä\n".encode("utf-16"), {"encoding": "utf-16"}, [("1", "ä", 1)]),
        ("a,b\n1,Ж\n".encode("koi8-r"), {"encoding": "koi8-r"}, [("1", "Ж", 1)]),
    ],
)  # fmt: skip
def test_csv_dialects(write: Write, content: str | bytes, spec: dict[str, Any], rows: list[tuple[object, ...]]) -> None:
    assert read(write("f.csv", content), **spec) == (rows, [])


def test_records_that_do_not_split_keep_their_number(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping_csv, "BLOCK", 512)  # many blocks, so that numbers go on across them
    lines, rows, bad = ["a,b"], [], []
    for n in range(1, 2001):
        if n % 7 == 0:
            lines.append(f"only-{n}")
            bad.append((n, f"only-{n}"))
        elif n % 11 == 0:
            lines.append(f"{n},x,more")
            bad.append((n, f"{n},x,more"))
        else:
            lines.append(f"{n},x")
            rows.append((str(n), "x", n))
    assert read(write("f.csv", "\n".join(lines))) == (rows, bad)


def test_against_pythons_csv_on_random_quoted_files(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping_csv, "BLOCK", 4096)
    rng = random.Random(7)
    alphabet = ['"', ",", "\n", "\r\n", "a", "ß", " ", "日", "'", ";", "x" * 20]
    rows = [["".join(rng.choices(alphabet, k=rng.randrange(5))) for _ in range(3)] for _ in range(2000)]
    rows = [r for r in rows if any(r)]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([["a", "b", "c"], *rows])
    path = write("f.csv", text.getvalue())
    found, bad = read(path)
    assert bad == []
    assert [list(r[:3]) for r in found] == rows
    places = open_source(path, SourceSpec()).places([1, 1000, len(rows)])
    line = 2 + sum(1 + "".join(r).replace("\r\n", "\n").count("\n") for r in rows[:999])
    assert places[1] == "line 2"
    assert places[1000] == f"line {line}"


@pytest.mark.parametrize(
    ("name", "content", "spec", "error"),
    [
        ("f.csv", None, {}, "There is no file"),
        ("f.csv", b"", {}, "is empty"),
        ("f.csv", "\n\n", {}, "has no records"),
        ("f.csv", "a;b\n1;2\n", {}, r"does not split at ','.*Mend: write `delimiter: \";\"`"),
        ("f.csv", "a\tb\n1\t2\n", {}, "`delimiter: tab`"),
        ("f.csv", "1|2|\n", {"delimiter": "|", "header": False, "names": ("a", "b")}, "trailing_delimiter: true"),
        ("f.csv", "1,2\n", {"header": False, "names": ("a", "b", "c")}, "has 2 fields, the mapping expects 3"),
        ("f.csv", "a,b|\n1,2,x\n", {"names": ("a", "b"), "trailing_delimiter": True}, "the mapping expects 3"),
        ("f.csv", "a,b,\n1,2,\n3,4,x\n", {"trailing_delimiter": True}, "Record 2 .* text after the last delimiter"),
        ("f.csv", "a,a\n1,2\n", {}, "column 'a' twice"),
        ("f.csv", "a,,\n1,2,3\n", {}, "columns without a name"),
        ("f.csv", 'a,b\n1,2\n3,"open\n4,5\n', {}, "line 3: a quote opens and never closes"),
        ("f.csv", "a,b\n1,ä\n".encode("cp1252"), {}, "line 2 has a byte that is not utf-8.*encoding: windows-1252"),
        ("f.csv", b"a,b\n1,\x81\n", {"encoding": "windows-1252"}, "line 2 has a byte that is not cp1252"),
        ("f.csv", "a,b\n", {"encoding": "utf8-sigg"}, r"no known encoding \(did you mean"),
        ("f.csv", "a,b\n", {"encoding": "base64"}, "no text encoding"),
        ("f.xls", b"PK", {}, "format of f.xls is not known"),
        ("f.jsonl", b"", {}, "is empty"),
        ("f.jsonl", '[{"a": 1}]\n', {}, "one JSON array"),
        ("f.jsonl", "hello\n", {}, "no JSON object in its first lines"),
        ("f.parquet", b"PAR1 cut off", {}, "no complete Parquet file"),
        ("f.parquet", b"", {}, "is empty"),
        ("f.csv.gz", gzip.compress(b"a,b\n" + random.Random(1).randbytes(5000).hex().encode())[:-99], {}, "breaks off"),
    ],
)  # fmt: skip
def test_unusable_files_are_refused(
    write: Write, tmp_path: Path, name: str, content: str | bytes | None, spec: dict[str, Any], error: str
) -> None:
    path = tmp_path / name if content is None else write(name, content)
    with pytest.raises((LandingError, MappingError), match=error):
        read(path, **spec)


def test_a_quote_that_swallows_more_than_a_block_is_found(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping_csv, "BLOCK", 1024)
    path = write("f.csv", "a,b\n1,2\n" + '3,"open\n' + "4,5\n" * 5000)
    with pytest.raises(LandingError, match="line 3: a quote opens"):
        read(path)


@pytest.mark.parametrize("pack", [(".gz", gzip.compress), (".bz2", bz2.compress), (".zst", None)])
def test_compressed_files(tmp_path: Path, pack: tuple[str, Callable[[bytes], bytes] | None]) -> None:
    suffix, compress = pack
    data = b"a,b\n1,2\n"
    packed = compress(data) if compress else pa.Codec("zstd").compress(data, asbytes=True)
    path = tmp_path / f"f.csv{suffix}"
    path.write_bytes(packed)
    assert read(path) == ([("1", "2", 1)], [])


def test_json_lines_keep_the_digits_and_reach_into_objects(write: Write) -> None:
    text = (
        '{"id": 12345678901234567890, "p": 0.10, "who": {"name": "Ä", "tags": ["x", 1.50, null]}, "ok": true}\n'
        "\n"
        '{"id": 1e3, "p": null, "who": null, "x.y": "dotted"}\n'
        "{broken\n"
        "[1]\n"
    )
    rows, bad = read(write("f.jsonl", text), ("id", "p", "who.name", "who.tags", "who", "ok", "x.y"))
    assert rows == [
        (
            "12345678901234567890",
            "0.10",
            "Ä",
            '["x", 1.50, null]',
            '{"name": "Ä", "tags": ["x", 1.50, null]}',
            "true",
            None,
            1,
        ),
        ("1e3", None, None, None, None, None, "dotted", 3),
    ]
    assert bad == [(4, "{broken"), (5, "[1]")]


def test_json_field_that_no_record_has_is_an_error(write: Write) -> None:
    with pytest.raises(MappingError, match=r"No record of f\.jsonl has the field 'b'"):
        read(write("f.jsonl", '{"a": 1}\n'), ("a", "b"))


def test_parquet_types_become_exact_text(tmp_path: Path) -> None:
    table = pa.table({
        "d": pa.array([Decimal("12345678901234567.89")], pa.decimal128(19, 2)),
        "f": pa.array([0.1]), "i": pa.array([2**62]), "b": pa.array([True]), "day": pa.array([date(2024, 2, 29)]),
        "t": pa.array([datetime(2024, 1, 1, 12, tzinfo=UTC)], pa.timestamp("ms", tz="America/New_York")),
        "n": pa.array([1_704_110_400_000_005], pa.timestamp("us")), "s": pa.array(["x"]).dictionary_encode(),
        "z": pa.array([None], pa.int32()),
    })  # fmt: skip
    path = tmp_path / "f.parquet"
    pq.write_table(table, path)
    assert read(path)[0] == [
        ("12345678901234567.89", "0.1", "4611686018427387904", "true", "2024-02-29", "2024-01-01T12:00:00.000000Z",
         "2024-01-01T12:00:00.000005", "x", None, 1)
    ]  # fmt: skip
    assert read(path, ())[0] == [(1,)]
