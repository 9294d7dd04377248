"""The rows of given keys, read from the files that hold one of them: the read that belongs to an append."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from c360.lakehouse.arrow import arrow_schema
from c360.lakehouse.faults import named
from c360.lakehouse.files import read_batches
from c360.lakehouse.keys import Match, find, key_frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyiceberg.table import Table

    from c360.lakehouse.lake import Lakehouse


def lookup(lake: Lakehouse, name: str, keys: pa.Table) -> pa.Table:
    """Published rows whose values of the columns of ``keys`` (no nulls) occur in it, in the table's Arrow schema.

    Of a file whose bounds admit a key only the key columns are read, and the others only where a key was found.
    """
    table = lake.table(name)
    snapshot = table.current_snapshot()
    schema = arrow_schema(table.schema())
    wanted = key_frame(keys, keys.column_names, name, "Keys").unique()
    if snapshot is None or wanted.is_empty():
        return schema.empty_table()
    with named(f"read {name}"):
        matches = find(table, snapshot.snapshot_id, wanted)
        return pa.concat_tables([schema.empty_table(), *(rows for match in matches for rows in _rows(table, match))])


def _rows(table: Table, match: Match) -> Iterator[pa.Table]:
    schema = arrow_schema(table.schema())
    offset, positions = 0, match.positions
    for batch in read_batches(table, match.task):
        local = _within(positions, offset, offset + batch.num_rows)
        if len(local):
            yield pa.Table.from_batches([batch.take(pa.array(local - offset))]).cast(schema)
        offset += batch.num_rows
        if offset > positions[-1]:
            return


def _within(positions: np.ndarray[Any, np.dtype[np.int64]], low: int, high: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    start, end = np.searchsorted(positions, [low, high])
    return positions[start:end]
