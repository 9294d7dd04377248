"""A stream in one row: state, next step, and the figures that its checks judge."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from c360.streams.decide import decide
from c360.streams.runner import fingerprint_of

if TYPE_CHECKING:
    from c360.streams.runner import Streams
    from c360.streams.sight import Sight


@dataclass(frozen=True)
class Status:
    """One stream now; figures are None where nothing runs or Flink does not say (yet).

    ``next_step`` is what the reconciler would do; ``latest_state`` the path it could resume from; ``changed``: its SQL
    is not what runs; ages in seconds; ``watermark``: event time up to which it is complete.
    """

    stream: str
    wanted: str
    wanted_by: str
    state: str
    job_id: str | None
    started_at: datetime | None
    next_step: str
    reason: str
    as_wanted: bool
    changed: bool
    latest_state: str | None
    checkpoint_age_s: float | None = None
    pending: int | None = None
    watermark: datetime | None = None
    restarts: int | None = None
    failures: int = 0
    failure: str = ""


def status(streams: Streams, name: str) -> Status:
    """Look at one stream; raises C360Error only for an unknown name or a record or table that cannot be read."""
    return describe(streams, streams.look(name))


def describe(streams: Streams, sight: Sight) -> Status:
    """The row of a stream that was looked at."""
    now = datetime.now(UTC)
    action = decide(sight.wanted, sight.observed(now))
    running = sight.active[0] if sight.active else None
    checkpoint = streams.flink.checkpoint(running.id) if running else None
    lag = streams.flink.lag(running.id) if running and running.state == "RUNNING" else None
    record = sight.record
    up = running is not None and running.state == "RUNNING"
    return Status(
        stream=sight.job.name,
        wanted=sight.wanted,
        wanted_by=record.wanted_by or "job.yaml",
        state=running.state if running else "unknown" if sight.unready else "not running",
        job_id=running.id if running else None,
        started_at=running.started_at if running else None,
        next_step=action.kind,
        reason=action.reason,
        as_wanted=action.kind == "leave" and up == (sight.wanted == "running"),
        changed=bool(record.fingerprint) and fingerprint_of(streams.rendered(sight.job)) != record.fingerprint,
        latest_state=sight.states[0].path if sight.states else None,
        checkpoint_age_s=_age(
            checkpoint.age(now) if checkpoint else None, running.started_at if running else None, now
        ),
        pending=lag.pending if lag else None,
        watermark=lag.watermark if lag else None,
        restarts=streams.flink.restarts(running.id) if running else None,
        failures=record.failures,
        failure=record.failure,
    )


def _age(age: float | None, started_at: datetime | None, now: datetime) -> float | None:
    """A job without any checkpoint is as old as its start: one that never completes any must become visible."""
    if age is None and started_at is not None:
        age = (now - started_at).total_seconds()
    return None if age is None else round(age, 1)
