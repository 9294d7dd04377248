"""A stream with everything that is known of it: its record, Flink's jobs, the state on disk, its tables' commits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from c360.errors import StreamError
from c360.streams import guards
from c360.streams.decide import Observed

if TYPE_CHECKING:
    from datetime import datetime

    from c360.streams.flink import FlinkJob
    from c360.streams.job import StreamJob
    from c360.streams.record import Record, Wanted
    from c360.streams.sinks import SinkCommit
    from c360.streams.states import State


@dataclass(frozen=True)
class Sight:
    """A stream with everything that is known of it at one moment."""

    job: StreamJob
    record: Record
    jobs: tuple[FlinkJob, ...]
    states: tuple[State, ...]
    commits: tuple[SinkCommit, ...]
    unready: str | None
    broken: str | None = None

    @property
    def wanted(self) -> Wanted:
        """What a person wants, else what the job's folder says."""
        return self.record.wanted or self.job.wanted

    @property
    def active(self) -> tuple[FlinkJob, ...]:
        """Its jobs that have not ended."""
        return tuple(job for job in self.jobs if job.active)

    def observed(self, now: datetime) -> Observed:
        """As :func:`c360.streams.decide.decide` wants it."""
        record, newest = self.record, self.record.newest
        known = {job.id: job.state for job in self.jobs if not job.active}
        unconfirmed = newest is not None and not newest.confirmed and record.failed_job != newest.job_id
        return Observed(
            unready=self.unready,
            active=self.active,
            newest=newest.job_id if newest else None,
            ended=known.get(newest.job_id) if newest and newest.job_id != record.ending else None,
            unconfirmed_s=(now - newest.at).total_seconds() if newest and unconfirmed else None,
            state=self.states[0].path if self.states else None,
            committed=self._committed(),
            failures=record.failures,
            since_failure_s=now.timestamp() - record.failed_at if record.failures else 0.0,
            failure=record.failure,
            broken=self.broken,
        )

    def _committed(self) -> bool:
        try:
            guards.refuse_stateless(self.job.name, self.commits, self.record.fresh_since)
        except StreamError:
            return True
        return False
