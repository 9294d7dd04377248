"""CSV as received: every record keeps its ordinal; a record that does not fit the header is kept as its text.

Records are split by RFC 4180: comma, double quotes, quotes doubled inside quotes, line ends allowed inside quotes. A
quote that is never closed, or closed in the middle of a cell, spoils its own line only: the next line starts afresh.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv

from c360.errors import LandingError
from c360.ingest.encoding import BadBytes, is_utf8, without_mark
from c360.ingest.records import BAD_ENCODING, MALFORMED, Records, Refused, check_columns, spread

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy.typing as npt

    from c360.ingest.records import Ordinals, StringArray

_CELL = rb'(?:"[^"]*+(?:""[^"]*+)*+"|[^",\r\n][^,\r\n]*+|)'
_RECORD = re.compile(_CELL + rb"(?:," + _CELL + rb")*+(?=[\r\n]|\Z)")
_LINE_END = re.compile(rb"\r\n|\n|\r|\Z")
_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def read_csv(data: bytes, where: str, declared: Sequence[str], required: Collection[str]) -> Records:
    """The records of a CSV file with a header line.

    Raises LandingError for an empty file, another encoding, another delimiter, repeated or missing required columns.
    """
    data = without_mark(data, where)
    bad = None if is_utf8(data) else BadBytes(data)
    if bad:
        data = bad.data
    header, body = _split_header(data, where)
    if bad and any(bad.in_text(name) for name in header):
        raise LandingError(f"{where} has a header line that is not UTF-8", "convert the file to UTF-8")
    check_columns(where, header, declared, required)
    split = _split_records(body.rstrip(b"\r\n"), header)
    table, refused = split.table, list(split.refused)
    kept = split.kept
    broken = _blank(table)
    if bad:
        refused = [Refused(r.ordinal, bad.escape(r.text), r.error) for r in refused]
        encoding = pl.DataFrame(table).select(pl.any_horizontal(pl.all().str.contains(bad.pattern)))
        broken = broken | encoding.to_series().to_numpy()
    if broken.any():
        for index in np.flatnonzero(broken):
            line = _line([str(column[int(index)]) for column in table.columns])
            text, error = (bad.escape(line), BAD_ENCODING) if bad and bad.in_text(line) else ("", MALFORMED)
            refused.append(Refused(int(kept[index]), text, error))
        refused.sort(key=lambda r: r.ordinal)
        table, kept = table.filter(pa.array(~broken)), kept[~broken]
    columns = {name: spread(_one(table.column(name)), kept, split.count) for name in header if name in declared}
    extra = [name for name in header if name not in declared]
    objects = None
    if extra and table.num_rows:
        frame = pl.DataFrame(table.select(extra))
        encoded = frame.select(pl.struct(pl.all()).struct.json_encode()).to_series().to_arrow()
        objects = spread(encoded.cast(pa.string()), kept, split.count)
    return Records(split.count, columns, objects, refused, tuple(header))


@dataclass(frozen=True)
class _Split:
    table: pa.Table
    kept: Ordinals
    refused: Sequence[Refused]
    count: int


def _split_header(data: bytes, where: str) -> tuple[list[str], bytes]:
    match = _RECORD.match(data)
    end = match.end() if match else _line_end(data, 0)[0]
    line = data[:end].decode("utf-8", "replace")
    header = [name.strip() for name in next(csv.reader([line]), [])]
    if len(header) <= 1:
        for delimiter, name in _DELIMITERS.items():
            if delimiter in line:
                raise LandingError(
                    f"{where} separates its columns by {name} ({delimiter!r}), not by commas",
                    "export it with commas, or land it with `c360 land` and a mapping that states the delimiter",
                )
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise LandingError(f"{where} names the column '{repeated[0]}' twice", "give every column a name of its own")
    return header, data[_line_end(data, end)[1] :]


def _split_records(body: bytes, header: Sequence[str]) -> _Split:
    """Split the body into cells of text; records of another width, or with broken quotes, are refused."""
    if not body:
        return _Split(pa.table({name: pa.array([], pa.string()) for name in header}), np.arange(0), [], 0)
    refused: list[Refused] = []
    ordinals: Ordinals | None = None
    if not _quotes_are_clean(body):
        body, ordinals, refused = _quarantine(body)
    wrong: list[tuple[int, str]] = []

    def keep(row: pa_csv.InvalidRow) -> Literal["skip"]:
        assert row.number is not None  # known, as one thread reads
        wrong.append((row.number - 1, row.text))
        return "skip"

    if body or ordinals is None or len(ordinals):
        table = pa_csv.read_csv(
            io.BytesIO(body + b"\n"),
            pa_csv.ReadOptions(use_threads=False, column_names=list(header), block_size=len(body) + 2),
            pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False, invalid_row_handler=keep),
            pa_csv.ConvertOptions(column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False),
        )
    else:
        table = pa.table({name: pa.array([], pa.string()) for name in header})
    rows = table.num_rows + len(wrong)
    if ordinals is None:
        ordinals = np.arange(rows)
    fits = np.ones(rows, dtype=bool)
    fits[[number for number, _ in wrong]] = False
    refused.extend(Refused(int(ordinals[number]), text, MALFORMED) for number, text in wrong)
    return _Split(table, ordinals[fits], refused, table.num_rows + len(refused))


def _quotes_are_clean(body: bytes) -> bool:
    """Whether every quote opens a cell, closes one, or is doubled inside one."""
    if b'"' not in body:
        return True
    quotes = np.flatnonzero(np.frombuffer(body, np.uint8) == ord('"'))
    if len(quotes) % 2:
        return False
    opening, closing = quotes[::2], quotes[1::2]
    padded = np.frombuffer(b"\n" + body + b"\n", np.uint8)
    borders = np.frombuffer(b",\r\n", np.uint8)
    doubled = np.concatenate([[False], closing[:-1] + 1 == opening[1:], [False]])
    opens = np.isin(padded[opening], borders) | doubled[:-1]
    closes = np.isin(padded[closing + 2], borders) | doubled[1:]
    return bool(opens.all() and closes.all())


def _quarantine(body: bytes) -> tuple[bytes, Ordinals, list[Refused]]:
    """The well-quoted records of the body (bytes, ordinals), and the lines that are not."""
    good: list[bytes] = []
    ordinals: list[int] = []
    refused: list[Refused] = []
    position, ordinal = 0, 0
    while position <= len(body):
        match = _RECORD.match(body, position)
        end, following = _line_end(body, match.end() if match else position)
        if match:
            good.append(body[position:end])
            ordinals.append(ordinal)
        else:
            refused.append(Refused(ordinal, body[position:end].decode(), MALFORMED))
        position, ordinal = (following, ordinal + 1) if following > end else (len(body) + 1, ordinal + 1)
    return b"\n".join(good), np.array(ordinals, dtype=np.int64), refused


def _line_end(data: bytes, start: int) -> tuple[int, int]:
    match = _LINE_END.search(data, start)
    assert match is not None
    return match.span()


def _blank(table: pa.Table) -> npt.NDArray[np.bool_]:
    """Rows of nothing but empty cells: what a blank line becomes."""
    blank = np.ones(table.num_rows, dtype=bool)
    for column in table.columns:
        blank &= pl.Series(column).str.len_bytes().to_numpy() == 0
        if not blank.any():
            break
    return blank


def _line(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()


def _one(column: pa.ChunkedArray[Any]) -> StringArray:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.string())
