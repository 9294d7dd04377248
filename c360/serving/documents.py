"""Rows to documents: ready JSON, made again only where a row has changed.

Times are ISO 8601 in UTC with microseconds, dates ISO 8601, decimals text (a JSON number would lose their last digits).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from c360.serving.model import Source

TIMESTAMP = "%Y-%m-%dT%H:%M:%S%.6fZ"
KEY_SEPARATOR = "|"


def keyed(rows: pl.DataFrame, source: Source) -> pl.DataFrame:
    """The rows with the document's key as text in ``_key``, without those whose key is null."""
    parts = [pl.col(name).cast(pl.String) for name in source.key]
    return rows.with_columns(pl.concat_str(parts, separator=KEY_SEPARATOR).alias("_key")).filter(
        pl.col("_key").is_not_null()
    )


def digests(rows: pl.DataFrame, source: Source) -> pl.DataFrame:
    """``_key`` and ``_digest`` (a signed 64-bit number), one row per document: equal if all records of it are."""
    content = rows.select(pl.exclude("_key", *source.apart))
    hashed = rows.select("_key", content.hash_rows(360).reinterpret(signed=True).alias("_digest"))
    if not source.many:
        return hashed
    return hashed.group_by("_key").agg(pl.col("_digest").sum())


def documents(rows: pl.DataFrame, source: Source) -> pl.DataFrame:
    """``_key`` and ``_body`` (JSON text), sorted by key."""
    content = [name for name in rows.columns if name not in ("_key", *source.apart)]
    if not source.many:
        return rows.select("_key", _json(rows, content)).sort("_key")
    newest = rows.sort("_key", *source.order, descending=[False, *[True] * len(source.order)], nulls_last=True)
    return (
        newest.select("_key", _json(rows, content))
        .group_by("_key", maintain_order=True)
        .agg(pl.col("_body").str.join(","))
        .select("_key", pl.format("[{}]", "_body").alias("_body"))
    )


def _json(rows: pl.DataFrame, columns: Sequence[str]) -> pl.Expr:
    return pl.struct(plain(rows, columns)).struct.json_encode().alias("_body")


def plain(rows: pl.DataFrame, columns: Sequence[str]) -> list[pl.Expr]:
    """The columns in the types that JSON has."""
    found = []
    for name in columns:
        column, kind = pl.col(name), rows.schema[name]
        if isinstance(kind, pl.Datetime):
            column = column.dt.convert_time_zone("UTC").dt.to_string(TIMESTAMP)
        elif isinstance(kind, pl.Date | pl.Decimal):
            column = column.cast(pl.String)
        found.append(column.alias(name))
    return found
