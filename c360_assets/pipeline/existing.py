"""Silver rows that bronze records could repeat or contradict, and those that no bronze record stands for any more."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue, And, BooleanExpression, NotIn, Reference

from c360.conform import Existing
from c360.conform.standardise import standardise
from c360.contracts.model import Contract
from c360.lakehouse import Lakehouse
from c360.lakehouse.lookup import lookup


def beyond(
    lake: Lakehouse, name: str, column: str, files: set[str], where: BooleanExpression | None = None
) -> pa.Table:
    """Rows (that match ``where``) of landing files other than ``files``, by the column that names a row's file.

    For a rebuild from bronze: bronze forgets its files long before silver does, and of those only silver knows. A file
    is ingested and forgotten as a whole, so that it needs no look at single records.
    """
    values: set[Any] = set(files)
    others = NotIn(term=Reference(column), values=values) if files else AlwaysTrue()
    return lake.read(name, where=others if where is None else And(where, others))


def existing_rows(lake: Lakehouse, contract: Contract, raw: pa.Table) -> Existing:
    """Silver rows of the first key column's values that occur in ``raw``."""
    if not raw.num_rows or not lake.row_count(contract.name):
        return Existing()
    key = contract.primary_key[0]
    column = contract.column(key)
    received = pl.from_arrow(raw.select([column.source or key]))
    assert isinstance(received, pl.DataFrame)
    wanted = standardise(received.to_series(), column).drop_nulls().unique().alias(key)
    return Existing(lookup(lake, contract.name, wanted.to_frame().to_arrow()))
