"""Rows brought to the exact shape of a table, so that a mismatch is a sentence and not an engine's stack trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow

from c360.errors import LakehouseError

if TYPE_CHECKING:
    from pyiceberg.schema import Schema


def arrow_schema(schema: Schema) -> pa.Schema:
    """The Arrow schema in which rows of ``schema`` are written and compared."""
    bare = schema_to_pyarrow(schema, include_field_ids=False)
    return pa.schema([field.remove_metadata() for field in bare])


def fit(rows: pa.Table, schema: Schema, name: str) -> pa.Table:
    """``rows`` with the columns of ``schema``, in its order and types; missing optional columns become null.

    Raises LakehouseError when a column is unknown, a required one is missing or null, or a value does not fit its
    type. Nothing is rounded or cut off.
    """
    target = arrow_schema(schema)
    unknown = [column for column in rows.column_names if column not in target.names]
    if unknown:
        raise LakehouseError(
            f"Rows for {name} have columns its table lacks: {', '.join(unknown)}",
            "add them to the contract, or leave them out",
        )
    columns = [_column(rows, field, name) for field in target]
    return pa.table(columns, schema=target)


def _column(rows: pa.Table, field: pa.Field[Any], name: str) -> pa.ChunkedArray[Any]:
    if field.name not in rows.column_names:
        if not field.nullable:
            raise LakehouseError(
                f"Rows for {name} lack the required column {field.name}", "fill it, or make it optional in the contract"
            )
        return pa.chunked_array([pa.nulls(rows.num_rows, field.type)], type=field.type)
    column = rows.column(field.name)
    if not field.nullable and column.null_count:
        raise LakehouseError(
            f"Rows for {name} have {column.null_count} nulls in the required column {field.name}",
            "fill or reject those rows, or make the column optional in the contract",
        )
    if column.type == field.type:
        return column
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise LakehouseError(
            f"Column {field.name} of the rows for {name} is {column.type} and does not fit {field.type} ({error})",
            "cast it before writing, or change its type in the contract",
        ) from error


def semi_join(rows: pa.Table, scope: pa.Table) -> pa.Table:
    """The rows whose columns of ``scope`` occur in it, in their order; null equals null."""
    keys = pl.DataFrame({name: pl.Series(rows.column(name)) for name in scope.column_names})
    wanted = pl.DataFrame(scope).cast(keys.schema).unique()
    met = keys.with_row_index("__position").join(wanted, on=scope.column_names, how="semi", nulls_equal=True)
    return rows.take(met.get_column("__position").sort().to_arrow())
