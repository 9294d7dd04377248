"""The commits of a table, each told once: a cursor over snapshots that survives rollback, expiry and re-creation."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from c360.streams.sinks import CHECKPOINT_ID, JOB_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

    from c360.lakehouse import Lakehouse

DATA = frozenset({"append", "overwrite"})
WATERMARKS = ("c360.watermark", "flink.watermark")


@dataclass(frozen=True)
class Position:
    """How far a table has been told: a sequence number (they only grow) of a table (a new one begins again)."""

    table_uuid: str
    sequence: int


@dataclass(frozen=True)
class TableCommit:
    """One commit. ``data`` is False for upkeep (compaction, retention), which makes nothing fresher.

    ``job_id`` and ``checkpoint_id`` are None for a commit of a batch run; ``watermark`` is as its writer put it.
    """

    table: str
    position: Position
    snapshot_id: int
    committed_at: datetime
    operation: str
    data: bool
    rows_added: int
    total_rows: int | None
    job_id: str | None = None
    checkpoint_id: int | None = None
    watermark: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


def commits_after(lake: Lakehouse, name: str, seen: Position | None, limit: int) -> list[TableCommit]:
    """Up to ``limit`` published commits later than ``seen``, oldest first; none if there is no such table.

    Commits that have expired are not told any more. Raises LakehouseError if the table cannot be read.
    """
    from c360.lakehouse.faults import named

    if not lake.exists(name):
        return []
    with named(f"read {name}"):
        return later(name, lake.catalog.load_table(name), seen)[:limit]


def later(name: str, table: Table, seen: Position | None) -> list[TableCommit]:
    """All published commits of a table later than ``seen``, oldest first."""
    from c360.lakehouse.ledger import lineage

    uuid = str(table.metadata.table_uuid)
    told = seen.sequence if seen is not None and seen.table_uuid == uuid else -1
    found = [_commit(name, uuid, snapshot) for snapshot in lineage(table) if (snapshot.sequence_number or 0) > told]
    return found[::-1]


def _commit(name: str, uuid: str, snapshot: Snapshot) -> TableCommit:
    from c360.lakehouse.ledger import OPERATION, TOKEN

    summary = dict(snapshot.summary.additional_properties) if snapshot.summary else {}
    operation = snapshot.summary.operation.value if snapshot.summary else "append"
    checkpoint, total = summary.get(CHECKPOINT_ID), summary.get("total-records")
    return TableCommit(
        table=name,
        position=Position(uuid, snapshot.sequence_number or 0),
        snapshot_id=snapshot.snapshot_id,
        committed_at=datetime.fromtimestamp(snapshot.timestamp_ms / 1000, tz=UTC),
        operation=operation,
        data=operation in DATA and OPERATION not in summary,
        rows_added=int(summary.get("added-records", 0)),
        total_rows=int(total) if total is not None else None,
        job_id=summary.get(JOB_ID),
        checkpoint_id=int(checkpoint) if checkpoint is not None else None,
        watermark=next((summary[key] for key in WATERMARKS if key in summary), None),
        extra={k: v for k, v in summary.items() if k.startswith("c360.") and k not in {TOKEN, *WATERMARKS}},
    )
