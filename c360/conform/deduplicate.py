"""One row per primary key: the first stays, an equal one is recorded, a contradicting one is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

KEPT = ("kept_file", "kept_row")


@dataclass(frozen=True)
class Sorted:
    """Valid rows by fate. ``equal`` and ``conflicting`` carry the position of the row that stays (:data:`KEPT`)."""

    first: pl.DataFrame
    equal: pl.DataFrame
    conflicting: pl.DataFrame
    skipped: pl.DataFrame


def deduplicate(rows: pl.DataFrame, existing: pl.DataFrame | None, key: Sequence[str], body: Sequence[str]) -> Sorted:
    """Sort rows (in order of precedence) by fate, against each other and the rows already in the table.

    Rows are compared by all columns of ``body``, null equal to null: no hash, so no collision and no dependence on a
    library's version. A row whose position the table already holds is skipped.
    """
    fresh, skipped = rows, rows.clear()
    equal, conflicting = [], []
    if existing is not None and existing.height:
        known = existing.unique(subset=list(key), keep="first", maintain_order=True)
        hits = _compare(rows.join(known.select(key), on=key, how="semi", nulls_equal=True), known, key, body)
        fresh = rows.join(known.select(key), on=key, how="anti", nulls_equal=True, maintain_order="left")
        at_place = (pl.col("_source_file") == pl.col(KEPT[0])) & (pl.col("_source_row") == pl.col(KEPT[1]))
        skipped = hits.filter(at_place)
        hits = hits.filter(~at_place)
        equal.append(hits.filter("same"))
        conflicting.append(hits.filter(~pl.col("same")))
    identity = pl.col(key[0]) if len(key) == 1 else pl.struct(key)
    is_first = fresh.select(identity.is_first_distinct()).to_series()
    first = fresh if is_first.all() else fresh.filter(is_first)
    if first.height < fresh.height:
        later = fresh.filter(~is_first)
        kept = first.join(later.select(key), on=key, how="semi", nulls_equal=True)
        compared = _compare(later, kept, key, body)
        equal.append(compared.filter("same"))
        conflicting.append(compared.filter(~pl.col("same")))
    empty = _compare(rows.clear(), rows.clear(), key, body)
    return Sorted(first, pl.concat([empty, *equal]), pl.concat([empty, *conflicting]), skipped)


def _compare(rows: pl.DataFrame, kept: pl.DataFrame, key: Sequence[str], body: Sequence[str]) -> pl.DataFrame:
    """Each row beside the kept row of its key: the kept position, and whether the bodies are the same."""
    other = kept.select(*key, *(pl.col(name).alias(f"kept:{name}") for name in (*body, "_source_file", "_source_row")))
    pairs = rows.join(other, on=key, how="left", nulls_equal=True, maintain_order="left")
    same = pl.all_horizontal(pl.lit(value=True), *(pl.col(n).eq_missing(pl.col(f"kept:{n}")) for n in body))
    return pairs.select(
        *rows.columns,
        pl.col("kept:_source_file").alias(KEPT[0]),
        pl.col("kept:_source_row").alias(KEPT[1]),
        same.alias("same"),
    )
