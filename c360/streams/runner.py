"""Runs streams: submits their SQL, observes them, stops them with a savepoint; one command per stream at a time."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from c360.contracts.loader import load_stream_contracts
from c360.engines.flink_conf import catalog_ddl, quoted
from c360.engines.flink_sql import sql_session
from c360.errors import C360Error, StreamError
from c360.streams import guards, sinks
from c360.streams.flink import FlinkClient
from c360.streams.job import load_jobs
from c360.streams.record import Launch, Record, Records, Savepoint, id_prefix, new_job_id
from c360.streams.sight import Sight
from c360.streams.sql import statements
from c360.streams.states import State, find_states, read_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from c360.lakehouse import Lakehouse
    from c360.settings import Settings
    from c360.streams.flink import FlinkJob
    from c360.streams.job import StreamJob
    from c360.streams.sinks import SinkCommit

    Render = Callable[[StreamJob, Settings], list[str]]

CATALOG = "@catalog"
"""Stands in a record for ``CREATE CATALOG``, which holds secrets and follows the settings."""
PATIENCE_S = 30.0
SUBMIT_S = 120.0


class Streams:
    """The streams of one home folder. ``jobs`` and ``render`` are the product's own unless given.

    All methods raise C360Error naming the mend: StreamError for what a stream's state forbids, EngineError when Flink
    or its SQL Gateway does not answer or another command is at work on the stream.
    """

    def __init__(
        self, settings: Settings, jobs: Mapping[str, StreamJob] | None = None, render: Render = statements
    ) -> None:
        self.settings = settings
        self.jobs = load_jobs() if jobs is None else jobs
        self.records = Records(settings.home)
        self.flink = FlinkClient(settings)
        self._render = render

    def close(self) -> None:
        """Let go of the connections."""
        self.flink.close()

    def job(self, name: str) -> StreamJob:
        """The stream of that name; StreamError lists those there are."""
        if name not in self.jobs:
            known = ", ".join(self.jobs) or "none: add streaming_jobs/jobs/<job>/job.yaml"
            raise StreamError(f"There is no stream '{name}'", f"use one of {known}")
        return self.jobs[name]

    def rendered(self, job: StreamJob) -> tuple[str, ...]:
        """The job's SQL as it is now, with the catalog's secrets left out."""
        catalog = catalog_ddl(self.settings)
        return tuple(CATALOG if text == catalog else text for text in self._render(job, self.settings))

    def look(self, name: str) -> Sight:
        """The stream as it is now; changes nothing. With Flink away only ``unready`` says so."""
        job, record = self.job(name), self.records.read(name)
        unready = self.flink.unready()
        listed = [] if unready else self.flink.jobs()
        mine = [each for each in listed if each.name == name or each.id.startswith(id_prefix(name))]
        states, commits = tuple(find_states(self.settings, record)), self.commits(job, record)
        return Sight(job, record, tuple(mine), states, commits, unready, self._broken(record, mine))

    def _broken(self, record: Record, jobs: list[FlinkJob]) -> str | None:
        """Why the newest checkpoint of the one active job cannot be restored; None if it can, or cannot be seen."""
        active = [job for job in jobs if job.active]
        if len(active) != 1 or self.settings.flink_url is not None:
            return None
        with suppress(C360Error):
            newest = self.flink.checkpoint(active[0].id)
            if newest is not None:
                try:
                    read_state(newest.path)
                except StreamError as error:
                    # Flink's answer may be seconds old, and another checkpoint have taken the place of that one.
                    own = (each for each in find_states(self.settings, record) if each.job_id == active[0].id)
                    return None if any(each.checkpoint_id > newest.id for each in own) else error.problem
        return None

    def commits(self, job: StreamJob, record: Record) -> tuple[SinkCommit, ...]:
        """The newest commits of the stream to its tables."""
        with self._lake() as lake:
            return tuple(sinks.last_commits(lake, job.outputs, record, self.jobs))

    def latest_state(self, name: str) -> State | None:
        """Its newest usable checkpoint or savepoint."""
        states = find_states(self.settings, self.records.read(name))
        return states[0] if states else None

    def start(self, name: str, from_path: str | None = None, *, fresh: bool = False, wait: float = 60.0) -> str:
        """Start or resume the stream and want it running from now on; returns the job's id.

        Without ``from_path`` it resumes from its newest state, if there is one. ``fresh`` begins without, which a
        person must have accepted. Waits up to ``wait`` seconds until it runs.

        Raises:
            StreamError: a guard refuses, or the job fails within that time (its cause is quoted).
        """
        with self.records.exclusive(name, "streams start", PATIENCE_S):
            sight = self.look(name)
            self._require_ready(sight)
            guards.refuse_second(name, sight.active)
            record = replace(sight.record, wanted="running", wanted_by="started by a person").healthy()
            record = self.records.write(replace(record, failed_job=""))
            state = read_state(from_path) if from_path else (sight.states[0] if sight.states and not fresh else None)
            return self.launch(replace(sight, record=record), state, fresh=fresh, wait=wait)

    def stop(self, name: str, *, savepoint: bool = True, by: str = "stopped by a person") -> str | None:
        """Want the stream stopped from now on, and end it; returns the savepoint's path, None if nothing ran.

        Raises:
            StreamError: no savepoint was taken; the job still runs, and is still wanted stopped.
        """
        with self.records.exclusive(name, "streams stop", PATIENCE_S):
            self.job(name)
            record = self.records.write(replace(self.records.read(name), wanted="stopped", wanted_by=by))
            sight = self.look(name)
            self._require_ready(sight)
            taken = None
            for job in sight.active:
                if savepoint and job.state == "RUNNING":
                    taken = self.stop_job(record, job.id)
                else:
                    self.flink.cancel(job.id)
            return taken

    def stop_job(self, record: Record, job_id: str, timeout: float = 60.0) -> str:
        """End one job with a savepoint and write that down (under the lock)."""
        self.records.write(replace(self.records.read(record.stream), ending=job_id))
        path = self.flink.stop_with_savepoint(job_id, timeout)
        self.records.write(replace(self.records.read(record.stream), savepoint=Savepoint(path, job_id)))
        return path

    def launch(
        self,
        sight: Sight,
        state: State | None,
        *,
        fresh: bool = False,
        wait: float = 0.0,
        within: float = SUBMIT_S,
        sql: tuple[tuple[str, ...], str] | None = None,
    ) -> str:
        """Submit (under the lock) ``within`` seconds: guards, then the record, then Flink.

        ``sql`` is other SQL and its fingerprint.
        """
        job, record, now = sight.job, sight.record, datetime.now(UTC)
        texts, mark = sql or self.current(sight)
        guards.refuse_unaligned(job.name, texts, cluster_default=self.flink.unaligned())
        if self.settings.flink_url is None:
            guards.refuse_unwritable(job.name, (self.settings.checkpoint_dir, self.settings.savepoint_dir))
        if state is not None:
            guards.refuse_older(job.name, state, sight.commits)
        elif not fresh:
            guards.refuse_stateless(job.name, sight.commits, record.fresh_since)
        self._ensure_tables(job)
        self._ensure_topics(job)
        job_id = new_job_id(job.name, now)
        record = replace(
            record, statements=texts, fingerprint=mark, fresh_since=job_id if fresh else record.fresh_since
        )
        record = self.records.write(record.launched(Launch(job_id, mark, state.path if state else None)))
        try:
            self._submit(job, job_id, texts, state, within)
        except C360Error as error:
            self.records.write(record.failed(job_id, str(error), datetime.now(UTC)))
            raise StreamError(f"Stream {job.name} was not started: {error.problem}", error.mend) from error
        self.records.write(record.confirmed(job_id))
        if wait:
            self.await_running(job.name, job_id, wait)
        return job_id

    def current(self, sight: Sight) -> tuple[tuple[str, ...], str]:
        """The SQL to run now and its fingerprint: what ran last, as only an upgrade may change it under its state."""
        texts = self.rendered(sight.job)
        if sight.record.statements and sight.states:
            return sight.record.statements, sight.record.fingerprint
        return texts, fingerprint_of(texts)

    def await_running(self, name: str, job_id: str, wait: float, *, checkpoints: int = 0) -> None:
        """Wait until every task of the job runs and it has completed a checkpoint if asked to (``checkpoints`` = 1).

        Raises:
            StreamError: it failed, was restarted, or is not there after ``wait`` seconds.
        """
        deadline, state = time.monotonic() + wait, "unknown"
        while time.monotonic() < deadline:
            seen = next((job for job in self.flink.jobs() if job.id == job_id), None)
            state = seen.state if seen else "unknown"
            if (
                seen
                and seen.settled
                and state == "RUNNING"
                and (not checkpoints or self.flink.checkpoint(job_id) is not None)
            ):
                return
            if state in {"FAILED", "FAILING"} or (checkpoints and state == "RESTARTING"):
                break
            time.sleep(0.3)
        cause = (self.flink.root_cause(job_id) if state != "unknown" else None) or f"it is {state} after {wait:.0f} s"
        if state == "FAILED":
            self.records.write(self.records.read(name).failed(job_id, cause, datetime.now(UTC)))
        raise StreamError(f"Stream {name} does not run: {cause}", "correct it, then start it again")

    def _submit(self, job: StreamJob, job_id: str, texts: tuple[str, ...], state: State | None, within: float) -> None:
        deadline = time.monotonic() + within
        last = [f"SET 'pipeline.name' = {quoted(job.name)}", f"SET '$internal.pipeline.job-id' = {quoted(job_id)}"]
        if state is not None:
            last.append(f"SET 'execution.state-recovery.path' = {quoted('file://' + state.path)}")
        with sql_session(self.settings, timeout=within / 2) as session:
            for text in (*texts[:-1], *last, texts[-1]):
                statement = catalog_ddl(self.settings) if text == CATALOG else text
                session.execute(statement, timeout=max(1.0, deadline - time.monotonic()))

    def _ensure_tables(self, job: StreamJob) -> None:
        # By their contracts, before Flink would fail on a table that is not there.
        tables = load_stream_contracts()
        with self._lake() as lake:
            for table in job.outputs:
                if table in tables:
                    lake.ensure(tables[table])

    def _ensure_topics(self, job: StreamJob) -> None:
        # Topics of events are made by `c360 topics apply`, as their contracts say.
        from c360.cdc.manage import install_topics
        from c360.streams.features import install_feature_topics

        if not job.events:
            install_topics(self.settings)
            install_feature_topics(self.settings)

    def _require_ready(self, sight: Sight) -> None:
        if sight.unready:
            raise StreamError(f"Flink cannot run jobs: {sight.unready}", "start it with `c360 up flink`")

    def _lake(self) -> Lakehouse:
        from c360.lakehouse import Lakehouse

        return Lakehouse(self.settings)


def fingerprint_of(texts: tuple[str, ...]) -> str:
    """Changes when the SQL changes, but not with the catalog's secrets."""
    import hashlib

    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
