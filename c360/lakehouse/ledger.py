"""The snapshot is the ledger: who wrote it, from what, up to when, is kept in the snapshot's own summary."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import ancestors_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

RUN_ID = "c360.run-id"
CONTRACT_VERSION = "c360.contract-version"
WATERMARK = "c360.watermark"
SOURCES = "c360.sources"
OPERATION = "c360.operation"
"""Set on upkeep commits only (``base``, ``retention``): they bring no new data."""
RETENTION = "retention"
AS_OF = "c360.as-of"
"""The moment that decided recency and segments of a gold table, ISO 8601."""
TOKEN = "c360.commit"  # noqa: S105 - marks the snapshots of one staged write


@dataclass(frozen=True)
class Commit:
    """What a writer says about a commit.

    ``sources`` maps each table read to the snapshot it was read at; ``watermark`` is the ISO date of the last batch
    contained; ``extra`` are further summary properties.
    """

    run_id: str
    sources: Mapping[str, int] = field(default_factory=dict)
    contract_version: str = ""
    watermark: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    def properties(self) -> dict[str, str]:
        """The commit as snapshot summary properties."""
        properties = {
            RUN_ID: self.run_id,
            CONTRACT_VERSION: self.contract_version,
            SOURCES: json.dumps(dict(self.sources), sort_keys=True),
            **self.extra,
        }
        if self.watermark is not None:
            properties[WATERMARK] = self.watermark
        return properties


@dataclass(frozen=True)
class CommitInfo:
    """A commit as read back. ``rows`` is the table's row count after it; ``committed_at`` is UTC."""

    snapshot_id: int
    parent_id: int | None
    committed_at: datetime
    operation: str
    run_id: str | None
    sources: Mapping[str, int]
    watermark: str | None
    contract_version: str | None
    rows: int | None
    extra: Mapping[str, str]

    @property
    def upkeep(self) -> str | None:
        """The kind of upkeep the commit did (``retention``, …); None for a commit of data."""
        return self.extra.get(OPERATION)


def read_commit(snapshot: Snapshot) -> CommitInfo:
    """Read a snapshot's summary back; tolerant of snapshots other engines wrote."""
    summary = dict(snapshot.summary.additional_properties) if snapshot.summary else {}
    known = {RUN_ID, CONTRACT_VERSION, WATERMARK, SOURCES}
    total = summary.get("total-records")
    return CommitInfo(
        snapshot_id=snapshot.snapshot_id,
        parent_id=snapshot.parent_snapshot_id,
        committed_at=datetime.fromtimestamp(snapshot.timestamp_ms / 1000, tz=UTC),
        operation=snapshot.summary.operation.value if snapshot.summary else "append",
        run_id=summary.get(RUN_ID),
        sources=_sources(summary.get(SOURCES)),
        watermark=summary.get(WATERMARK),
        contract_version=summary.get(CONTRACT_VERSION),
        rows=int(total) if total is not None else None,
        extra={key: value for key, value in summary.items() if key.startswith("c360.") and key not in known},
    )


def _sources(text: str | None) -> dict[str, int]:
    if not text:
        return {}
    try:
        return {str(name): int(snapshot) for name, snapshot in json.loads(text).items()}
    except (ValueError, AttributeError, TypeError):
        return {}


def lineage(table: Table, ref: str = MAIN_BRANCH) -> Iterator[Snapshot]:
    """The snapshots of ``ref`` from newest to oldest, as far as they are kept."""
    return iter(ancestors_of(table.snapshot_by_name(ref), table.metadata))


def ancestry(table: Table, snapshot_id: int | None) -> Iterator[Snapshot]:
    """A snapshot (None: the published one) and those before it, newest first, as far as they are kept."""
    head = table.current_snapshot() if snapshot_id is None else table.snapshot_by_id(snapshot_id)
    return iter(ancestors_of(head, table.metadata))


def last_commit(table: Table, ref: str = MAIN_BRANCH) -> CommitInfo | None:
    """The newest commit of data with a ledger, behind whatever upkeep and compaction came after it."""
    for snapshot in lineage(table, ref):
        info = read_commit(snapshot)
        if info.run_id is not None and info.upkeep is None:
            return info
    return None
