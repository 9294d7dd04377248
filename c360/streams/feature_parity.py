"""Features beside batch: which of the rows that a stream wrote hold at a moment, and how batch has others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from c360.errors import LakehouseError
from c360.streams.features import EFFECTIVE, VERSION
from c360.streams.parity import Difference

if TYPE_CHECKING:
    from datetime import datetime

    import polars as pl

    from c360.lakehouse import Lakehouse

RATIO = 1e-9
"""Doubles that differ by less, as a share of the greater, are the same: engines add up in different orders."""

ACTIVE = "is_active"


def require(lake: Lakehouse, name: str, *sources: str) -> None:
    """LakehouseError unless there are the table of features and those that it is compared by."""
    for needed in (name, *sources):
        if not lake.exists(needed):
            raise LakehouseError(f"{name} cannot be compared: there is no {needed}", f"let {needed} be written first")


def newest_rows(written: pl.DataFrame, key: str, as_of: datetime | None) -> pl.DataFrame:
    """Of all rows that a stream wrote the newest of each key among those in effect; none without a moment."""
    import polars as pl

    known = written.filter(pl.col(EFFECTIVE) <= pl.lit(as_of)).sort(VERSION, EFFECTIVE, maintain_order=True)
    return known.unique(key, keep="last", maintain_order=True)


def valid_rows(written: pl.DataFrame, key: str, as_of: datetime | None) -> pl.DataFrame:
    """The newest rows that are still active: those that hold at that moment."""
    newest = newest_rows(written, key, as_of)
    return newest.filter(ACTIVE) if ACTIVE in newest.columns else newest


def compare(
    name: str, key: str, batch: pl.DataFrame, stream: pl.DataFrame, moved: pl.DataFrame, as_of: datetime | None = None
) -> Difference:
    """What differs between two tables of the same columns, one row for each key in either.

    Where a key has ``moved`` on, a difference is pending: its row of that moment may never be written.
    """
    import polars as pl

    both = batch.join(stream, on=key, suffix="_streamed")
    alike = [
        _alike(pl.col(column), pl.col(f"{column}_streamed"), double=kind.is_float())
        for column, kind in batch.schema.items()
        if column != key
    ]
    missing, surplus = (
        one.join(other, on=key, how="anti").select(key).sort(key) for one, other in ((batch, stream), (stream, batch))
    )
    changed = both.filter(~pl.all_horizontal(alike)).select(key).sort(key)
    pending = pl.concat([missing, surplus, changed]).join(moved, on=key, how="semi")
    return Difference(name, batch.height, missing, surplus, changed, pending, as_of)


def _alike(one: pl.Expr, other: pl.Expr, *, double: bool) -> pl.Expr:
    import polars as pl

    same = one.eq_missing(other)
    if not double:
        return same
    return same | ((one - other).abs() <= RATIO * pl.max_horizontal(one.abs(), other.abs())).fill_null(value=False)
