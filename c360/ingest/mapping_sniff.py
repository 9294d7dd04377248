"""Find out how a file is written: format, encoding, delimiter, quote, header. A guess that a person then reads."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from c360.errors import LandingError
from c360.ingest.mapping_csv import DELIMITERS
from c360.ingest.mapping_model import SourceSpec
from c360.ingest.mapping_stream import codec_name, guess_encoding, open_bytes

if TYPE_CHECKING:
    from pathlib import Path

HEAD = 1 << 20
LINES = 300
_VALUE = re.compile(r"[+-]?[\d.,]+%?|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}.*|true|false", re.IGNORECASE)


@dataclass(frozen=True)
class Sniffed:
    """A guess: how to read the file, and whether its columns have names of their own."""

    spec: SourceSpec
    named: bool


def sniff(path: Path, encoding: str | None = None) -> Sniffed:
    """Look at the file's beginning. Raises :class:`LandingError` for a missing or empty file, or no table."""
    with open_bytes(path) as stream:
        head = stream.read(HEAD)
    if head[:4] == b"PAR1":
        return Sniffed(SourceSpec(format="parquet"), named=True)
    encoding = codec_name(encoding) if encoding else guess_encoding(head)
    text = head.decode(encoding, "replace").removeprefix("\ufeff")
    if len(head) == HEAD:
        text = text[: text.rfind("\n") + 1] or text
    if not text.strip():
        raise LandingError(f"{path.name} has no records", "export it again; there is nothing to land")
    if "\x00" in text[:1000]:
        raise LandingError(f"{path.name} is neither text nor Parquet", "export it as CSV, JSON Lines or Parquet")
    if text.lstrip().startswith("[") and text.lstrip()[1:].lstrip().startswith("{"):
        raise LandingError(
            f"{path.name} is one JSON array, not JSON Lines", "write one object per line (jq -c '.[]' does it)"
        )
    if text.lstrip().startswith("{"):
        return Sniffed(SourceSpec(format="jsonl", encoding=encoding), named=True)
    return _dialect(text, encoding)


def _dialect(text: str, encoding: str) -> Sniffed:
    best: tuple[float, int, str, list[list[str]]] | None = None
    for delimiter in DELIMITERS:
        rows = _rows(text, delimiter)
        width, count = Counter(map(len, rows)).most_common(1)[0]
        score = (count / len(rows) if width > 1 else 0.0, width, delimiter, rows)
        if best is None or score[:2] > best[:2]:
            best = score
    assert best is not None
    share, width, delimiter, rows = best
    if share == 0.0:
        delimiter, width, rows = ",", 1, _rows(text, ",")
    skip = next((i for i, row in enumerate(rows) if len(row) == width), 0)
    body = [row for row in rows[skip:] if len(row) == width]
    trailing = width > 2 and all(row[-1] == "" for row in body)
    fields = width - trailing
    header = _is_header(body, fields)
    names = () if header else tuple(f"column_{i + 1}" for i in range(fields))
    if header:
        first = [name.strip() for name in body[0][:fields]]
        if len(set(first)) < len(first):
            names = tuple(f"{n or 'column'}_{i + 1}" if first.count(n) > 1 or not n else n for i, n in enumerate(first))
    spec = SourceSpec(
        format="csv", delimiter=delimiter, encoding=encoding, header=header, names=names, skip=skip,
        trailing_delimiter=trailing, quote='"' if _quotes_matter(text, delimiter) else None,
    )  # fmt: skip
    return Sniffed(spec, named=header)


def _rows(text: str, delimiter: str) -> list[list[str]]:
    csv.field_size_limit(1 << 30)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) >= LINES:
                break
    except csv.Error:
        pass
    return rows or [[text]]


def _is_header(rows: list[list[str]], fields: int) -> bool:
    """A header has names: distinct, no numbers or dates, and none of them is a value further down."""
    first = [cell.strip() for cell in rows[0][:fields]]
    filled = [c for c in first if c]
    if not filled or any(_VALUE.fullmatch(c) for c in filled) or len(filled) < fields / 2:
        return False
    body = rows[1:]
    if not body:
        return True
    repeated = sum(any(row[i].strip() == cell for row in body) for i, cell in enumerate(first) if cell)
    return repeated <= fields / 4


def _quotes_matter(text: str, delimiter: str) -> bool:
    """Whether double quotes enclose cells; also true if the file has none at all."""
    if '"' not in text:
        return True
    d = re.escape(delimiter)
    return re.search(rf'(^|{d})"[^"]*"({d}|\r?$)', text, re.MULTILINE) is not None
