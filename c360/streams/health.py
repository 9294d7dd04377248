"""Judges a stream's figures: each check warns before it fails. Pure, but for counting rows of the last minutes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from c360.streams.job import REFUSED
from c360.streams.record import id_prefix
from c360.streams.snapshots import later

if TYPE_CHECKING:
    from collections.abc import Sequence

    from c360.lakehouse import Lakehouse
    from c360.streams.job import StreamJob
    from c360.streams.sinks import SinkCommit
    from c360.streams.status import Status

Level = Literal["ok", "unknown", "warn", "error"]
WINDOW = timedelta(minutes=15)
CHECKS = {
    "lag": "Records that wait in the topics.",
    "checkpoint_age": "Time since the last completed checkpoint; nothing is committed without one.",
    "restarts": "Restarts by Flink and launches by the reconciler within 15 minutes.",
    "commit_freshness": "Time since the stream itself last committed to each of its tables, batch runs aside.",
    "event_time_freshness": "Age of the newest event, or of the watermark if older; old events make neither fresher.",
    "dead_letters": "Share of rows that could not be used, of the last 15 minutes.",
}


@dataclass(frozen=True)
class Limits:
    """A figure above ``warn`` warns, above ``error`` fails."""

    warn: float
    error: float

    def level(self, value: float) -> Level:
        """How bad a figure is."""
        return "error" if value > self.error else "warn" if value > self.warn else "ok"


LAG = Limits(50_000, 500_000)
RESTARTS = Limits(0, 2)
EVENT_TIME_S = Limits(15 * 60, 60 * 60)
DEAD_SHARE = Limits(0.01, 0.1)
EVENT_TIME = "event_timestamp"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HORIZON = timedelta(hours=2)


@dataclass(frozen=True)
class Finding:
    """One check of one stream. ``value`` in seconds, records or a share; None where nothing could be measured."""

    check: str
    level: Level
    text: str
    value: float | None = None
    limits: Limits | None = None


def checkpoint_limits(job: StreamJob) -> Limits:
    """Checkpoints are late after 6 intervals (at least a minute), and missing after 18."""
    warn = max(60.0, 6 * job.checkpoint_seconds)
    return Limits(warn, 3 * warn)


def commit_limits(job: StreamJob) -> Limits:
    """Flink commits at least every tenth checkpoint, even without rows: late after 20 (at least 2 minutes)."""
    warn = max(120.0, 20 * job.checkpoint_seconds)
    return Limits(warn, 3 * warn)


def judge(
    job: StreamJob,
    seen: Status,
    commits: Sequence[SinkCommit],
    restarts: int | None,
    dead: tuple[int, int] | None,
    now: datetime,
    newest: datetime | None = None,
) -> list[Finding]:
    """All checks of a stream.

    ``restarts`` are those of the window, ``dead`` its dead letters and its rows received, ``newest`` the time of its
    newest event: the watermark alone follows the arrival of messages, and old ones that arrive now would move it.
    """
    if seen.wanted == "stopped":
        return [Finding(check, "ok", f"not judged: it is wanted stopped ({seen.wanted_by})") for check in CHECKS]
    dead_share = _dead(dead)
    ages = [(now - c.committed_at).total_seconds() for c in commits if c.known]
    event_ages = [(now - moment).total_seconds() for moment in (seen.watermark, newest) if moment]
    return [
        _judged("lag", seen.pending, LAG, "{:.0f} records wait"),
        _judged("checkpoint_age", seen.checkpoint_age_s, checkpoint_limits(job), "last checkpoint {:.0f} s ago"),
        _judged("restarts", restarts, RESTARTS, "{:.0f} within 15 minutes"),
        _judged("commit_freshness", max(ages, default=None), commit_limits(job), "last commit {:.0f} s ago"),
        _judged("event_time_freshness", max(event_ages, default=None), EVENT_TIME_S, "events up to {:.0f} s ago"),
        dead_share,
    ]


def _judged(check: str, value: float | None, limits: Limits, text: str) -> Finding:
    if value is None:
        return Finding(check, "unknown", "Flink does not say (yet)", limits=limits)
    return Finding(check, limits.level(value), text.format(value), float(value), limits)


def _dead(dead: tuple[int, int] | None) -> Finding:
    if dead is None:
        return Finding("dead_letters", "unknown", f"there is no table {REFUSED}", limits=DEAD_SHARE)
    letters, received = dead
    share = letters / max(letters, received, 1)
    return Finding(
        "dead_letters", DEAD_SHARE.level(share), f"{letters} of {received} rows within 15 minutes", share, DEAD_SHARE
    )


def dead_letters(lake: Lakehouse, job: StreamJob, now: datetime) -> tuple[int, int] | None:
    """Rows that the stream added to the dead letters and to its first layer within the window; None without table."""
    if not lake.exists(REFUSED):
        return None
    outputs = [name for name in job.outputs if name != REFUSED]
    received = [name for name in outputs if name.startswith("bronze.")] or outputs
    return _added(lake, job.name, REFUSED, now), sum(_added(lake, job.name, name, now) for name in received)


def newest_event(lake: Lakehouse, job: StreamJob, now: datetime) -> datetime | None:
    """Time of the newest event in the stream's table of events, from metadata alone; None without one.

    What is older than ``HORIZON`` counts as that old, so that only the newest files are looked at.
    """
    from pyiceberg.conversions import from_bytes
    from pyiceberg.expressions import GreaterThanOrEqual, Reference
    from pyiceberg.expressions.literals import literal
    from pyiceberg.types import PrimitiveType

    silver = next((name for name in job.outputs if name.startswith("silver.")), None)
    if silver is None or not lake.exists(silver):
        return None
    table = lake.table(silver)
    if EVENT_TIME not in table.schema().column_names or not table.scan().count():
        return None
    field, oldest = table.schema().find_field(EVENT_TIME), now - HORIZON
    assert isinstance(field.field_type, PrimitiveType)
    young = GreaterThanOrEqual(term=Reference(EVENT_TIME), value=literal(oldest.isoformat()))
    bounds = [(task.file.upper_bounds or {}).get(field.field_id) for task in table.scan(row_filter=young).plan_files()]
    micros = [from_bytes(field.field_type, bound) for bound in bounds if bound is not None]
    return max([oldest, *(EPOCH + timedelta(microseconds=int(value)) for value in micros)])


def _added(lake: Lakehouse, stream: str, table: str, now: datetime) -> int:
    if not lake.exists(table):
        return 0
    commits = later(table, lake.catalog.load_table(table), None)
    return sum(
        commit.rows_added
        for commit in commits
        if commit.committed_at >= now.astimezone(UTC) - WINDOW and (commit.job_id or "").startswith(id_prefix(stream))
    )
