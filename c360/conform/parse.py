"""Text to types, exactly: never a guess, never a rounding.

Each parser returns the values and a mask of well-formed texts (None if all are; null where the text is null). A
well-formed text whose value does not fit its type (``1e999``, eleven digits before the point of a ``decimal(12,2)``)
has no value: it is out of range, not of bad type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from c360.errors import ContractError

if TYPE_CHECKING:
    from c360.contracts.model import Column

_INTEGER = r"^[+-]?[0-9]+(?:\.0*)?$"
_NUMBER = r"^[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"
_DAY = (
    r"(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))|(?:[0-9][0-9](?:0[48]|[2468][048]|[13579][26])"
    r"|(?:[02468][048]|[13579][26])00)-02-29)"
)
_OFFSET = r"(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)"
_TIME = r"[T ](?:[01][0-9]|2[0-3])(?::[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?)?"
_MIDNIGHT = r"(?:[T ]00(?::00(?::00(?:\.0{1,9})?)?)?(?:Z|[+-]00(?::?00)?)?)?"
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")

Parsed = tuple[pl.Series, pl.Series | None]


def parse(text: pl.Series, column: Column) -> Parsed:
    """Values of the column's type, and which texts are well-formed (None: all of them).

    Raises ContractError for a type that contracts do not have.
    """
    match column.type:
        case "string":
            return text, None
        case "int":
            values, well_formed = _integers(text)
            return values.cast(pl.Int32, strict=False), well_formed
        case "long":
            return _integers(text)
        case "double":
            return _doubles(text)
        case "boolean":
            return _booleans(text)
        case "date":
            return _dates(text)
        case "timestamp":
            return timestamps(text, naive_is_utc="timestamp_utc" in column.standardise)
        case type_ if type_.startswith("decimal("):
            precision, scale = (int(n) for n in type_[len("decimal(") : -1].split(","))
            return _decimals(text, precision, scale)
        case unknown:
            raise ContractError(
                f"Column '{column.name}' has the unknown type '{unknown}'",
                "use string, int, long, double, boolean, date, timestamp or decimal(p,s)",
            )


def _integers(text: pl.Series) -> Parsed:
    values = text.cast(pl.Int64, strict=False)
    if values.null_count() == text.null_count():
        return values, None
    # The plain cast took all that is digits alone; what is left may be "5.0" or too long.
    well_formed = text.str.contains(_INTEGER)
    whole = _where(well_formed, text.str.replace(r"\.0*$", ""))
    return whole.cast(pl.Int64, strict=False), well_formed


def _doubles(text: pl.Series) -> Parsed:
    values = text.cast(pl.Float64, strict=False)
    finite = values.is_finite()
    if finite.all() and values.null_count() == text.null_count():
        return _unsigned_zero(values), None
    well_formed = text.str.contains(_NUMBER)
    # The cast knows no bare point at the end ("5."): give it the zero.
    padded = text.str.replace(r"^([+-]?[0-9]+)\.($|[eE])", "${1}.0${2}")
    values = _unsigned_zero(padded.cast(pl.Float64, strict=False))
    return _where(well_formed & values.is_finite(), values), well_formed


def _unsigned_zero(values: pl.Series) -> pl.Series:
    """The values with 0 for -0: equal numbers must look equal (adding 0.0 is optimised away)."""
    zero = values == 0
    return pl.select(pl.when(zero).then(0.0).otherwise(values)).to_series() if zero.any() else values


def _decimals(text: pl.Series, precision: int, scale: int) -> Parsed:
    """Exact: more decimals than the scale are bad, unless they are zeros."""
    decimals = rf"(?:\.[0-9]{{0,{scale}}}0*)?"
    well_formed = text.str.contains(rf"^[+-]?(?:[0-9]+{decimals}|\.[0-9]{{1,{max(scale, 1)}}}0*)$")
    if scale == 0:
        well_formed = well_formed & ~text.str.contains(r"^[+-]?\.[1-9]")
    return _where(well_formed, text).cast(pl.Decimal(precision, scale), strict=False), well_formed


def _booleans(text: pl.Series) -> Parsed:
    lowered = text.str.to_lowercase()
    values = lowered.is_in(_TRUE)
    return values, values | lowered.is_in(_FALSE)


def _dates(text: pl.Series) -> Parsed:
    well_formed = text.str.contains(f"^{_DAY}{_MIDNIGHT}$")
    return _cast(_where(well_formed, text.str.slice(0, 10)), pa.date32()), well_formed


def timestamps(text: pl.Series, *, naive_is_utc: bool) -> Parsed:
    """ISO 8601 to UTC microseconds: ``T`` or a space, any offset, up to nine decimals (cut to six), or a day alone."""
    offset = f"{_OFFSET}?" if naive_is_utc else _OFFSET
    well_formed = text.str.contains(f"^{_DAY}(?:{_TIME}{offset}){'?' if naive_is_utc else ''}$")
    whole = text if well_formed.all() else _where(well_formed, text)
    if naive_is_utc and not whole.str.ends_with("Z").all():
        days, zoned = whole.str.len_bytes() == len("2025-01-31"), whole.str.contains(rf"[T ].*{_OFFSET}$")
        whole = pl.select(pl.when(days).then(whole + "T00Z").when(zoned).then(whole).otherwise(whole + "Z")).to_series()
    cut = r"(\.[0-9]{6})[0-9]+"
    if whole.str.contains(cut).any():
        whole = whole.str.replace(cut, "${1}")
    return _cast(whole, pa.timestamp("us", tz="UTC")), well_formed


def _where(mask: pl.Series, values: pl.Series) -> pl.Series:
    """The values where the mask holds, null elsewhere."""
    return pl.select(pl.when(mask).then(values)).to_series()


def _cast(text: pl.Series, type_: pa.DataType) -> pl.Series:
    """Arrow's ISO 8601 parser: several times faster than Polars', but it fails as a whole, hence the masks before."""
    return pl.Series(text.to_arrow().cast(type_))
