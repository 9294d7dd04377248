"""What the streaming sensors remember between ticks, and commits of tables as events of their assets."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

from c360.streams.health import WINDOW
from c360.streams.snapshots import Position, commits_after
from c360_assets.specs import asset_key

if TYPE_CHECKING:
    from c360.lakehouse import Lakehouse
    from c360.streams.health import Finding
    from c360.streams.record import Record
    from c360.streams.runner import Streams
    from c360.streams.snapshots import TableCommit

REPEAT_S = 300.0
"""An unchanged check is told again after this time: six checks every half minute would fill the event log."""


@dataclass
class Told:
    """A sensor's cursor: the level last told of each check and when, restarts seen, and the stream to begin with."""

    levels: dict[str, list[Any]] = field(default_factory=dict)
    seen: dict[str, list[list[Any]]] = field(default_factory=dict)
    next: str = ""

    @classmethod
    def load(cls, cursor: str | None) -> Told:
        """From a cursor; an unreadable one counts as none."""
        try:
            return cls(**json.loads(cursor or "{}"))
        except (ValueError, TypeError):
            return cls()

    def dump(self) -> str:
        """As a cursor."""
        return json.dumps(self.__dict__)

    def is_news(self, stream: str, finding: Finding, mark: str = "") -> bool:
        """Whether a finding must be told: another level or ``mark`` than before, or long not told."""
        key, now = f"{stream}/{finding.check}", time.time()
        level, at = self.levels.get(key, ["", 0.0])
        said = f"{finding.level} {mark}".strip()
        if level == said and now - at < REPEAT_S:
            return False
        self.levels[key] = [said, now]
        return True

    def restarts(self, streams: Streams, name: str, record: Record) -> int:
        """Restarts by Flink that were seen within the window, and launches within it from a checkpoint.

        A launch from a savepoint is no restart: a person has stopped, started or upgraded the stream.
        """
        now = time.time()
        jobs = [job for job in streams.flink.jobs(name) if job.active] if streams.flink.unready() is None else []
        kept = [each for each in self.seen.get(name, []) if now - each[0] <= WINDOW.total_seconds()]
        for job in jobs[:1]:
            count = streams.flink.restarts(job.id)
            if count is not None:
                kept.append([now, job.id, count])
        self.seen[name] = kept
        by_job: dict[str, list[int]] = {}
        for _, job_id, count in kept:
            by_job.setdefault(job_id, []).append(count)
        recent = [each for each in record.launches if now - each.at.timestamp() <= WINDOW.total_seconds()]
        resumed = [each for each in recent if "/chk-" in (each.restored_from or "")]
        return sum(max(counts) - min(counts) for counts in by_job.values()) + len(resumed)


@dataclass(frozen=True)
class TableEvents:
    """Events of one table in the order of its commits, and the position that they reach."""

    events: list[dg.AssetMaterialization | dg.AssetObservation]
    position: list[Any] | None


def table_events(
    instance: dg.DagsterInstance, lake: Lakehouse, table: str, position: list[Any] | None, limit: int, *, shared: bool
) -> TableEvents:
    """Up to ``limit`` commits after a position, each as one event; upkeep, which makes nothing fresher, as observation.

    Events are stored before the cursor is. After a crash in between, what the event log holds already is not repeated.
    ``shared``: batch runs tell their own commits of this table, so that only Flink's are told here.
    """
    seen = _furthest(Position(*position) if position else None, _last_told(instance, table))
    commits = commits_after(lake, table, seen, limit)
    events = [event(commit) for commit in commits if commit.job_id is not None or not shared]
    last = commits[-1].position if commits else seen
    return TableEvents(events, [last.table_uuid, last.sequence] if last else None)


def _furthest(cursor: Position | None, told: Position | None) -> Position | None:
    if cursor is None or told is None or cursor.table_uuid != told.table_uuid:
        return cursor or told
    return max(cursor, told, key=lambda each: each.sequence)


def _last_told(instance: dg.DagsterInstance, table: str) -> Position | None:
    found = instance.get_latest_materialization_event(asset_key(table))
    told = found.asset_materialization.metadata if found and found.asset_materialization else {}
    if "table_uuid" not in told or "sequence" not in told:
        return None
    return Position(str(told["table_uuid"].value), int(str(told["sequence"].value)))


def event(commit: TableCommit) -> dg.AssetMaterialization | dg.AssetObservation:
    """A commit as Dagster tells it. Snapshot ids are text: they do not fit a browser's numbers."""
    metadata: dict[str, Any] = {
        "snapshot_id": dg.MetadataValue.text(str(commit.snapshot_id)),
        "rows_added": commit.rows_added,
        "committed_at": dg.MetadataValue.timestamp(commit.committed_at),
        "operation": commit.operation,
        "table_uuid": commit.position.table_uuid,
        "sequence": commit.position.sequence,
        **{key: dg.MetadataValue.text(value) for key, value in commit.extra.items()},
    }
    if commit.total_rows is not None:
        metadata["dagster/row_count"] = commit.total_rows
    if commit.job_id is not None:
        metadata |= {"flink_job_id": commit.job_id, "checkpoint_id": commit.checkpoint_id}
    if commit.watermark is not None:
        metadata["watermark"] = commit.watermark
    if not commit.data:
        return dg.AssetObservation(asset_key(commit.table), metadata=metadata)
    return dg.AssetMaterialization(
        asset_key(commit.table), metadata=metadata, tags={"dagster/data_version": str(commit.snapshot_id)}
    )
