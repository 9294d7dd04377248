"""How many records every landing file holds, counted without the product's readers."""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path


def count_file(path: Path) -> int:
    """Records in one file: CSV records after the header (blank and malformed ones too), JSON Lines, or Parquet rows.

    A CSV record may span lines inside quotes; bytes are read as Latin-1, which never fails and leaves the commas,
    quotes and line ends of UTF-8 in place. The last line of JSON Lines needs no line end.
    """
    if path.suffix == ".parquet":
        return int(pq.read_metadata(path).num_rows)
    if path.suffix == ".jsonl":
        data = path.read_bytes()
        return data.count(b"\n") + (0 if data.endswith(b"\n") or not data else 1)
    if path.suffix == ".csv":
        csv.field_size_limit(sys.maxsize)
        with path.open(encoding="latin-1", newline="") as lines:
            return max(sum(1 for _ in csv.reader(lines)) - 1, 0)
    raise AssertionError(f"{path} is no landing file: csv, jsonl or parquet")


def count_landing(landing: Path) -> pa.Table:
    """One row per landing file ``<system>/<entity>/<date>/<file>``: entity, file (relative), day, records."""
    rows = [
        {
            "entity": path.parts[-3],
            "file": path.relative_to(landing).as_posix(),
            "day": path.parts[-2],
            "records": count_file(path),
        }
        for path in sorted(landing.glob("*/*/*/*"))
        if path.is_file()
    ]
    text = pa.string()
    columns: dict[str, pa.DataType] = {"entity": text, "file": text, "day": text, "records": pa.int64()}
    return pa.Table.from_pylist(rows, pa.schema(columns))
