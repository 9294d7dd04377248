"""Recognise a started engine again from another command, and end it with all it has started.

A pid alone proves nothing after a crash: it may have been given to a stranger. Each start therefore puts a token into
the environment, which every descendant inherits; where an environment cannot be read, the time of creation decides.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable

TOKEN = "C360_ENGINE_TOKEN"  # noqa: S105 - a name tag, not a secret
CLOCK_SLACK = 2.0


@dataclass(frozen=True)
class Identity:
    """A started process, so that it can be told from a later one with the same pid."""

    pid: int
    created: float
    token: str

    def process(self) -> psutil.Process | None:
        """The live process, or None when it ended, is a zombie, or its pid belongs to a stranger."""
        try:
            found = psutil.Process(self.pid)
            if found.status() == psutil.STATUS_ZOMBIE:
                return None
            try:
                return found if found.environ().get(TOKEN) == self.token else None
            except psutil.AccessDenied:
                return found if abs(found.create_time() - self.created) < CLOCK_SLACK else None
        except (psutil.Error, OSError):
            return None

    def family(self) -> list[psutil.Process]:
        """Every live process of this start: guard, engine and whatever they started, even in other groups."""
        members: dict[int, psutil.Process] = {}
        leader = self.process()
        if leader is not None:
            members[leader.pid] = leader
            with contextlib.suppress(psutil.Error):
                members.update((child.pid, child) for child in leader.children(recursive=True))
        for candidate in psutil.process_iter():
            try:
                if candidate.environ().get(TOKEN) == self.token and candidate.status() != psutil.STATUS_ZOMBIE:
                    members[candidate.pid] = candidate
            except (psutil.Error, OSError):
                continue
        for pid in [os.getpid(), *(parent.pid for parent in psutil.Process().parents())]:
            members.pop(pid, None)  # a command that runs inside an engine does not end itself
        return list(members.values())


def stop(*identities: Identity, grace: float = 10.0) -> None:
    """End every process of these starts and nothing else: TERM, wait up to ``grace`` seconds, KILL.

    A guard is asked first and ends its engine's group; what it leaves (descendants that moved away, or everything if
    the guard itself is gone) is asked next.
    """
    guards = [leader for identity in identities if (leader := identity.process()) is not None]
    family = [member for identity in identities for member in identity.family()]
    for process in guards:
        _quietly(process.terminate)
    asked, deadline = False, time.monotonic() + grace + 2.0
    while family and time.monotonic() < deadline:
        family = [process for process in family if _lives(process)]
        if not asked and not any(_lives(leader) for leader in guards):
            asked = True
            for process in family:
                _quietly(process.terminate)
        time.sleep(0.05)
    late = [process for identity in identities for process in identity.family()]
    for process in [*family, *late]:
        _quietly(process.kill)
    psutil.wait_procs(family, timeout=5)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _quietly(action: Callable[[], None]) -> None:
    with contextlib.suppress(psutil.Error):
        action()
