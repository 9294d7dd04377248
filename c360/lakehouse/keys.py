"""Where given keys live: files that cannot hold one are ruled out by metadata, the others by reading key columns."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pyiceberg.conversions import from_bytes
from pyiceberg.partitioning import partition_record_value
from pyiceberg.types import DecimalType, PrimitiveType

from c360.errors import LakehouseError
from c360.lakehouse.arrow import arrow_schema
from c360.lakehouse.files import read_batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import FileScanTask, Table

KEY = "__key"
POSITION = "__position"


@dataclass(frozen=True)
class Match:
    """Rows of one data file whose key is wanted: ``positions`` in the file, ascending, and their ``keys`` (indices)."""

    task: FileScanTask
    positions: np.ndarray[Any, np.dtype[np.int64]]
    keys: np.ndarray[Any, np.dtype[np.int64]]


def key_frame(rows: pa.Table, on: Sequence[str], name: str, what: str) -> pl.DataFrame:
    """The key columns of ``rows`` as they are compared. Raises LakehouseError for null or unknown key columns."""
    if not on:
        raise LakehouseError(f"Merging into {name} needs a key", "name at least one key column")
    missing = [column for column in on if column not in rows.column_names]
    if missing:
        raise LakehouseError(
            f"{what} for {name} lack the key column {', '.join(missing)}", "add it, or merge on another"
        )
    keys = pl.from_arrow(rows.select(list(on)))
    assert isinstance(keys, pl.DataFrame)
    for column in keys.iter_columns():
        if column.null_count():
            raise LakehouseError(
                f"{what} for {name} have {column.null_count()} nulls in the key column {column.name}",
                "fill or leave out rows without a key",
            )
    return keys


def comparable(keys: pl.DataFrame) -> pl.DataFrame:
    """``keys`` with floating columns in a form in which a join finds NaN equal to NaN, sorted columns included."""
    columns = []
    for name, dtype in keys.schema.items():
        if dtype.is_float():
            columns += [pl.col(name).fill_nan(0.0) + 0.0, pl.col(name).is_nan().alias(f"{name}__nan")]
        else:
            columns.append(pl.col(name))
    return keys.select(columns)


def find(table: Table, snapshot_id: int, keys: pl.DataFrame) -> list[Match]:
    """The rows of a snapshot that have one of ``keys`` (unique), by data file.

    Reads only key columns, one file at a time, and only of files whose bounds and partition admit a key.
    """
    wanted = keys.with_row_index(KEY).sort(keys.columns[0])
    bounds = _Bounds(table, keys)
    admitted = [task for task in table.scan(snapshot_id=snapshot_id).plan_files() if bounds.admit(task.file)]
    merge_on_read = [task.file.file_path for task in admitted if task.delete_files]
    if merge_on_read:
        raise LakehouseError(
            f"{'.'.join(table.name())} has files with row-level deletes, which a merge cannot rewrite",
            "compact the table ('c360 tables maintain'), then rerun",
        )
    matches = (_match(table, task, bounds.narrow(wanted, task.file)) for task in admitted)
    return [match for match in matches if len(match.positions)]


def _match(table: Table, task: FileScanTask, wanted: pl.DataFrame) -> Match:
    on = [column for column in wanted.columns if column != KEY]
    schema = {field.name: field.type for field in arrow_schema(table.schema().select(*on))}
    found, offset = [], 0
    for batch in read_batches(table, task, on):
        arrays = [batch.column(column).cast(schema[column]) for column in on]
        frame = pl.DataFrame({column: pl.Series(column, array) for column, array in zip(on, arrays, strict=True)})
        found.append((offset, frame))
        offset += batch.num_rows
    if not found:
        return Match(task, np.empty(0, np.int64), np.empty(0, np.int64))
    held = pl.concat(frame for _, frame in found).with_row_index(POSITION)
    held, wanted = comparable(held), comparable(wanted)
    joined = held.join(wanted, on=[c for c in wanted.columns if c != KEY], how="inner")
    joined = joined.select(POSITION, KEY).sort(POSITION)
    return Match(
        task,
        joined.get_column(POSITION).to_numpy().astype(np.int64),
        joined.get_column(KEY).to_numpy().astype(np.int64),
    )


class _Bounds:
    """Tells from a data file's metadata whether it may hold one of the keys."""

    def __init__(self, table: Table, keys: pl.DataFrame) -> None:
        self._schema = table.schema()
        self._specs = table.specs()
        self._first = keys.columns[0]
        self._values: dict[str, pl.Series] = {}
        self._records: dict[int, dict[int, set[Any]]] = {}
        self._keys = keys
        for column in keys.iter_columns():
            values = column.unique().sort().to_physical()
            # A file's bounds leave NaN out, so they say nothing about where a NaN is.
            if not (values.dtype.is_float() and values.is_nan().any()):
                self._values[column.name] = values

    def admit(self, file: DataFile) -> bool:
        return all(
            self._meets(values, *self._range(file, name)) for name, values in self._values.items()
        ) and self._admit_partition(file)

    def narrow(self, wanted: pl.DataFrame, file: DataFile) -> pl.DataFrame:
        """The part of ``wanted`` (sorted by the first key column) within the file's bounds: a smaller join."""
        if self._first not in self._values:
            return wanted
        low, high = self._range(file, self._first)
        column = wanted.get_column(self._first).to_physical()
        start = 0 if low is None else int(column.search_sorted(low, side="left"))
        end = len(column) if high is None else int(column.search_sorted(high, side="right"))
        return wanted.slice(start, max(0, end - start))

    @staticmethod
    def _meets(values: pl.Series, low: Any, high: Any) -> bool:
        start = 0 if low is None else int(values.search_sorted(low, side="left"))
        end = len(values) if high is None else int(values.search_sorted(high, side="right"))
        return start < end

    def _range(self, file: DataFile, name: str) -> tuple[Any, Any]:
        field = self._schema.find_field(name)
        assert isinstance(field.field_type, PrimitiveType)
        low = (file.lower_bounds or {}).get(field.field_id)
        high = (file.upper_bounds or {}).get(field.field_id)
        return _value(field.field_type, low), _value(field.field_type, high)

    def _admit_partition(self, file: DataFile) -> bool:
        records = self._records.get(file.spec_id)
        if records is None:
            records = self._records[file.spec_id] = self._possible_records(file.spec_id)
        return all(file.partition[position] in values for position, values in records.items())

    def _possible_records(self, spec_id: int) -> dict[int, set[Any]]:
        """Per partition field over a key column, the values that the keys map to."""
        possible = {}
        for position, field in enumerate(self._specs[spec_id].fields):
            source = self._schema.find_field(field.source_id)
            # NaN equals no partition value, not even its own.
            if source.name not in self._keys.columns or self._keys.schema[source.name].is_float():
                continue
            column = self._keys.get_column(source.name).unique().to_arrow()
            arrow_type = arrow_schema(self._schema.select(source.name)).field(0).type
            transformed = field.transform.pyarrow_transform(source.field_type)(column.cast(arrow_type))
            values = pl.Series(transformed).unique().to_list()
            possible[position] = {partition_record_value(field, value, self._schema) for value in values}
        return possible


def _value(field_type: PrimitiveType, bound: bytes | None) -> Any:
    """A bound in the physical form of :meth:`polars.Series.to_physical`; None where there is none to rely on."""
    if bound is None:
        return None
    try:
        value: Any = from_bytes(field_type, bound)
    except (ValueError, TypeError, struct.error):  # written when the column had a narrower type
        return None
    if isinstance(value, Decimal):
        assert isinstance(field_type, DecimalType)
        return int(value.scaleb(field_type.scale))
    return value
