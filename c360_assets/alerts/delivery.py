"""Notices to their sinks, within a bounded time; what a sink did not take stays for the next look."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from c360_assets.alerts.sinks import DeliveryFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from c360_assets.alerts.model import Notice
    from c360_assets.alerts.sinks import Sink

DEADLINE = 15.0
"""Seconds that all sinks together may take. Dagster gives up on a sensor after 60."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one sink did: how many notices it took, what remains, and why it stopped (None if it did not)."""

    sent: int
    remaining: list[Notice]
    cause: str | None


def deliver(waiting: Mapping[str, Sequence[Notice]], sinks: Sequence[Sink], seconds: float) -> dict[str, Delivered]:
    """Hand each sink its notices in their order, all sinks at once; nothing is raised.

    A notice may arrive twice if its sink took it but did not say so in time.
    """
    attempts = [_Attempt(sink, waiting[sink.name]) for sink in sinks if waiting.get(sink.name)]
    for attempt in attempts:
        attempt.start()
    end = time.monotonic() + seconds
    for attempt in attempts:
        attempt.join(max(0.0, end - time.monotonic()))
    return {attempt.sink.name: attempt.outcome(seconds) for attempt in attempts}


class _Attempt(threading.Thread):
    """One sink's delivery in a thread, because a name lookup or a server that answers byte by byte has no timeout."""

    def __init__(self, sink: Sink, notices: Sequence[Notice]) -> None:
        super().__init__(name=f"alerts-{sink.name}", daemon=True)
        self.sink = sink
        self._notices = tuple(notices)
        self._sent = 0
        self._cause: str | None = None

    def run(self) -> None:
        try:
            while self._sent < len(self._notices):
                batch = self._notices[self._sent : self._sent + self.sink.batch]
                self.sink.send(batch)
                self._sent += len(batch)
        except DeliveryFailed as failure:
            self._cause = str(failure)
        except Exception as error:  # noqa: BLE001 - its text is unknown and might hold a secret
            self._cause = f"{type(error).__name__} in the sink '{self.sink.name}'"

    def outcome(self, seconds: float) -> Delivered:
        sent, cause = self._sent, self._cause
        if cause is None and sent < len(self._notices):
            cause = f"The sink '{self.sink.name}' gave no answer within {seconds:g} s"
        return Delivered(sent, list(self._notices[sent:]), cause)
