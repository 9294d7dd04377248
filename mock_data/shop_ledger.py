"""The truth about the shop: one row for each change of a row that was committed, written as the play goes on."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl

from c360.errors import C360Error

if TYPE_CHECKING:
    from pathlib import Path

    from c360.cdc.envelope import Row
    from mock_data.shop_changes import Transaction

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "position": pl.Int64, "transaction": pl.Int64, "at": pl.Datetime("us", "UTC"), "table": pl.String,
    "op": pl.String, "key": pl.String, "after": pl.String,
}  # fmt: skip
"""Columns. ``position`` counts all changes from 1 in the order of their commit. ``key`` and ``after`` are JSON objects:
moments in ISO 8601 with their zone, dates as days in ISO 8601, amounts as text; ``after`` is null for a deletion.
"""
_PART = 50_000


@dataclass
class ShopLedger:
    """Collects rows and writes them to ``part-*.parquet``; ``counts.json`` closes it."""

    folder: Path
    _rows: list[tuple[Any, ...]] = field(default_factory=list)
    _parts: int = 0
    _position: int = 0
    _counts: dict[str, Counter[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.folder.exists() and any(self.folder.iterdir()):
            raise C360Error(f"{self.folder} already holds a ledger", "name another folder, or move it away")
        self.folder.mkdir(parents=True, exist_ok=True)

    @property
    def changes(self) -> int:
        """How many changes were told."""
        return self._position

    def add(self, transaction: Transaction) -> None:
        """A transaction that was committed."""
        for change in transaction.changes:
            self._position += 1
            after = None if change.after is None else plain(change.after)
            place = (self._position, transaction.number, transaction.at)
            self._rows.append((*place, change.table, change.op, plain(change.key), after))
            self._counts.setdefault(change.table, Counter())[change.op] += 1
        if len(self._rows) >= _PART:
            self._write()

    def close(self, **about: Any) -> dict[str, Any]:
        """Write what is left, and the counts together with what else is to be known about the play."""
        self._write()
        tables = {table: dict(sorted(counts.items())) for table, counts in sorted(self._counts.items())}
        found = {**about, "changes": self._position, "tables": tables}
        (self.folder / "counts.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        return found

    def _write(self) -> None:
        if self._rows:
            frame = pl.DataFrame(self._rows, schema=SCHEMA, orient="row")
            frame.write_parquet(self.folder / f"part-{self._parts:05}.parquet", compression="zstd")
            self._rows.clear()
            self._parts += 1


def plain(row: Row) -> str:
    """A row as JSON that a person can read."""
    return json.dumps(
        {name: value if isinstance(value, int | float | None) else _text(value) for name, value in row.items()},
        ensure_ascii=False,
    )


def _text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def read_ledger(folder: Path) -> pl.DataFrame:
    """All rows of a ledger, by position."""
    parts = sorted(folder.glob("part-*.parquet"))
    return pl.concat([pl.read_parquet(part) for part in parts]) if parts else pl.DataFrame(schema=SCHEMA)
