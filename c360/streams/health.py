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
    "event_time_freshness": "Event time up to which the stream is complete; old events do not make it fresher.",
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
) -> list[Finding]:
    """All checks of a stream. ``restarts`` are those of the window, ``dead`` its dead letters and its rows received."""
    if seen.wanted == "stopped":
        return [Finding(check, "ok", f"not judged: it is wanted stopped ({seen.wanted_by})") for check in CHECKS]
    dead_share = _dead(dead)
    ages = [(now - c.committed_at).total_seconds() for c in commits if c.known]
    watermark = (now - seen.watermark).total_seconds() if seen.watermark else None
    return [
        _judged("lag", seen.pending, LAG, "{:.0f} records wait"),
        _judged("checkpoint_age", seen.checkpoint_age_s, checkpoint_limits(job), "last checkpoint {:.0f} s ago"),
        _judged("restarts", restarts, RESTARTS, "{:.0f} within 15 minutes"),
        _judged("commit_freshness", max(ages, default=None), commit_limits(job), "last commit {:.0f} s ago"),
        _judged("event_time_freshness", watermark, EVENT_TIME_S, "complete up to {:.0f} s ago"),
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


def _added(lake: Lakehouse, stream: str, table: str, now: datetime) -> int:
    if not lake.exists(table):
        return 0
    commits = later(table, lake.catalog.load_table(table), None)
    return sum(
        commit.rows_added
        for commit in commits
        if commit.committed_at >= now.astimezone(UTC) - WINDOW and (commit.job_id or "").startswith(id_prefix(stream))
    )
