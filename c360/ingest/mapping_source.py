"""A foreign file as batches of text columns, whatever its format, in bounded memory.

Records are numbered from 1 in the order of the file (JSON Lines: by line). A record that cannot be split into columns
is handed on as its text with its number, so that nothing disappears.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from c360.ingest.mapping_stream import plain_name
from c360.ingest.mapping_yaml import MappingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from c360.ingest.mapping_model import SourceSpec

RECORD = "_record"
FORMATS = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".tbl": "csv", ".psv": "csv", ".dat": "csv",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet", ".pq": "parquet",
}  # fmt: skip


@dataclass(frozen=True)
class Malformed:
    """A record that could not be split: its number, its text and why."""

    record: int
    text: str
    why: str


@dataclass(frozen=True)
class Batch:
    """Some records: ``table`` has the wanted columns as text and ``_record`` (int64), in the file's order."""

    table: pa.Table
    malformed: tuple[Malformed, ...] = ()


class TextSource(Protocol):
    """A file that can be read as text columns, any number of times."""

    path: Path
    columns: tuple[str, ...]

    def batches(self, wanted: Sequence[str]) -> Iterator[Batch]:
        """The wanted columns of all records. Raises :class:`c360.errors.LandingError` for a damaged file."""
        ...

    def places(self, records: Iterable[int]) -> dict[int, str]:
        """Where records are for a person looking at the file: ``line 17`` or ``row 17``."""
        ...


def open_source(path: Path, spec: SourceSpec) -> TextSource:
    """Open a file by its stated format or its name.

    Raises :class:`c360.errors.LandingError` for a missing, empty or damaged file, :class:`MappingError` for an unknown
    format, encoding or header.
    """
    format_ = spec.format or FORMATS.get(plain_name(path).suffix.lower())
    if format_ == "csv":
        from c360.ingest.mapping_csv import CsvSource

        return CsvSource(path, spec)
    if format_ == "jsonl":
        from c360.ingest.mapping_jsonl import JsonLinesSource

        return JsonLinesSource(path, spec)
    if format_ == "parquet":
        from c360.ingest.mapping_parquet import ParquetSource

        return ParquetSource(path)
    raise MappingError(
        f"The format of {path.name} is not known by its name",
        "write `format: csv`, `jsonl` or `parquet` under `source:`",
    )
