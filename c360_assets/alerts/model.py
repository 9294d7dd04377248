"""What is observed, and what is told: an alert or its end, and the notice that a reader gets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

Severity = Literal["warning", "error"]
Kind = Literal["raised", "worsened", "recovered"]

RANK: dict[Severity, int] = {"warning": 0, "error": 1}
KEY_LENGTH, TITLE_LENGTH, TEXT_LENGTH, LINK_LENGTH = 300, 200, 500, 400


def line(text: str, length: int) -> str:
    """``text`` as one line of at most ``length`` characters, so that it fits a mail header and the cursor."""
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"


@dataclass(frozen=True, slots=True)
class Alert:
    """A condition that is bad at ``at`` (UTC).

    ``key`` names the condition, not its occurrence (``run:<job>``, ``check:<asset>:<check>``, ``freshness:<asset>``):
    two alerts with one key are one alert.
    """

    key: str
    severity: Severity
    title: str
    text: str
    link: str
    at: datetime

    def bounded(self, clean: Callable[[str], str]) -> Alert:
        """The same with its texts cleaned and cut to one line of bounded length each, in this order."""
        title, text = line(clean(self.title), TITLE_LENGTH), line(clean(self.text), TEXT_LENGTH)
        return replace(self, key=self.key[:KEY_LENGTH], title=title, text=text, link=self.link[:LINK_LENGTH])


@dataclass(frozen=True, slots=True)
class Cleared:
    """The condition ``key`` is good at ``at`` (UTC). Says nothing if no alert with this key is open."""

    key: str
    text: str
    link: str
    at: datetime

    def bounded(self, clean: Callable[[str], str]) -> Cleared:
        """The same with its texts cleaned and cut to one line of bounded length each, in this order."""
        text = line(clean(self.text), TEXT_LENGTH)
        return replace(self, key=self.key[:KEY_LENGTH], text=text, link=self.link[:LINK_LENGTH])


Observation = Alert | Cleared


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to a reader about one alert; ``at`` is when the condition became so (UTC)."""

    kind: Kind
    key: str
    severity: Severity
    title: str
    text: str
    link: str
    at: datetime

    @property
    def headline(self) -> str:
        """State and title in one line."""
        state = {"raised": self.severity.upper(), "worsened": "WORSE", "recovered": "RECOVERED"}[self.kind]
        return f"{state}: {self.title}"
