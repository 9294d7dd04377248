"""What a right reader must make of the landing files: clean tables, the ledger of defects, and the counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from mock_data.defects import (
    CONTRADICTORY,
    ENCODING,
    EXACT,
    FORMATTING,
    KINDS,
    LATE,
    MALFORMED,
    MESSY,
    ORPHAN,
    Plan,
)
from mock_data.entities import MOMENT, Entity
from mock_data.landing import file_name
from mock_data.spoil import BROKEN

_OUTCOMES = np.full(len(KINDS), 2)
_OUTCOMES[[0, MESSY, LATE, ORPHAN]] = 0
_OUTCOMES[[EXACT, FORMATTING]] = 1
OUTCOMES = ["accepted", "deduplicated", "rejected"]
REASONS = {
    kind: "conflicting_duplicate" if index == CONTRADICTORY
    else "malformed_record" if index == MALFORMED
    else kind if _OUTCOMES[index] == 2
    else None
    for index, kind in enumerate(KINDS)
}  # fmt: skip
"""Defect → the reason a reader rejects it for (None: it does not)."""


def write_clean(path: Path, entity: Entity, clean: pl.DataFrame) -> None:
    """Write a clean table. Dictionaries only where values repeat: trying them on keys takes most of the time."""
    repeating = [c for c, t in entity.columns.items() if t != MOMENT and c not in {entity.key[0], "session_id"}]
    _write(path, clean, repeating)


def write_ledger(path: Path, rows: list[pl.DataFrame]) -> None:
    """Write the ledger of all entities."""
    table = pl.concat(rows)
    _write(path, table, [c for c in table.columns if c not in {"row", "key"}])


def _write(path: Path, frame: pl.DataFrame, repeating: list[str]) -> None:
    pq.write_table(
        frame.to_arrow(compat_level=pl.CompatLevel.oldest()), path,
        compression="zstd", compression_level=1, use_dictionary=repeating,  # type: ignore[arg-type]  # the stubs know one form only
        store_schema=False,
    )  # fmt: skip


def ledger(entity: Entity, clean: pl.DataFrame, plan: Plan, dates: list[str]) -> pl.DataFrame:
    """One row per defective landed record, in landing order.

    ``key`` is the business key, its parts joined by ``|``; null where a reader cannot know it.
    """
    at = np.flatnonzero(plan.kind)
    kind, way = plan.kind[at], plan.way[at]
    files = pl.Series([file_name(entity, day) for day in dates], dtype=pl.String)
    names = pl.Series(KINDS)
    frame = pl.DataFrame(
        {
            "entity": pl.repeat(entity.name, len(at), eager=True, dtype=pl.String),
            "file": files.gather(plan.day[at]),
            "row": plan.row[at],
            "defect": names.gather(kind.astype(np.int64)),
            "outcome": pl.Series(OUTCOMES).gather(_OUTCOMES[kind]),
            "reason": pl.Series([REASONS[k] for k in KINDS], dtype=pl.String).gather(kind.astype(np.int64)),
            "way": way,
        }
    )
    key = clean.select(pl.concat_str(list(entity.key), separator="|")).to_series().gather(plan.base[at])
    column = pl.lit(None, dtype=pl.String)
    places = {**BROKEN[entity.name], "orphan": tuple((c, "") for c in entity.parents)}
    for defect, ways in places.items():
        for number, (name, _) in enumerate(ways):
            hit = (pl.col("defect") == defect) & (pl.col("way") == number)
            column = pl.when(hit).then(pl.lit(name)).otherwise(column)
    unreadable = pl.col("defect").is_in([KINDS[MALFORMED], KINDS[ENCODING]])
    broken_key = (pl.col("column_name").is_in(entity.key) & (pl.col("outcome") == "rejected")).fill_null(
        pl.lit(value=False)
    )
    return (
        frame.with_columns(column.alias("column_name"), key.alias("key"))
        .with_columns(pl.when(~(unreadable | broken_key)).then("key").alias("key"))
        .drop("way")
    )


def counts(plan: Plan, dates: list[str]) -> dict[str, Any]:
    """Landed records of one entity: in total, by outcome, by reason, by defect, and by day."""
    kinds = np.bincount(plan.kind, minlength=len(KINDS))
    by_kind = {KINDS[i]: int(n) for i, n in enumerate(kinds) if n}
    outcome = _OUTCOMES[plan.kind]
    daily = np.bincount(plan.day * 3 + outcome, minlength=len(dates) * 3).reshape(-1, 3).tolist()
    rejected: dict[str, int] = {}
    for kind, n in by_kind.items():
        reason = REASONS[kind]
        if reason:
            rejected[reason] = rejected.get(reason, 0) + n
    accepted, deduplicated, _ = np.bincount(outcome, minlength=3).tolist()
    return {
        "generated": len(plan.kind),
        "accepted": accepted,
        "deduplicated": deduplicated,
        "rejected": dict(sorted(rejected.items())),
        "defects": {kind: n for kind, n in by_kind.items() if kind},
        "days": {
            day: {"generated": sum(n), "accepted": n[0], "deduplicated": n[1], "rejected": n[2]}
            for day, n in zip(dates, daily, strict=True)
            if sum(n)
        },
    }
