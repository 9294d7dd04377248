"""Failed runs, and the later runs that make good what they left undone."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from c360_assets.alerts.model import Alert, Cleared, Observation
from c360_assets.alerts.sources import events_after, newest, position

if TYPE_CHECKING:
    from dagster import DagsterEventType, EventLogEntry
    from dagster_shared.error import SerializableErrorInfo

    from c360_assets.alerts.sources import View

UNDONE_LIMIT = 50
"""Failed runs without a job of their own whose assets are remembered."""

SHOWN = 5
"""Assets named in a title."""


def failed_runs(view: View, part: Any, now: datetime) -> tuple[list[Observation], Any]:
    """Every failure and success since the last look.

    A job recovers with its next success. Runs without a name of their own (a selection in the UI, automation) share
    one job: such a failure recovers once later runs, of any job, have produced all that it left undone.
    """
    from dagster import DagsterEventType

    after = position(view, part)
    if after is None:
        return [], {"after": newest(view), "undone": {}}
    undone = _undone(part)
    entries, after = events_after(view, [DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_SUCCESS], after, now)
    seen: list[Observation] = []
    for entry in entries:
        if entry.dagster_event_type is DagsterEventType.RUN_FAILURE:
            seen.append(_failure(view, entry, undone))
        else:
            seen += _success(view, entry, undone)
    kept = list(undone.items())[-UNDONE_LIMIT:]
    return seen, {"after": after, "undone": {key: sorted(targets) for key, targets in kept}}


def _undone(part: Any) -> dict[str, set[str]]:
    stored = part.get("undone")
    if not isinstance(stored, dict):
        return {}
    return {key: {str(name) for name in names} for key, names in stored.items() if isinstance(names, list)}


def _failure(view: View, entry: EventLogEntry, undone: dict[str, set[str]]) -> Alert:
    job = entry.job_name or "?"
    key, title = f"run:{job}", f"Job {job} failed"
    if job.startswith("__"):
        targets = _targets(view, entry.run_id)
        names = sorted(targets)
        digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]
        key = f"run:{job}:{digest}"
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        title = f"Run of {', '.join(names[:SHOWN])}{more} failed" if names else "Run failed"
        undone.pop(key, None)
        undone[key] = targets - _produced(view, entry.run_id)
    at = datetime.fromtimestamp(entry.timestamp, UTC)
    return Alert(key, "error", title, _reason(entry), view.links.run(entry.run_id), at)


def _success(view: View, entry: EventLogEntry, undone: dict[str, set[str]]) -> list[Observation]:
    link, at = view.links.run(entry.run_id), datetime.fromtimestamp(entry.timestamp, UTC)
    job = entry.job_name or "?"
    seen: list[Observation] = (
        [] if job.startswith("__") else [Cleared(f"run:{job}", "A later run succeeded.", link, at)]
    )
    if not undone:
        return seen
    produced = _produced(view, entry.run_id)
    if job.startswith("__"):
        # A check alone produces nothing: a run that was asked for it and succeeded has made it good.
        produced |= _targets(view, entry.run_id)
    for key in list(undone):
        undone[key] -= produced
        if not undone[key]:
            del undone[key]
            seen.append(Cleared(key, "Later runs have produced what it left undone.", link, at))
    return seen


def _targets(view: View, run_id: str) -> set[str]:
    """Assets and ``asset:check`` that a run without a job of its own was asked for; empty if it was deleted."""
    from dagster import DagsterEventType

    found = _assets(view, run_id, DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
    run = None if found else view.instance.get_run_by_id(run_id)
    if run is None:
        return found
    return {f"{key.asset_key.to_user_string()}:{key.name}" for key in run.asset_check_selection or ()}


def _produced(view: View, run_id: str) -> set[str]:
    from dagster import DagsterEventType

    return _assets(view, run_id, DagsterEventType.ASSET_MATERIALIZATION)


def _assets(view: View, run_id: str, of_type: DagsterEventType) -> set[str]:
    return {key.to_user_string() for key in view.instance.get_asset_keys_for_run(run_id, of_type=of_type)}


def _reason(entry: EventLogEntry) -> str:
    """The first step that failed and its innermost error, else what Dagster says of the run."""
    assert entry.dagster_event is not None
    event = entry.dagster_event
    failure = getattr(event.event_specific_data, "first_step_failure_event", None)
    if failure is not None:
        data = failure.step_failure_data
        said = data.user_failure_data.description if data.user_failure_data else None
        return f"{failure.step_key}: {said or (_innermost(data.error) if data.error else failure.message)}"
    error = getattr(event.event_specific_data, "error", None)
    return _innermost(error) if error is not None else event.message or "Dagster gives no reason."


def _innermost(error: SerializableErrorInfo) -> str:
    while error.cause is not None:
        error = error.cause
    return error.message
