"""Columns of many values at once: what :func:`c360.cdc.values.read_value` does to one, on arrays.

Each conversion gives whole numbers and the places where it could not; those rows are then read one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from c360.cdc.values import EXACT_FLOAT, FIRST_MOMENT, UNAVAILABLE
from c360.contracts.vocabulary import decimal_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from c360.cdc.schema import ShopColumn

_BYTES = 8
_MOMENT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6})?Z$"
_BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"

Failed = np.ndarray[Any, np.dtype[np.bool_]]


def column_of(column: ShopColumn, values: Sequence[Any]) -> tuple[list[Any] | pl.Series, Failed]:
    """Values as they stand in JSON (nulls allowed) as :func:`arrow_column` takes them, and where that failed."""
    if column.scale is not None:
        return _unscaled(column, pl.Series(values, dtype=pl.String))
    if column.type == "timestamp":
        return _moments(pl.Series(values, dtype=pl.String))
    if column.type == "string":
        found = pl.Series(values, dtype=pl.String)
        return found, _where(found == UNAVAILABLE)
    if column.type == "double":
        found = pl.Series(values, dtype=pl.Float64)
        return found, _where(found.abs() >= EXACT_FLOAT)
    kinds: dict[str, Any] = {"int": pl.Int64, "long": pl.Int64, "date": pl.Int64, "boolean": pl.Boolean}
    return pl.Series(values, dtype=kinds[column.type]), np.zeros(len(values), dtype=np.bool_)


def arrow_column(type_: str, values: Sequence[Any] | pl.Series) -> pa.Array[Any]:
    """An Arrow array of a contract's type: of texts, floats, truth values, or whole numbers for all others."""
    decimal = decimal_of(type_)
    if decimal is not None:
        return _decimals(values, *decimal)
    plain: dict[str, tuple[Any, pa.DataType]] = {
        "string": (pl.String, pa.string()),
        "double": (pl.Float64, pa.float64()),
        "boolean": (pl.Boolean, pa.bool_()),
        "int": (pl.Int64, pa.int32()),
        "long": (pl.Int64, pa.int64()),
        "date": (pl.Int64, pa.date32()),
        "timestamp": (pl.Int64, pa.timestamp("us", tz="UTC")),
    }
    kind, wanted = plain[type_]
    series = values if isinstance(values, pl.Series) else pl.Series(values, dtype=kind)
    found = series.to_arrow()
    if type_ == "date":
        return found.cast(pa.int32()).view(wanted)
    return found.view(wanted) if type_ == "timestamp" else found.cast(wanted)


def _decimals(values: Sequence[Any] | pl.Series, precision: int, scale: int) -> pa.Array[Any]:
    kind = pa.decimal128(precision, scale)
    if not isinstance(values, pl.Series):
        from decimal import Context

        exact = Context(prec=38)
        found = [None if value is None else exact.create_decimal(value).scaleb(-scale, exact) for value in values]
        return pa.array(found, kind)
    low = values.fill_null(0).to_numpy()
    both = np.empty((len(low), 2), dtype=np.int64)
    both[:, 0], both[:, 1] = low, low >> 63
    valid = np.packbits(values.is_not_null().to_numpy(), bitorder="little")
    return pa.Array.from_buffers(kind, len(low), [pa.py_buffer(valid.tobytes()), pa.py_buffer(both.tobytes())])


def _unscaled(column: ShopColumn, texts: pl.Series) -> tuple[pl.Series, Failed]:
    decoded = texts.set(~texts.str.contains(_BASE64).fill_null(value=True), None).str.decode("base64", strict=False)
    sizes = decoded.bin.size().fill_null(0).cast(pl.Int64).to_numpy()
    found = np.zeros(len(texts), dtype=np.int64)
    for size in range(1, _BYTES + 1):
        at = np.flatnonzero(sizes == size)
        if len(at):
            raw = np.frombuffer(b"".join(decoded.gather(at).to_list()), dtype=np.uint8).reshape(-1, size)
            wide = np.empty((len(at), _BYTES), dtype=np.uint8)
            wide[:, : _BYTES - size] = np.where(raw[:, :1] >> 7, 255, 0)
            wide[:, _BYTES - size :] = raw
            found[at] = wide.view(">i8").ravel()
    given = texts.is_not_null().to_numpy()
    failed = given & ((sizes == 0) | (sizes > _BYTES))
    precision, _ = decimal_of(column.type) or (0, 0)
    if precision <= 18:
        failed |= np.abs(found.astype(np.float64)) >= 10.0**precision
        failed |= np.abs(found) >= 10**precision
    return pl.Series(found).set(pl.Series(~given), None), failed


def _moments(texts: pl.Series) -> tuple[pl.Series, Failed]:
    given = texts.is_not_null().to_numpy()
    plain = texts.set(~texts.str.contains(_MOMENT).fill_null(value=True), None)
    parsed = plain.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC", strict=False)
    micros = parsed.cast(pl.Int64)
    failed = (given & micros.is_null().to_numpy()) | _where(micros < FIRST_MOMENT)
    return micros, failed


def _where(condition: pl.Series) -> Failed:
    return condition.fill_null(value=False).to_numpy().astype(np.bool_)
