"""Where notices go: the log, a file of JSON lines, a webhook in Slack's form, mail."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Protocol

import msgspec
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from c360.errors import C360Error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from c360.settings import Settings
    from c360_assets.alerts.model import Notice

PAUSE = 0.5
"""Seconds between the two attempts of a delivery."""


class DeliveryFailed(C360Error):
    """A sink did not take its notices. The message holds no secret; ``passing`` if a second attempt may succeed."""

    def __init__(self, problem: str, mend: str, *, passing: bool = False) -> None:
        super().__init__(problem, mend)
        self.passing = passing


class Sink(Protocol):
    """Takes notices, at most ``batch`` at a time and all or none of them."""

    @property
    def name(self) -> str:
        """The sink's name in ``C360_ALERT_SINKS``."""

    @property
    def batch(self) -> int:
        """The most notices of one :meth:`send`."""

    def send(self, notices: Sequence[Notice]) -> None:
        """Deliver. Raises DeliveryFailed."""


class LogSink:
    """One line per notice: errors as errors, warnings as warnings, recoveries as information."""

    name: ClassVar[str] = "log"
    batch: ClassVar[int] = 100

    def __init__(self, log: logging.Logger) -> None:
        self._log = log

    def send(self, notices: Sequence[Notice]) -> None:
        """Log the notices."""
        for notice in notices:
            level = logging.ERROR if notice.severity == "error" else logging.WARNING
            level = logging.INFO if notice.kind == "recovered" else level
            self._log.log(level, "%s. %s %s", notice.headline, notice.text, notice.link)


class FileSink:
    """Appends one JSON object per notice."""

    name: ClassVar[str] = "file"
    batch: ClassVar[int] = 100

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, notices: Sequence[Notice]) -> None:
        """Append the notices; a write that fails half-way is taken back. Raises DeliveryFailed."""
        lines = msgspec.json.Encoder().encode_lines(notices)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab", buffering=0) as file:
                start = file.tell()
                if file.write(lines) != len(lines):
                    file.truncate(start)
                    raise DeliveryFailed(f"{self._path} cannot be written in full", "make room on its disk")
        except OSError as error:
            raise DeliveryFailed(
                f"{self._path} cannot be written ({error.strerror})", "set C360_HOME to a folder that can be written"
            ) from error


def twice(action: Callable[[], None]) -> None:
    """Run ``action``, and once more after a pause if it failed for a reason that may pass."""
    attempts = Retrying(
        stop=stop_after_attempt(2),
        wait=wait_fixed(PAUSE),
        retry=retry_if_exception(lambda error: isinstance(error, DeliveryFailed) and error.passing),
        reraise=True,
    )
    attempts(action)


def summary(notices: Sequence[Notice]) -> str:
    """``2 raised, 1 recovered``."""
    counts = Counter(notice.kind for notice in notices)
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def sinks_of(settings: Settings, log: logging.Logger) -> tuple[Sink, ...]:
    """The sinks that the settings name, in their order."""
    from c360_assets.alerts.mail import MailSink
    from c360_assets.alerts.webhook import WebhookSink

    made: dict[str, Callable[[], Sink]] = {
        "log": lambda: LogSink(log),
        "file": lambda: FileSink(settings.home / "alerts.jsonl"),
        "webhook": lambda: WebhookSink.of(settings),
        "smtp": lambda: MailSink.of(settings),
    }
    return tuple(made[name]() for name in settings.alert_sink_names)
