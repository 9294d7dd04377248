"""Where conditions come from: a source looks at the instance from its own position on, and says what it saw.

A further source is a function of the form of :class:`Source`, added to ``SOURCES``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from c360_assets.alerts.model import Alert, Cleared, Observation, Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster import AssetKey, DagsterEventType, DagsterInstance, EventLogEntry
    from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph

PAGE = 500
"""Events of one type that one look reads; the rest is read at the next."""

SETTLED = timedelta(seconds=2)
"""Age from which an event is read. A database may show event 11 before event 10, which would then be passed over."""


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses in the Dagster UI."""

    base: str

    def run(self, run_id: str) -> str:
        """Page of a run."""
        return f"{self.base}/runs/{run_id}"

    def asset(self, key: AssetKey) -> str:
        """Page of an asset."""
        return f"{self.base}/assets/{'/'.join(quote(part, safe='') for part in key.path)}"

    def check(self, key: AssetKey, name: str) -> str:
        """Page of an asset with one of its checks opened."""
        return f"{self.asset(key)}?view=checks&checkDetail={quote(name, safe='')}"


@dataclass(frozen=True, slots=True)
class View:
    """What a source may look at."""

    instance: DagsterInstance
    graph: BaseAssetGraph[Any]
    links: Links


class Source(Protocol):
    """Gives what it observed in its order, and its position for the next look.

    ``part`` is the position that it gave last: JSON values of bounded size, None at the first look, and whatever
    stands there if a cursor was damaged. At the first look a source tells what is bad now, not what once was. What it
    raises is logged and told as an alert of its own; the other sources are not held up.
    """

    def __call__(self, view: View, part: Any, now: datetime) -> tuple[list[Observation], Any]:
        """Look. ``now`` is UTC."""


def newest(view: View) -> int:
    """Storage id of the newest event, 0 if there is none."""
    return view.instance.event_log_storage.get_maximum_record_id() or 0


def position(view: View, part: Any) -> int | None:
    """The storage id in a source's part; None at a first look. Never beyond the log, which may have been emptied."""
    after = part.get("after") if isinstance(part, dict) else None
    return min(after, newest(view)) if isinstance(after, int) and after >= 0 else None


def events_after(
    view: View, types: Sequence[DagsterEventType], after: int, now: datetime
) -> tuple[list[EventLogEntry], int]:
    """All events of these types after a storage id, oldest first, and the id of the last one.

    Not only the newest per asset or run (dagster#32853), and also those that no run wrote.
    """
    storage = view.instance.event_log_storage
    pages = [storage.get_logs_for_all_runs_by_log_id(after, of_type, PAGE) for of_type in types]
    # A full page hides what follows it; the other types must not run ahead of it.
    horizon = min((max(page) for page in pages if len(page) >= PAGE), default=None)
    taken: list[EventLogEntry] = []
    for storage_id, entry in sorted((item for page in pages for item in page.items()), key=lambda item: item[0]):
        young = abs(now.timestamp() - entry.timestamp) < SETTLED.total_seconds()
        if young or (horizon is not None and storage_id > horizon):
            break
        taken.append(entry)
        after = storage_id
    return taken, after


def late_tables(view: View, part: Any, now: datetime) -> tuple[list[Observation], Any]:
    """Tables that Dagster's freshness daemon finds late, by their present state (``FAIL`` is an error)."""
    from dagster._core.definitions.freshness import FreshnessState

    watched = [key for key in view.graph.get_all_asset_keys() if view.graph.get(key).freshness_policy is not None]
    records = view.instance.get_freshness_state_records(watched) if watched else {}
    before = part.get("late", []) if isinstance(part, dict) else []
    seen: list[Observation] = []
    late: list[str] = []
    for key in sorted(watched, key=lambda key: key.to_user_string()):
        record = records.get(key)
        name, link = key.to_user_string(), view.links.asset(key)
        if record is not None and record.freshness_state in (FreshnessState.FAIL, FreshnessState.WARN):
            failed = record.freshness_state is FreshnessState.FAIL
            text = "It was not updated within the window of its contract."
            title = f"{name} is late" if failed else f"{name} is nearly late"
            severity: Severity = "error" if failed else "warning"
            seen.append(Alert(f"freshness:{name}", severity, title, text, link, record.updated_at))
            late.append(name)
        elif name in before:
            at = record.updated_at if record is not None else now
            seen.append(Cleared(f"freshness:{name}", "It is up to date again.", link, at))
    gone = sorted({str(name) for name in before} - {key.to_user_string() for key in watched})
    seen += [Cleared(f"freshness:{name}", "It is not watched any more.", "", now) for name in gone]
    return seen, {"late": late}
