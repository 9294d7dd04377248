"""Rows of a contract by a query of DuckDB over Arrow tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from c360.contracts.schema import to_arrow

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from c360.contracts.model import Contract


def query_rows(
    contract: Contract, sql: str, tables: Mapping[str, pa.Table], parameters: Mapping[str, object]
) -> pa.Table:
    """What the query gives of these tables, in the columns of the contract.

    In the query all moments are UTC and without a zone, so those among the parameters must be too.
    """
    import duckdb
    import pyarrow as pa

    # With a zone, DuckDB would need an extension.
    def plain(field: pa.Field[pa.DataType]) -> pa.Field[pa.DataType]:
        return field.with_type(pa.timestamp("us")) if pa.types.is_timestamp(field.type) else field

    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table.cast(pa.schema([plain(field) for field in table.schema])))
        found = connection.sql(sql, params=dict(parameters)).to_arrow_table()
    schema = to_arrow(contract)
    rows: pa.Table = found.select(schema.names).cast(schema)
    return rows
