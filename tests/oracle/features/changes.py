"""A change of a row as the shop tells it, and the shop's ledger as such changes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Row = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """What happened to one row: ``op`` is c, u, d or r (read anew); ``at`` is when it was committed.

    ``before`` and ``after`` are whole rows or None: there is nothing before an insertion and nothing after a deletion,
    and a source may leave out what was before. Moments are aware, amounts are Decimals. Two with the same ``lsn`` are
    one change told twice.
    """

    table: str
    op: str
    before: Row | None
    after: Row | None
    at: datetime
    lsn: int | None = None

    @property
    def content(self) -> Row | None:
        """What the change tells of the row."""
        return self.before if self.after is None else self.after


def of_ledger(rows: Iterable[Mapping[str, Any]]) -> Iterator[Change]:
    """The changes of a ledger (``table``, ``op``, ``key``, ``after`` as JSON, and ``at``) in its order."""
    known: dict[tuple[str, str], Row] = {}
    for row in rows:
        place = (row["table"], row["key"])
        after = None if row["after"] is None else _row(json.loads(row["after"]))
        yield Change(row["table"], row["op"], known.get(place), after, row["at"])
        if after is not None:
            known[place] = after


def _row(plain: Row) -> Row:
    return {name: _value(name, value) for name, value in plain.items()}


def _value(name: str, value: Any) -> Any:
    if isinstance(value, str) and name.endswith("_at"):
        return datetime.fromisoformat(value)
    if isinstance(value, str) and name.endswith(("_amount", "_price", "_cost")):
        return Decimal(value)
    return value
