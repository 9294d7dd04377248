"""One column against its contract: values, and for each failing row the first reason in the agreed order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import polars as pl

from c360.conform.parse import parse
from c360.conform.standardise import standardise
from c360.contracts.model import Column
from c360.errors import ContractError

REASONS = ("", "missing_required", "bad_type", "out_of_range", "not_allowed")
# Where a contract says nothing, a year outside these is a slip of the clock or of the unit.
DEFAULT_BOUNDS = {
    "timestamp": ("1970-01-01T00:00:00Z", "2100-12-31T23:59:59.999999Z"),
    "date": ("1970-01-01", "2100-12-31"),
}


@dataclass(frozen=True)
class Checked:
    """A column's standardised text, its typed values, and the index of the failing reason (None: no row fails)."""

    text: pl.Series
    values: pl.Series
    reasons: pl.Series | None


def check(received: pl.Series, column: Column) -> Checked:
    """Standardise, parse and check one column of text.

    Raises ContractError where the contract itself cannot be applied (unknown type or transform, a bound or pattern that
    does not parse).
    """
    text = standardise(received, column)
    values, well_formed = parse(text, column)
    missing = text.is_null() if column.required and text.null_count() else None
    bad = None if well_formed is None else _any(~well_formed)
    failures = [missing, bad, _out_of_range(text, values, well_formed, column), _not_allowed(text, column)]
    chain: pl.Expr | None = None
    for reason in range(len(failures), 0, -1):
        mask = failures[reason - 1]
        if mask is not None and mask.any():
            rest = pl.lit(0, pl.UInt8) if chain is None else chain
            chain = pl.when(mask).then(pl.lit(reason, pl.UInt8)).otherwise(rest)
    reasons = None if chain is None else pl.select(chain).to_series()
    return Checked(text.alias(column.name), values.alias(column.name), reasons)


def _any(mask: pl.Series) -> pl.Series | None:
    return mask if mask.any() else None


def _out_of_range(
    text: pl.Series, values: pl.Series, well_formed: pl.Series | None, column: Column
) -> pl.Series | None:
    if column.type == "string":
        if column.max_length is None or (text.str.len_bytes().max() or 0) <= column.max_length:  # type: ignore[operator]
            return None
        return text.str.len_chars() > column.max_length
    unfit = values.is_null() & text.is_not_null()
    out = unfit if well_formed is None else well_formed & values.is_null()
    low, high = DEFAULT_BOUNDS.get(column.type, (None, None))
    low, high = column.minimum or low, column.maximum or high
    if low is not None:
        out = out | (values < _bound(low, column.type)).fill_null(value=False)
    if high is not None:
        out = out | (values > _bound(high, column.type)).fill_null(value=False)
    return _any(out)


@cache
def _bound(text: str, type_: str) -> pl.Series:
    column = Column("bound", type_, standardise=("timestamp_utc",))
    value, well_formed = parse(pl.Series([text], dtype=pl.String), column)
    if value.null_count() or not (well_formed is None or well_formed.all()):
        raise ContractError(f"The contract's bound '{text}' is no {type_}", "correct the minimum or maximum")
    return value


def _not_allowed(text: pl.Series, column: Column) -> pl.Series | None:
    refused: pl.Series | None = None
    if column.enum:
        refused = _any(~text.is_in(column.enum))
    if column.pattern is not None:
        try:
            unlike = ~text.str.contains(column.pattern)
        except pl.exceptions.ComputeError as error:
            raise ContractError(
                f"Column '{column.name}' has a pattern that cannot be compiled: {column.pattern}",
                "write it without look-around and back-references",
            ) from error
        refused = _any(unlike if refused is None else refused | unlike)
    return refused
