"""Which observations become notices: one when an alert is raised, one if it worsens, one when it recovers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from c360_assets.alerts.model import RANK, TEXT_LENGTH, Alert, Notice, Severity, line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from c360_assets.alerts.model import Kind, Observation

OPEN_LIMIT = 300
"""Alerts that are remembered as open. Beyond it the oldest is forgotten: it would be raised anew, not recovered."""


@dataclass(frozen=True, slots=True)
class Open:
    """An alert that was raised and has not recovered; ``severity`` is the worst that was told."""

    severity: Severity
    title: str
    link: str
    since: datetime


def advance(opened: Mapping[str, Open], observed: Iterable[Observation]) -> tuple[list[Notice], dict[str, Open]]:
    """Apply observations in their order: the notices to send, and the alerts that are open afterwards.

    Occurrences of an alert that follow its own notice within the same observations are counted in that notice.
    """
    still = dict(opened)
    notices: list[Notice] = []
    raised_at: dict[str, int] = {}
    repeats: Counter[int] = Counter()
    for seen in observed:
        known = still.get(seen.key)
        if isinstance(seen, Alert):
            if known is not None and RANK[seen.severity] <= RANK[known.severity]:
                if seen.key in raised_at:
                    repeats[raised_at[seen.key]] += 1
                continue
            since = known.since if known else seen.at
            still[seen.key] = Open(seen.severity, seen.title, seen.link, since)
            raised_at[seen.key] = len(notices)
            kind: Kind = "raised" if known is None else "worsened"
            notices.append(Notice(kind, seen.key, seen.severity, seen.title, seen.text, seen.link, seen.at))
        elif known is not None:
            del still[seen.key]
            raised_at.pop(seen.key, None)
            text = f"{seen.text} (open since {known.since:%Y-%m-%d %H:%M:%S} UTC)"
            notices.append(
                Notice("recovered", seen.key, known.severity, known.title, text, seen.link or known.link, seen.at)
            )
    for position, times in repeats.items():
        text = f"({times + 1} times since the last look) {notices[position].text}"
        notices[position] = replace(notices[position], text=line(text, TEXT_LENGTH))
    for key in sorted(still, key=lambda key: still[key].since)[: max(0, len(still) - OPEN_LIMIT)]:
        del still[key]
    return notices, still
