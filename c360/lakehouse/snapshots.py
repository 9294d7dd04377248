"""Time travel: which snapshot a name, an id or a moment means, and moving the published one back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pyiceberg.table.refs import MAIN_BRANCH, SnapshotRefType

from c360.errors import LakehouseError
from c360.lakehouse.ledger import CommitInfo, lineage, read_commit
from c360.lakehouse.refs import drop, expect, point, stage

if TYPE_CHECKING:
    from pyiceberg.table import Table, Transaction


def current_id(table: Table) -> int | None:
    """The published snapshot's id; None for a table without any."""
    snapshot = table.current_snapshot()
    return snapshot.snapshot_id if snapshot else None


def resolve(
    table: Table, name: str, snapshot_id: int | None = None, as_of: datetime | None = None, ref: str | None = None
) -> int | None:
    """The snapshot id meant by at most one of the three; None means the published one.

    ``as_of`` means what readers saw at that moment (the snapshot published last at or before it). Raises LakehouseError
    when there is none.
    """
    if sum(x is not None for x in (snapshot_id, as_of, ref)) > 1:
        raise LakehouseError(f"{name} was asked for at two points at once", "give one of snapshot_id, as_of and ref")
    if snapshot_id is not None:
        if table.snapshot_by_id(snapshot_id) is None:
            raise LakehouseError(
                f"{name} has no snapshot {snapshot_id}; it has expired or never was",
                f"pick one that 'c360 tables history {name}' lists",
            )
        return snapshot_id
    if as_of is not None:
        return _as_of(table, name, as_of)
    if ref is not None:
        snapshot = table.snapshot_by_name(ref)
        if snapshot is None:
            known = ", ".join(sorted(table.refs()))
            raise LakehouseError(f"{name} has no branch or tag '{ref}'", f"use one of: {known}")
        return snapshot.snapshot_id
    return None


def _as_of(table: Table, name: str, as_of: datetime) -> int:
    if as_of.tzinfo is None:
        raise LakehouseError(f"The moment {as_of.isoformat()} has no time zone", "give it with a zone, such as +00:00")
    entries = published(table)
    seen = [snapshot for moment, snapshot in entries if moment <= as_of]
    if not seen:
        first = entries[0][0].isoformat() if entries else "never"
        raise LakehouseError(
            f"{name} has no snapshot as old as {as_of.isoformat()}", f"ask for a moment from {first} on"
        )
    return seen[-1]


def history(table: Table) -> list[CommitInfo]:
    """The published snapshots still kept, newest first."""
    return [read_commit(snapshot) for snapshot in lineage(table)]


def published(table: Table) -> list[tuple[datetime, int]]:
    """When each snapshot still kept became the published one, oldest first; after a rollback one is there twice."""
    entries = [each for each in table.history() if table.snapshot_by_id(each.snapshot_id) is not None]
    return [(datetime.fromtimestamp(each.timestamp_ms / 1000, tz=UTC), each.snapshot_id) for each in entries]


def move_main(table: Table, snapshot_id: int, expected: int | None) -> Transaction:
    """A change that sets the published snapshot, refused by the catalog unless it still is ``expected``."""
    transaction = table.transaction()
    main = point(MAIN_BRANCH, snapshot_id, SnapshotRefType.BRANCH, like=table.refs().get(MAIN_BRANCH))
    stage(transaction, (main,), (expect(MAIN_BRANCH, expected),))
    return transaction


def rollback(table: Table, name: str, snapshot_id: int) -> Transaction | None:
    """A change that makes an earlier published snapshot the published one again; later ones are kept, not deleted."""
    if snapshot_id == current_id(table):
        return None
    if snapshot_id not in {entry.snapshot_id for entry in table.history()} | {s.snapshot_id for s in lineage(table)}:
        raise LakehouseError(
            f"Snapshot {snapshot_id} of {name} was never published",
            f"pick one that 'c360 tables history {name}' lists",
        )
    return move_main(table, snapshot_id, current_id(table))


def tag(table: Table, name: str, label: str, snapshot_id: int) -> Transaction | None:
    """A change that creates the tag; None when it points there already."""
    existing = table.refs().get(label)
    if existing is not None:
        if existing.snapshot_id == snapshot_id and existing.snapshot_ref_type == SnapshotRefType.TAG:
            return None
        raise LakehouseError(f"{name} already has a branch or tag '{label}'", "choose another name, or drop it first")
    transaction = table.transaction()
    stage(transaction, (point(label, snapshot_id, SnapshotRefType.TAG),), (expect(label, None),))
    return transaction


def untag(table: Table, name: str, label: str) -> Transaction:
    """A change that drops the tag."""
    existing = table.refs().get(label)
    if existing is None or existing.snapshot_ref_type != SnapshotRefType.TAG:
        raise LakehouseError(f"{name} has no tag '{label}'", f"pick one that 'c360 tables history {name}' lists")
    transaction = table.transaction()
    stage(transaction, (drop(label),), (expect(label, existing.snapshot_id),))
    return transaction
