"""The truth about a play: one row for each message that the broker acknowledged, written as the play goes on."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "topic": pl.String, "partition": pl.Int32, "offset": pl.Int64, "event_id": pl.String, "event_type": pl.String,
    "event_timestamp": pl.Datetime("us", "UTC"), "measure": pl.String,
    "measured": pl.Decimal(38, 6), "defect": pl.String,
    "outcome": pl.String, "reason": pl.String,
    "arrived": pl.Datetime("ms", "UTC"), "late": pl.Boolean,
}  # fmt: skip
"""Columns. ``event_id`` is null where a reader cannot know it, ``measured`` where there is
nothing to sum up; ``measure`` says what it is.

``outcome`` is ``accepted``, ``deduplicated`` (the same event again) or ``rejected`` for ``reason``. ``arrived`` is the
message's timestamp, null where the broker's clock decided; ``late`` is true for an accepted event that happened longer
before than its topic waits for.
"""
_PART = 50_000


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def millis(moment: datetime) -> int:
    """A moment as Kafka tells it: milliseconds since 1970, cut off."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


@dataclass
class Ledger:
    """Collects rows and writes them to ``part-*.parquet``; ``counts.json`` closes it."""

    folder: Path
    _rows: list[tuple[Any, ...]] = field(default_factory=list)
    _parts: int = 0
    _counts: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, row: tuple[Any, ...]) -> None:
        """One acknowledged message: the values of the columns in order."""
        self._rows.append(row)
        topic, defect, outcome, reason, late = row[0], row[8], row[9], row[10], row[12]
        counts = self._counts.setdefault(topic, Counter())
        counts["sent"] += 1
        counts[outcome] += 1
        if late:
            counts["late"] += 1
        if reason:
            counts[f"rejected:{reason}"] += 1
        if defect:
            counts[f"defect:{defect}"] += 1
        if len(self._rows) >= _PART:
            self._write()

    def close(self, **about: Any) -> dict[str, Any]:
        """Write what is left, and the counts together with what else is to be known about the play."""
        self._write()
        found = {**about, "topics": {topic: dict(sorted(n.items())) for topic, n in sorted(self._counts.items())}}
        (self.folder / "counts.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return found

    def _write(self) -> None:
        if self._rows:
            frame = pl.DataFrame(self._rows, schema=SCHEMA, orient="row")
            frame.write_parquet(self.folder / f"part-{self._parts:05}.parquet", compression="zstd")
            self._rows.clear()
            self._parts += 1
