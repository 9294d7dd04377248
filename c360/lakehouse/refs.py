"""Branches and tags as single catalog updates, each with the condition under which the catalog may apply it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyiceberg.table.update import AssertRefSnapshotId, RemoveSnapshotRefUpdate, SetSnapshotRefUpdate

if TYPE_CHECKING:
    from pyiceberg.table import Table, Transaction
    from pyiceberg.table.refs import SnapshotRef, SnapshotRefType


def point(ref: str, snapshot_id: int, kind: SnapshotRefType, like: SnapshotRef | None = None) -> SetSnapshotRefUpdate:
    """Point ``ref`` at a snapshot, keeping the retention settings of ``like``."""
    return SetSnapshotRefUpdate.model_validate(
        {
            "ref-name": ref,
            "type": kind,
            "snapshot-id": snapshot_id,
            "max-ref-age-ms": like.max_ref_age_ms if like else None,
            "max-snapshot-age-ms": like.max_snapshot_age_ms if like else None,
            "min-snapshots-to-keep": like.min_snapshots_to_keep if like else None,
        }
    )


def drop(ref: str) -> RemoveSnapshotRefUpdate:
    """Drop a branch or tag."""
    return RemoveSnapshotRefUpdate.model_validate({"ref-name": ref})


def expect(ref: str, snapshot_id: int | None) -> AssertRefSnapshotId:
    """The condition that ``ref`` points at ``snapshot_id``; with None, that there is no such ref."""
    return AssertRefSnapshotId.model_validate({"ref": ref, "snapshot-id": snapshot_id})


def stage(
    transaction: Transaction,
    updates: tuple[SetSnapshotRefUpdate | RemoveSnapshotRefUpdate, ...],
    conditions: tuple[AssertRefSnapshotId, ...] = (),
) -> None:
    """Stage updates with all their conditions; PyIceberg's own staging keeps only the first condition of a kind."""
    transaction._stage(updates, conditions)
    missing = tuple(c for c in conditions if c not in transaction._requirements)
    transaction._requirements += missing


def head(table: Table, ref: str) -> int | None:
    """The snapshot id ``ref`` points at; None when there is no such ref."""
    found = table.refs().get(ref)
    return found.snapshot_id if found else None
