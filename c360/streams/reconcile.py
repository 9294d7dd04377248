"""Keeps what is wanted and what runs the same: look, decide, act once, and say what was done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from c360.errors import C360Error, EngineError
from c360.streams.decide import Action, decide
from c360.streams.states import read_state

if TYPE_CHECKING:
    from c360.settings import Settings
    from c360.streams.runner import Streams
    from c360.streams.sight import Sight

SAVEPOINT_S = 20.0
SUBMIT_S = 40.0
"""A sensor's tick, which Dagster ends after 60 s, has less time than a person has patience."""
HEALTHY_AFTER_S = 60.0


@dataclass(frozen=True)
class Outcome:
    """One step of one stream: what was decided, whether it was done (``error`` says why not), and the job it gave."""

    stream: str
    wanted: str
    action: Action
    job_id: str | None = None
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether nobody needs to hear of it."""
        return self.error is None and not self.action.alert


def heal(settings: Settings) -> list[str]:
    """Start processes of this home again that have died and that streams, capture or store need; their names.

    A connector that failed is started again too. What a cluster elsewhere runs is left to that cluster. Raises
    EngineError if one does not start.
    """
    from c360.cdc.manage import restart_failed
    from c360.engines.stack import Stack

    healed = Stack(settings).heal("kafka", "registry", "flink", "postgres", "connect", "dynamodb", "sink")
    restart_failed(settings)
    return healed


def reconcile(streams: Streams, name: str) -> Outcome:
    """Take the one next step for a stream; never raises a C360Error, never waits for a job to run.

    A stream that another command is at work on is left to it.
    """
    wanted = "running"
    try:
        with streams.records.exclusive(name, "the reconciler", 0.0):
            sight = _with_failure_noted(streams, streams.look(name))
            wanted = sight.wanted
            if _asleep(streams, sight):
                return Outcome(name, wanted, Action("leave", "no Flink was started here yet"))
            action = decide(sight.wanted, sight.observed(datetime.now(UTC)))
            try:
                return Outcome(name, wanted, action, _act(streams, sight, action))
            except C360Error as error:
                return Outcome(name, wanted, action, error=str(error))
    except EngineError as error:
        if "is at work on" in error.problem:
            return Outcome(name, wanted, Action("leave", error.problem))
        return Outcome(name, wanted, Action("wait", error.problem))
    except C360Error as error:
        return Outcome(name, wanted, Action("give_up", str(error)))


def _asleep(streams: Streams, sight: Sight) -> bool:
    """A home that has never run a stream, and where no Flink is meant to be up, has nothing to be healed."""
    from c360.engines.state import StackState

    if not sight.unready or sight.record.launches or streams.settings.flink_url:
        return False
    return not any(engine.startswith("flink") for engine in StackState(streams.settings.home).entries())


def _with_failure_noted(streams: Streams, sight: Sight) -> Sight:
    """A job that Flink has given up counts as a failed start, once; one that has run for a while clears the count."""
    record, newest = sight.record, sight.record.newest
    if newest is None:
        return sight
    seen = next((job for job in sight.jobs if job.id == newest.job_id), None)
    now = datetime.now(UTC)
    if seen is not None and seen.state == "FAILED" and record.failed_job != newest.job_id:
        cause = streams.flink.root_cause(newest.job_id) or "no reason given"
        record = record.failed(newest.job_id, cause, now)
    elif seen is not None and seen.state == "RUNNING" and record.failures:
        proven = (now - seen.started_at).total_seconds() > HEALTHY_AFTER_S and streams.flink.checkpoint(seen.id)
        record = record.healthy() if proven else record
    if seen is not None and not newest.confirmed:
        record = record.confirmed(newest.job_id)
    return sight if record is sight.record else replace(sight, record=streams.records.write(record))


def _act(streams: Streams, sight: Sight, action: Action) -> str | None:
    match action.kind:
        case "start":
            return streams.launch(sight, None, within=SUBMIT_S)
        case "resume":
            assert action.path is not None
            known = next((state for state in sight.states if state.path == action.path), None)
            return streams.launch(sight, known or read_state(action.path), within=SUBMIT_S)
        case "stop" | "renew":
            for job_id in action.jobs:
                streams.stop_job(sight.record, job_id, SAVEPOINT_S)
        case "cancel" | "cancel_duplicates":
            for job_id in action.jobs:
                streams.flink.cancel(job_id, SAVEPOINT_S)
        case "hold":
            streams.records.write(replace(sight.record, wanted="stopped", wanted_by=action.reason))
        case _:
            pass
    return None
