"""Data files of a table: written once and committed later, and read back one by one."""

from __future__ import annotations

import itertools
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan, bin_pack_arrow_table, pyarrow_to_schema, write_file
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import TableProperties, WriteTask
from pyiceberg.utils.properties import property_as_int

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyiceberg.manifest import DataFile
    from pyiceberg.table import FileScanTask, Table
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.typedef import Record


def write_rows(table: Table, rows: pa.Table) -> list[DataFile]:
    """Write ``rows`` (already of the table's shape) as data files of its current partition spec.

    The files belong to no snapshot until they are committed; a crash leaves them to the orphan clean-up.
    """
    if not rows.num_rows:
        return []
    metadata = table.metadata
    target = property_as_int(
        metadata.properties,
        TableProperties.WRITE_TARGET_FILE_SIZE_BYTES,
        TableProperties.WRITE_TARGET_FILE_SIZE_BYTES_DEFAULT,
    )
    assert target is not None
    schema = pyarrow_to_schema(rows.schema, name_mapping=metadata.schema().name_mapping)
    counter, write_uuid = itertools.count(0), uuid.uuid4()
    tasks = (
        WriteTask(write_uuid, next(counter), schema, list(batches), partition_key=key)
        for key, part in split_by_partition(metadata, rows)
        for batches in bin_pack_arrow_table(part, target)
    )
    return list(write_file(table.io, metadata, tasks))


def split_by_partition(metadata: TableMetadata, rows: pa.Table) -> Iterator[tuple[PartitionKey | None, pa.Table]]:
    """``rows`` cut by partition of the current spec.

    Sorted once and sliced, where PyIceberg filters the whole table once per partition.
    """
    if metadata.spec().is_unpartitioned():
        yield None, rows
        return
    values = partition_values(metadata, rows)
    runs = values.select(pl.struct(pl.all()).rle_id().alias("run")).to_series()
    if runs.n_unique() > values.unique().height:
        order = values.with_row_index("i").sort(values.columns, maintain_order=True).get_column("i")
        rows, values = rows.take(order.to_arrow()), values[order]
        runs = values.select(pl.struct(pl.all()).rle_id().alias("run")).to_series()
    starts = [*(runs.diff().fill_null(1) != 0).arg_true().to_list(), rows.num_rows]
    for start, end in itertools.pairwise(starts):
        yield _partition_key(metadata, values.row(start)), rows.slice(start, end - start)


def partition_keys(metadata: TableMetadata, rows: pa.Table) -> tuple[np.ndarray[Any, np.dtype[np.int64]], list[Record]]:
    """Each row's partition under the current spec, as an index into the list of partition records."""
    values = partition_values(metadata, rows)
    distinct = values.unique(maintain_order=True)
    rank = values.select(pl.struct(pl.all()).rank("dense")).to_series()
    order = distinct.select(pl.struct(pl.all()).rank("dense")).to_series()
    records = [_partition_key(metadata, record).partition for record in distinct.iter_rows()]
    slot = np.empty(distinct.height + 1, dtype=np.int64)
    slot[order.to_numpy()] = np.arange(distinct.height)
    return slot[rank.to_numpy()], records


def _partition_key(metadata: TableMetadata, record: tuple[Any, ...]) -> PartitionKey:
    spec = metadata.spec()
    fields = [PartitionFieldValue(f, v) for f, v in zip(spec.fields, record, strict=True)]
    return PartitionKey(fields, spec, metadata.schema())


def partition_values(metadata: TableMetadata, rows: pa.Table) -> pl.DataFrame:
    """Each row's partition under the current spec: one column per partition field, in the spec's order."""
    schema = metadata.schema()
    columns = {}
    for i, field in enumerate(metadata.spec().fields):
        source = schema.find_field(field.source_id)
        column = rows.column(source.name)
        # PyIceberg's bucket fails on a column without any chunk, which is what no rows may be.
        values = column if column.num_chunks else pa.array([], column.type)
        transformed = field.transform.pyarrow_transform(source.field_type)(values)  # type: ignore[arg-type]
        columns[f"{i}"] = pl.Series(f"{i}", transformed)
    return pl.DataFrame(columns)


def read_batches(table: Table, task: FileScanTask, columns: Iterable[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Stream one data file's rows in file order, as the table's current schema shows them.

    PyIceberg's public scan reads a whole file before it yields; its per-task generator does not.
    """
    schema = table.schema()
    projected = schema if columns is None else schema.select(*columns)
    scan = ArrowScan(table.metadata, table.io, projected, AlwaysTrue())
    return scan._record_batches_from_scan_tasks_and_deletes([task], {})


def read_tasks(table: Table, tasks: Iterable[FileScanTask], columns: Iterable[str] | None = None) -> pa.Table:
    """All rows of the given files as one Arrow table."""
    schema = table.schema()
    projected = schema if columns is None else schema.select(*columns)
    return ArrowScan(table.metadata, table.io, projected, AlwaysTrue()).to_table(list(tasks))
