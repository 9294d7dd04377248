"""Parquet as canonical text, so that bronze holds one type whatever the system that wrote the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from c360.errors import LandingError
from c360.ingest.encoding import escape
from c360.ingest.records import BAD_ENCODING, Records, Refused, check_columns, spread

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from c360.ingest.records import StringArray


def read_parquet(data: bytes, where: str, declared: Sequence[str], required: Collection[str]) -> Records:
    """The rows of a Parquet file as text: ISO 8601 dates and times, exact decimals, shortest floats, true/false.

    Raises LandingError for a truncated or foreign file, and for missing required columns.
    """
    try:
        table = pq.ParquetFile(pa.BufferReader(data)).read()
    except (pa.ArrowException, OSError) as error:
        raise LandingError(
            f"{where} is no complete Parquet file ({str(error).splitlines()[0][:120]})",
            "land it again from its source; it was cut short or is of another format",
        ) from error
    names = table.column_names
    check_columns(where, names, declared, required)
    columns: dict[str, StringArray] = {}
    broken = np.zeros(table.num_rows, dtype=bool)
    for name in names:
        array = table.column(name).combine_chunks()
        text = _text(array)
        broken |= (array.is_valid().to_numpy(zero_copy_only=False)) & (text.is_null().to_numpy(zero_copy_only=False))
        columns[name] = text
    refused: list[Refused] = []
    if broken.any():
        kept = np.flatnonzero(~broken)
        for index in np.flatnonzero(broken):
            row = {name: _readable(table.column(name)[int(index)], columns[name][int(index)]) for name in names}
            refused.append(Refused(int(index), orjson.dumps(row).decode(), BAD_ENCODING))
        columns = {name: spread(column.take(kept), kept, len(broken)) for name, column in columns.items()}
    objects = None
    extra = [name for name in names if name not in declared]
    if extra and table.num_rows:
        frame = pl.DataFrame({name: pl.Series(columns[name]) for name in extra})
        objects = frame.select(pl.struct(pl.all()).struct.json_encode()).to_series().to_arrow().cast(pa.string())
    found = {name: column for name, column in columns.items() if name in declared}
    return Records(table.num_rows, found, objects, refused, tuple(names))


def _readable(value: pa.Scalar[Any], text: pa.Scalar[Any]) -> str | None:
    raw = value.as_py()
    return escape(raw) if isinstance(raw, bytes) else text.as_py()


def _text(array: pa.Array[Any]) -> StringArray:
    """Canonical text of a typed column; null where the value is null or its bytes are no UTF-8."""
    kind = array.type
    if isinstance(kind, pa.DictionaryType):
        return _text(array.cast(kind.value_type))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        binary = array.cast(pa.large_binary()) if pa.types.is_large_string(kind) else array.cast(pa.binary())
        return _text(binary)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        try:
            return array.cast(pa.binary()).cast(pa.string())
        except pa.ArrowInvalid:
            return pa.array([None if value is None else _utf8(value) for value in array.to_pylist()], pa.string())
    if pa.types.is_timestamp(kind):
        return _timestamps(array)
    if pa.types.is_nested(kind):
        values = (None if value is None else orjson.dumps(value, default=str).decode() for value in array.to_pylist())
        return pa.array(values, pa.string())
    if pa.types.is_floating(kind):
        plain = array.cast(pa.float32()) if kind == pa.float16() else array
        return plain.cast(pa.string())
    return array.cast(pa.string())


def _utf8(value: bytes) -> str | None:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _timestamps(array: pa.Array[Any]) -> StringArray:
    """ISO 8601 with six digits (nine where the file has nanoseconds); ``Z`` where the file knows the zone."""
    series = pl.Series(array)
    assert isinstance(series.dtype, pl.Datetime)
    digits = "%.9f" if series.dtype.time_unit == "ns" else "%.6f"
    suffix = "Z" if series.dtype.time_zone else ""
    if suffix:
        series = series.dt.convert_time_zone("UTC")
    return series.dt.to_string(f"%Y-%m-%dT%H:%M:%S{digits}{suffix}").to_arrow().cast(pa.string())
