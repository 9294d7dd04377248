"""What to do about a stream: a pure function of what is wanted and what is seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from c360.streams.flink import ENDING

if TYPE_CHECKING:
    from c360.streams.flink import FlinkJob
    from c360.streams.record import Wanted

Kind = Literal["leave", "start", "resume", "stop", "cancel", "cancel_duplicates", "renew", "wait", "hold", "give_up"]
MAX_FAILURES = 6
FIRST_BACK_OFF_S = 10.0
LONGEST_BACK_OFF_S = 300.0
SUBMISSION_GRACE_S = 20.0
CHANGES = frozenset({"start", "resume", "stop", "cancel", "cancel_duplicates", "renew", "hold"})


@dataclass(frozen=True)
class Observed:
    """A stream as it is.

    ``unready``: why Flink cannot run jobs, None if it can. ``active``: its jobs that have not ended. ``newest``: id of
    the last submission; ``ended``: Flink's word for how that one ended, None if Flink does not know it.
    ``unconfirmed_s``: seconds since a submission whose answer was never seen. ``state``: path of its newest usable
    state. ``committed``: its tables hold commits of it. ``failures``: starts in a row that came to nothing, the last
    one ``since_failure_s`` seconds ago because of ``failure``. ``broken``: why the newest checkpoint of its running job
    cannot be restored, None if it can.
    """

    unready: str | None = None
    active: tuple[FlinkJob, ...] = ()
    newest: str | None = None
    ended: str | None = None
    unconfirmed_s: float | None = None
    state: str | None = None
    committed: bool = False
    failures: int = 0
    since_failure_s: float = 0.0
    failure: str = ""
    broken: str | None = None


@dataclass(frozen=True)
class Action:
    """What to do, and why. ``path``: state to resume from; ``jobs``: ids to stop or cancel.

    ``renew``: end the job with a savepoint, which needs no earlier checkpoint, so that it is resumed from that.
    """

    kind: Kind
    reason: str
    path: str | None = None
    jobs: tuple[str, ...] = ()

    @property
    def alert(self) -> bool:
        """Whether a person should hear of it."""
        return self.kind in {"wait", "hold", "give_up", "renew", "cancel_duplicates"}


def back_off(failures: int) -> float:
    """Seconds to wait after so many failures in a row: 10, 20, 40 … 300."""
    return min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2.0 ** (failures - 1)) if failures else 0.0


def decide(wanted: Wanted, seen: Observed) -> Action:
    """The one next step towards what is wanted.

    A job that a person ended in Flink's own UI is held, not restarted; one that Flink itself is restarting is left.
    """
    if seen.unready is not None and wanted == "stopped" and not seen.active:
        return Action("leave", "it is wanted stopped, and Flink is not there")
    if seen.unready is not None:
        return Action("wait", f"Flink cannot run jobs: {seen.unready}")
    if len(seen.active) > 1:
        return _one_of_many(seen)
    if len(seen.active) == 1:
        return _with_one(wanted, seen.active[0], seen.broken)
    return _with_none(wanted, seen)


def _one_of_many(seen: Observed) -> Action:
    # The one in the record is the one whose checkpoints are known to continue the tables.
    kept = next((job for job in seen.active if job.id == seen.newest), None)
    kept = kept or min(seen.active, key=lambda job: (job.state != "RUNNING", job.started_at))
    surplus = tuple(job.id for job in seen.active if job.id != kept.id and job.state not in ENDING)
    if not surplus:
        return Action("wait", "a duplicate is ending")
    return Action("cancel_duplicates", f"{len(seen.active)} jobs of one name run; {kept.id} stays", jobs=surplus)


def _with_one(wanted: Wanted, job: FlinkJob, broken: str | None) -> Action:
    if job.state in ENDING:
        return Action("wait", f"job {job.id} is {job.state}")
    if wanted == "running" and broken is not None:
        # Only while it runs does it still hold its state itself.
        kind: Kind = "renew" if job.state == "RUNNING" else "wait"
        return Action(kind, f"job {job.id} is {job.state}, and {broken}", jobs=(job.id,))
    if wanted == "running":
        return Action("leave", f"job {job.id} is {job.state}")
    if job.state == "RUNNING":
        return Action("stop", "it is wanted stopped", jobs=(job.id,))
    return Action("cancel", f"it is wanted stopped, and takes no savepoint while {job.state}", jobs=(job.id,))


def _with_none(wanted: Wanted, seen: Observed) -> Action:
    if wanted == "stopped":
        return Action("leave", "it is wanted stopped")
    if seen.ended in {"CANCELED", "FINISHED"}:
        return Action("hold", f"job {seen.newest} was ended outside of this product ({seen.ended})")
    if seen.unconfirmed_s is not None and seen.unconfirmed_s < SUBMISSION_GRACE_S:
        return Action("wait", f"a submission {seen.unconfirmed_s:.0f} s ago has not shown up yet")
    if seen.failures >= MAX_FAILURES:
        return Action("give_up", f"{seen.failures} starts in a row came to nothing: {seen.failure}")
    left = back_off(seen.failures) - seen.since_failure_s
    if seen.failures and left > 0:
        return Action("wait", f"failed {seen.failures} times ({seen.failure}); next try in {left:.0f} s")
    why = f"job {seen.newest} is {seen.ended or 'gone'}" if seen.newest else "it was never started"
    if seen.state is not None:
        return Action("resume", why, path=seen.state)
    if seen.committed:
        return Action("give_up", "its tables hold its commits, but there is no state to resume from")
    return Action("start", why)
