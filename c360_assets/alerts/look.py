"""One look: observe, decide, deliver, remember. What goes wrong on the way never stops it."""

from __future__ import annotations

import logging
import traceback
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from c360_assets.alerts.checks import red_checks
from c360_assets.alerts.core import advance
from c360_assets.alerts.delivery import DEADLINE, Delivered, deliver
from c360_assets.alerts.model import Alert, Cleared, Notice, Observation
from c360_assets.alerts.runs import failed_runs
from c360_assets.alerts.secrecy import hider
from c360_assets.alerts.sources import late_tables
from c360_assets.alerts.state import State, dump, load, storable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from c360.settings import Settings
    from c360_assets.alerts.sinks import Sink
    from c360_assets.alerts.sources import Source, View

SOURCES: Mapping[str, Source] = {"runs": failed_runs, "checks": red_checks, "freshness": late_tables}
"""Everything that can raise an alert, by the name under which its position is kept."""

WAITING_LIMIT = 50
"""Notices kept for a sink that takes none; beyond it the oldest give way, and their number is told."""

COMPLAINT_INTERVAL = timedelta(minutes=10)
"""A sink or source that goes on failing is logged once in this time."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look did: the new cursor, and a sentence for the sensor's tick."""

    cursor: str
    summary: str


def look(
    view: View,
    cursor: str | None,
    settings: Settings,
    sinks: Sequence[Sink],
    now: datetime,
    log: logging.Logger,
    *,
    sources: Mapping[str, Source] = SOURCES,
    seconds: float = DEADLINE,
) -> Look:
    """Look from ``cursor`` on (None at first), send what is new, and give the cursor of the next look.

    ``now`` is UTC, ``seconds`` bounds the delivery. Sources and sinks that fail are logged and asked again next time.
    """
    state = load(cursor)
    if state is None:
        log.warning("The cursor of the alerts cannot be read: starting anew; what is red now is told again.")
        state = State()
    clean = hider(settings)
    observed, parts = _observe(view, state, sources, now, log, clean)
    notices, opened = advance(state.opened, observed)
    waiting, dropped = _queue(state, notices, sinks)
    batches = {name: [*_gap(name, dropped.get(name, 0), view, now), *queue] for name, queue in waiting.items()}
    outcomes = deliver(batches, sinks, seconds)
    for name, outcome in outcomes.items():
        if dropped.get(name):
            if outcome.sent:
                del dropped[name]
            else:
                outcome.remaining.pop(0)
        # Cut after the delivery: a sink that works again after a burst misses nothing.
        waiting[name] = outcome.remaining[-WAITING_LIMIT:]
        if lost := len(outcome.remaining) - len(waiting[name]):
            dropped[name] = dropped.get(name, 0) + lost
    complained = _complain(outcomes, state.complained, now, log)
    kept = {name: queue for name, queue in waiting.items() if queue}
    cursor = dump(State(opened=opened, parts=parts, waiting=kept, dropped=dropped, complained=complained))
    undelivered = ", ".join(f"{len(queue)} wait for {name}" for name, queue in kept.items())
    return Look(cursor, f"{len(opened)} open, {len(notices)} new notices" + (f", {undelivered}" if kept else ""))


def _observe(
    view: View,
    state: State,
    sources: Mapping[str, Source],
    now: datetime,
    log: logging.Logger,
    clean: Callable[[str], str],
) -> tuple[list[Observation], dict[str, object]]:
    observed: list[Observation] = []
    parts: dict[str, object] = {}
    for name, source in sources.items():
        key = f"alerts:{name}"
        try:
            seen, part = source(view, state.parts.get(name), now)
            bounded = [one.bounded(clean) for one in seen]
            parts[name] = storable(part)
        except Exception as error:  # noqa: BLE001 - one blind source must not blind the others
            if name in state.parts:
                parts[name] = state.parts[name]
            if key not in state.opened:
                log.error("Alerts cannot look at %s:\n%s", name, clean(traceback.format_exc()))  # noqa: TRY400
            text = f"{type(error).__name__}: {error}"
            blind = Alert(key, "warning", f"Alerts cannot look at {name}", text, view.links.base, now)
            observed.append(blind.bounded(clean))
        else:
            observed += bounded
            observed.append(Cleared(key, "They can again.", view.links.base, now))
    return observed, parts


def _queue(
    state: State, notices: list[Notice], sinks: Sequence[Sink]
) -> tuple[dict[str, list[Notice]], dict[str, int]]:
    """What each sink has to get now. The queue of a sink that the settings no longer name is given up."""
    waiting: dict[str, list[Notice]] = {}
    dropped: dict[str, int] = {}
    for sink in sinks:
        queue = [*state.waiting.get(sink.name, []), *notices]
        waiting[sink.name] = queue
        if before := state.dropped.get(sink.name, 0):
            dropped[sink.name] = before
    return waiting, dropped


def _gap(name: str, dropped: int, view: View, now: datetime) -> list[Notice]:
    if not dropped:
        return []
    title = f"{dropped} older notices are missing here"
    text = f"The sink '{name}' took none for too long; they are in the other sinks."
    return [Notice("raised", f"alerts:{name}", "warning", title, text, view.links.base, now)]


def _complain(
    outcomes: Mapping[str, Delivered], complained: Mapping[str, datetime], now: datetime, log: logging.Logger
) -> dict[str, datetime]:
    latest = dict(complained)
    for name, outcome in outcomes.items():
        if outcome.cause is None:
            if latest.pop(name, None) is not None:
                log.info("The alert sink '%s' takes notices again.", name)
        elif name not in latest or now - latest[name] >= COMPLAINT_INTERVAL:
            latest[name] = now
            log.error("%s %d notices wait for the next look.", outcome.cause, len(outcome.remaining))
    return latest
