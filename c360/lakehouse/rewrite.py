"""Copy-on-write of one data file, streamed: rows out, rows in, and no new file where nothing would change."""

from __future__ import annotations

import posixpath
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
from pyiceberg.io.fileformat import FileFormatFactory
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat

from c360.lakehouse.files import read_batches

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyiceberg.io.fileformat import FileFormatWriter
    from pyiceberg.table import FileScanTask, Table

    from c360.lakehouse.keys import Match

ROW_GROUP_BYTES = 64 * 1024 * 1024
"""Rows held before they are written as a row group: what bounds the memory of a rewrite, with the reader's own."""


class FileWriter:
    """Writes one data file next to an existing one of the same partition, row group by row group."""

    def __init__(self, table: Table, beside: DataFile) -> None:
        self._table = table
        self._beside = beside
        model = FileFormatFactory.get(FileFormat.PARQUET)
        folder = posixpath.dirname(beside.file_path)
        self._path = f"{folder}/{uuid.uuid4()}.{model.file_extension()}"
        self._output = table.io.new_output(self._path)
        self._writer: FileFormatWriter = model.create_writer(self._output, table.schema(), table.properties)
        self._schema = schema_to_pyarrow(table.schema())
        self._held: list[pa.Table] = []
        self._bytes = 0
        self._rows = 0

    def write(self, rows: pa.Table) -> None:
        """Add rows in the table's columns and order."""
        if not rows.num_rows:
            return
        self._held.append(
            pa.table([c.cast(f.type) for c, f in zip(rows.columns, self._schema, strict=True)], schema=self._schema)
        )
        self._bytes += rows.nbytes
        if self._bytes >= ROW_GROUP_BYTES:
            self._flush()

    def finish(self) -> DataFile | None:
        """Close the file; None, and no file, when no row was written."""
        self._flush()
        if not self._rows:
            return None
        statistics = self._writer.close()
        return DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=self._path,
            file_format=FileFormat.PARQUET,
            partition=self._beside.partition,
            file_size_in_bytes=len(self._output),
            sort_order_id=None,
            spec_id=self._beside.spec_id,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )

    def discard(self) -> None:
        """Forget the file, deleting what was written of it."""
        if self._rows:
            self._writer.close()
            self._table.io.delete(self._path)

    def _flush(self) -> None:
        if self._held:
            rows = pa.concat_tables(self._held)
            self._writer.write(rows)
            self._rows += rows.num_rows
            self._held, self._bytes = [], 0


def split(
    table: Table, task: FileScanTask, positions: np.ndarray[Any, np.dtype[np.int64]]
) -> Iterator[tuple[pa.Table, pa.Table, slice]]:
    """Stream a file's batches as (rows elsewhere, rows at ``positions``, the slice of ``positions`` they are)."""
    offset = 0
    for batch in read_batches(table, task):
        rows = pa.Table.from_batches([batch])
        start, end = np.searchsorted(positions, [offset, offset + batch.num_rows])
        met = slice(int(start), int(end))
        if start == end:
            yield rows, rows.slice(0, 0), met
        else:
            local = positions[met] - offset
            keep = np.ones(batch.num_rows, dtype=bool)
            keep[local] = False
            yield rows.filter(pa.array(keep)), rows.take(local), met
        offset += batch.num_rows


def differ(old: pa.Table, new: pa.Table) -> bool:
    """Whether two tables of one shape differ in any value; null equals null, NaN equals NaN."""
    for name in new.column_names:
        before, after = pl.Series(old.column(name).cast(new.schema.field(name).type)), pl.Series(new.column(name))
        if before.ne_missing(after).any():
            return True
    return False


def replace_rows(
    table: Table, match: Match, rows: pa.Table, incoming: pa.Table, *, always: bool
) -> DataFile | bool | None:
    """Rewrite a file without the matched rows and with ``incoming`` at its end.

    ``rows[match.keys]`` are what the matched rows are to become: where all of them are that already the file is left as
    it is and False returned, unless ``always``. None means that no row is left.
    """
    writer = FileWriter(table, match.task.file)
    changed, held, held_bytes = always, [], 0
    try:
        for kept, old, met in split(table, match.task, match.positions):
            if not changed and old.num_rows:
                changed = differ(old, rows.take(match.keys[met]))
            if not changed and held_bytes < ROW_GROUP_BYTES:
                held.append(kept)
                held_bytes += kept.nbytes
                continue
            for part in (*held, kept):
                writer.write(part)
            held = []
        if not changed:
            writer.discard()
            return False
        for part in (*held, incoming):
            writer.write(part)
        return writer.finish()
    except BaseException:
        writer.discard()
        raise
