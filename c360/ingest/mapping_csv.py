"""CSV of any dialect: Arrow splits the records, this module keeps count of them and refuses what hides records."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from c360.errors import LandingError
from c360.ingest.mapping_source import RECORD, Batch, Malformed
from c360.ingest.mapping_stream import END, Utf8Stream, text_lines
from c360.ingest.mapping_yaml import MappingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from c360.ingest.mapping_model import SourceSpec

BLOCK = 8 << 20
DELIMITERS = (",", ";", "\t", "|", ":", "\x01")


class CsvSource:
    """A delimited text file with or without header. Blank lines are no records."""

    def __init__(self, path: Path, spec: SourceSpec) -> None:
        self.path, self._spec = path, spec
        first = self._first_record()
        if spec.header and not spec.names:
            self.columns = self._header(first)
        else:
            self.columns = spec.names
            self._check_width(first)

    def batches(self, wanted: Sequence[str]) -> Iterator[Batch]:
        """See :class:`c360.ingest.mapping_source.TextSource`."""
        names = [f"c{i}" for i in range(len(self.columns))] + (["tail"] if self._spec.trailing_delimiter else [])
        bad: list[Malformed] = []
        skip_after = 1 if self._spec.header else 0

        def refuse(row: pa_csv.InvalidRow) -> Literal["skip"]:
            number = (row.number or 0) - skip_after
            bad.append(Malformed(number, row.text, f"{row.actual_columns} fields instead of {row.expected_columns}"))
            return "skip"

        keep = [names[self.columns.index(w)] for w in wanted]
        probe = [names[0], *(["tail"] if self._spec.trailing_delimiter else [])]
        include = list(dict.fromkeys([*keep, *probe]))
        try:
            with Utf8Stream(self.path, self._spec.encoding, self._sentinel(len(names))) as stream:
                reader = pa_csv.open_csv(
                    io.BufferedReader(stream, BLOCK),
                    pa_csv.ReadOptions(
                        use_threads=False,
                        column_names=names,
                        skip_rows=self._spec.skip,
                        skip_rows_after_names=skip_after,
                        block_size=BLOCK,
                    ),
                    pa_csv.ParseOptions(
                        delimiter=self._spec.delimiter,
                        quote_char=self._spec.quote or False,
                        double_quote=self._spec.quote is not None,
                        escape_char=self._spec.escape or False,
                        newlines_in_values=self._spec.quote is not None,
                        ignore_empty_lines=True,
                        invalid_row_handler=refuse,
                    ),
                    pa_csv.ConvertOptions(
                        column_types=dict.fromkeys(names, pa.string()),
                        include_columns=include,
                        strings_can_be_null=False,
                    ),
                )
                yield from self._numbered(reader, keep, wanted, bad)
        except pa.ArrowInvalid as error:
            if "straddles" in str(error):
                raise self._unclosed() from error
            if "Empty CSV" in str(error):
                raise LandingError(f"{self.path.name} has no records", "export it again") from error
            raise LandingError(
                f"{self.path.name} cannot be read as CSV: {error}", "check delimiter and quote"
            ) from error

    def places(self, records: Iterable[int]) -> dict[int, str]:
        """The physical line where each record starts."""
        wanted, found = set(records), dict[int, str]()
        if not wanted:
            return found
        last, number = max(wanted), 0 if self._spec.header else 1
        for start, row in self._records():
            if not row:
                continue
            if number in wanted:
                found[number] = f"line {start}"
            if number >= last:
                break
            number += 1
        return found

    def _numbered(
        self, reader: pa_csv.CSVStreamingReader, keep: Sequence[str], wanted: Sequence[str], bad: list[Malformed]
    ) -> Iterator[Batch]:
        after, told, ended = 0, 0, False
        for batch in reader:
            if ended:
                raise self._unclosed()
            table = pa.Table.from_batches([batch])
            if table.num_rows and table.column("c0")[-1].as_py() == END:
                table, ended = table.slice(0, table.num_rows - 1), True
            numbers = _ordinals(after, table.num_rows, [m.record for m in bad])
            if table.num_rows:
                after = int(numbers[-1])
                self._check_tail(table, numbers)
            columns = [table.column(k) for k in keep]
            new, told = tuple(bad[told:]), len(bad)
            yield Batch(pa.table([*columns, pa.array(numbers)], names=[*wanted, RECORD]), new)
        if not ended:
            raise self._unclosed()

    def _check_tail(self, table: pa.Table, numbers: np.ndarray[Any, Any]) -> None:
        if not self._spec.trailing_delimiter:
            return
        filled = pc.index(pc.equal(table.column("tail"), pa.scalar("")), pa.scalar(value=False)).as_py()
        if filled >= 0:
            raise LandingError(
                f"Record {numbers[filled]} of {self.path.name} has text after the last delimiter",
                "name that column, and leave out `trailing_delimiter`",
            )

    def _sentinel(self, width: int) -> str:
        """One last record of our own: if it does not come back as such, an open quote has swallowed the end."""
        return self._spec.delimiter.join([END, *[""] * (width - 1)]) + "\n"

    def _dialect(self) -> dict[str, Any]:
        quoting = csv.QUOTE_NONE if self._spec.quote is None else csv.QUOTE_MINIMAL
        return {
            "delimiter": self._spec.delimiter,
            "quotechar": self._spec.quote or '"',
            "escapechar": self._spec.escape,
            "quoting": quoting,
        }

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """(line where it starts, fields) of every record, the header included; slow, for finding places."""
        csv.field_size_limit(1 << 30)
        with text_lines(self.path, self._spec.encoding) as lines:
            for _ in range(self._spec.skip):
                next(lines, None)
            reader = csv.reader(lines, **self._dialect())
            start = self._spec.skip + 1
            try:
                for row in reader:
                    yield start, row
                    start = self._spec.skip + reader.line_num + 1
            except csv.Error as error:
                raise LandingError(f"{self.path.name} line {start}: {error}", "check delimiter and quote") from error

    def _first_record(self) -> list[str]:
        for _, row in self._records():
            if row:
                return row
        raise LandingError(f"{self.path.name} has no records", "export it again; there is nothing to land")

    def _header(self, first: list[str]) -> tuple[str, ...]:
        names = [name.strip() for name in first]
        if self._spec.trailing_delimiter and names[-1] == "":
            names.pop()
        if len(names) == 1:
            self._suspect_delimiter(names[0])
        repeated = sorted({n for n in names if names.count(n) > 1})
        if repeated:
            what = f"the column '{repeated[0]}' twice" if repeated[0] else "columns without a name"
            raise MappingError(
                f"The header of {self.path.name} has {what}",
                "give `names:` for all columns under `source:` (the header line is then skipped)",
            )
        return tuple(names)

    def _check_width(self, first: list[str]) -> None:
        width = len(self.columns) + self._spec.trailing_delimiter
        if len(first) == width:
            return
        if len(first) == 1:
            self._suspect_delimiter(first[0])
        extra = " and the last one is empty: write `trailing_delimiter: true`" if first[-1] == "" else ""
        raise MappingError(
            f"The first record of {self.path.name} has {len(first)} fields, the mapping expects {width}{extra}",
            "correct `names` or `delimiter` under `source:`",
        )

    def _suspect_delimiter(self, line: str) -> None:
        counts = {d: line.count(d) for d in DELIMITERS if d != self._spec.delimiter and line.count(d)}
        if counts:
            best = max(counts, key=lambda d: counts[d])
            shown = {"\t": "tab", "\x01": '"\\x01"'}.get(best, f'"{best}"')
            raise MappingError(
                f"{self.path.name} does not split at '{self._spec.delimiter}': its first line is one field",
                f"write `delimiter: {shown}` under `source:`",
            )

    def _unclosed(self) -> LandingError:
        start = 1
        for start, _ in self._records():  # noqa: B007 - the last record is the one that swallowed the rest
            pass
        return LandingError(
            f"{self.path.name} line {start}: a quote opens and never closes, or a record exceeds {BLOCK >> 20} MB",
            "correct that line, or write `quote: null` under `source:` if quotes mean nothing in this file",
        )


def _ordinals(after: int, count: int, bad: Sequence[int]) -> np.ndarray[Any, Any]:
    """The next ``count`` record numbers after ``after`` that are not in ``bad`` (ascending)."""
    later = np.array([b for b in bad if b > after], dtype=np.int64)
    numbers = np.arange(after + 1, after + 1 + count + len(later), dtype=np.int64)
    return numbers[~np.isin(numbers, later)][:count]
