"""A limit to the time of requests by one timer for all of them: one for each costs more than parts of their answers."""

from __future__ import annotations

import asyncio

LOOKS = 16
"""How often within the limit is looked; a request ends at most this part of it too late."""


class Deadlines:
    """Contexts that end with TimeoutError ``seconds`` after they were begun, unless they are let off before."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._due: dict[asyncio.Timeout, float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> asyncio.Timeout:
        """A context to be entered at once. Whoever leaves it has to call :meth:`let_off`."""
        loop, clock = asyncio.get_running_loop(), asyncio.timeout(None)
        if loop is not self._loop:
            self._loop, self._due = loop, {}
            self._look(loop)
        self._due[clock] = loop.time() + self._seconds
        return clock

    def let_off(self, clock: asyncio.Timeout) -> None:
        """From now on this one may last as long as it likes."""
        self._due.pop(clock, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop:
            return
        now = loop.time()
        for clock in [clock for clock, due in self._due.items() if due <= now]:
            del self._due[clock]
            clock.reschedule(now)
        loop.call_later(self._seconds / LOOKS, self._look, loop)
