"""A release: the snapshots of all served tables that belong together.

The published snapshot of ``gold.customer_360`` names the snapshots it was computed from, those name theirs, and so on.
A table that is not among them (a mart beside it) counts as of the same run, or of the last commit before. Nothing but
the tables' own snapshots is read, so a release of any kept moment can be found again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from c360.errors import LakehouseError
from c360.lakehouse import ledger
from c360.lakehouse.snapshots import published, resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pyiceberg.table import Table

    from c360.lakehouse import Lakehouse
    from c360.lakehouse.ledger import CommitInfo

ANCHOR = "gold.customer_360"


@dataclass(frozen=True)
class Release:
    """Which snapshot of each table; ``id`` is the anchor's.

    ``as_of`` is the moment that decided recency and segments, ``published_at`` when it became readable, both UTC.
    """

    id: int
    as_of: datetime
    published_at: datetime
    snapshots: Mapping[str, int]


def release(lake: Lakehouse, tables: Iterable[str], as_of: datetime | None = None) -> Release:
    """The release published now, or last at or before ``as_of`` (aware).

    Raises:
        LakehouseError: there is none, or a snapshot of it has expired.
    """
    if not lake.exists(ANCHOR):
        raise LakehouseError(f"{ANCHOR} does not exist yet", "materialise the gold tables first")
    table = lake.table(ANCHOR)
    anchor = _commit(table, ANCHOR, resolve(table, ANCHOR, as_of=as_of))
    found = {ANCHOR: anchor.snapshot_id}
    _follow(lake, anchor, found)
    for name in tables:
        if name not in found:
            found[name] = _beside(lake, name, anchor)
    business = anchor.extra.get(ledger.AS_OF)
    # A snapshot is made before its audit and readable after it.
    readable = [moment for moment, snapshot in published(table) if snapshot == anchor.snapshot_id]
    return Release(
        id=anchor.snapshot_id,
        as_of=datetime.fromisoformat(business) if business else anchor.committed_at,
        published_at=min(readable, default=anchor.committed_at),
        snapshots=found,
    )


def moments(lake: Lakehouse) -> list[tuple[datetime, str]]:
    """From when on which release (its id) was the published one, in the order of publishing.

    By the same rule as :func:`release`, for moments whose snapshot is kept; the id is empty where it would raise.
    """
    if not lake.exists(ANCHOR):
        return []
    table, found = lake.table(ANCHOR), []
    for moment, snapshot in published(table):
        try:
            found.append((moment, str(_commit(table, ANCHOR, snapshot).snapshot_id)))
        except LakehouseError:
            found.append((moment, ""))
    return found


def _commit(table: Table, name: str, snapshot_id: int | None) -> CommitInfo:
    """The commit of data that a snapshot shows: its own, or the last before upkeep."""
    for snapshot in ledger.ancestry(table, snapshot_id):
        info = ledger.read_commit(snapshot)
        if info.run_id is not None and info.upkeep is None:
            return info
    raise LakehouseError(f"{name} holds no published rows", f"materialise {name} first")


def _follow(lake: Lakehouse, commit: CommitInfo, found: dict[str, int]) -> None:
    for name, snapshot in commit.sources.items():
        if name in found or not lake.exists(name):
            continue
        table = lake.table(name)
        if table.snapshot_by_id(snapshot) is None:
            raise LakehouseError(
                f"The snapshot {snapshot} of {name} that {ANCHOR} was computed from has expired",
                "materialise the gold tables again, or ask for a later moment",
            )
        found[name] = snapshot
        if name.startswith("gold."):
            _follow(lake, _commit(table, name, snapshot), found)


def _beside(lake: Lakehouse, name: str, anchor: CommitInfo) -> int:
    if not lake.exists(name):
        raise LakehouseError(f"{name} does not exist yet", f"materialise {name} first")
    table = lake.table(name)
    for snapshot in ledger.lineage(table):
        info = ledger.read_commit(snapshot)
        if info.run_id is None or info.upkeep is not None:
            continue
        if info.run_id == anchor.run_id or info.committed_at <= anchor.committed_at:
            return info.snapshot_id
    raise LakehouseError(
        f"{name} has no snapshot as old as {anchor.committed_at.isoformat()}", "ask for a later moment"
    )
