"""One engine as a supervised child process, and how to recognise it again from another command.

A pid alone proves nothing after a crash: it may have been given to a stranger. Each start therefore puts a token into
the environment, which every descendant inherits; where an environment cannot be read, the time of creation decides.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from c360.engines import guard, ports
from c360.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "C360_ENGINE_TOKEN"  # noqa: S105 - a name tag, not a secret
CLOCK_SLACK = 2.0
READY_POLL = 0.25

HealthCheck = Callable[[], "str | None"]

# Released guards outlive the command; keeping the handles lets a long-lived starter reap them, and keeps the
# interpreter from warning about them.
_RELEASED: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class EngineSpec:
    """What it takes to run one process of an engine.

    ``ready`` returns None when the process serves, or the reason why not yet. ``prepare`` runs before the start, under
    the stack's lock (fetching jars, writing configuration). ``env`` is laid over the environment; None removes a
    variable.
    """

    name: str
    command: tuple[str, ...]
    cwd: Path
    log: Path
    ready: HealthCheck
    env: Mapping[str, str | None] = field(default_factory=dict)
    port: int | None = None
    port_setting: str = ""
    address: str = ""
    prepare: Callable[[], None] = lambda: None
    start_timeout: float = 120.0
    grace: float = 10.0


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


class ManagedProcess:
    """A started engine, held by the command that started it until it is released or stopped."""

    def __init__(self, spec: EngineSpec, token: str | None = None) -> None:
        self.spec = spec
        self.token = token or uuid.uuid4().hex
        self._guard: subprocess.Popen[bytes] | None = None
        self.identity: Identity | None = None
        self.engine_pid: int | None = None

    def start(self) -> Identity:
        """Start the guard and, through it, the engine; the previous log is kept as ``<log>.1``.

        Raises:
            EngineError: the command cannot be started, or a folder cannot be written.
        """
        spec = self.spec
        try:
            spec.cwd.mkdir(parents=True, exist_ok=True)
            spec.log.parent.mkdir(parents=True, exist_ok=True)
            if spec.log.exists():
                spec.log.replace(spec.log.with_name(f"{spec.log.name}.1"))
        except OSError as error:
            raise EngineError(f"{error.filename} cannot be written ({error.strerror})", "set C360_HOME") from error
        overlay = {**spec.env, TOKEN: self.token}
        env = {k: v for k, v in os.environ.items() if k not in overlay} | {k: v for k, v in overlay.items() if v}
        script = [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), str(spec.grace), str(spec.log), "--"]
        self._guard = subprocess.Popen(
            [*script, *spec.command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=spec.cwd,
            env=env,
            start_new_session=True,
        )
        answer = self._first_line()
        if not answer.isdigit():
            self._guard.wait(5)
            raise EngineError(f"{spec.name} cannot be started ({answer.lstrip('! ')})", f"see {spec.log}")
        self.engine_pid = int(answer)
        self.identity = Identity(self._guard.pid, psutil.Process(self._guard.pid).create_time(), self.token)
        return self.identity

    def _first_line(self) -> str:
        assert self._guard is not None
        assert self._guard.stdout is not None
        with self._guard.stdout as pipe:
            readable, _, _ = select.select([pipe], [], [], 30.0)
            return pipe.readline().decode(errors="replace").strip() if readable else "the guard does not answer"

    def wait_ready(self) -> None:
        """Block until the engine serves.

        Raises:
            EngineError: it ended, or did not become ready in time; the last line of its log is quoted.
        """
        deadline = time.monotonic() + self.spec.start_timeout
        reason: str | None = "not asked yet"
        while time.monotonic() < deadline:
            if self._guard is None or self._guard.poll() is not None:
                raise EngineError(
                    f"{self.spec.name} ended while starting: {last_line(self.spec.log)}",
                    f"read {self.spec.log}, then start it again",
                )
            reason = self.spec.ready()
            if reason is None:
                return
            time.sleep(READY_POLL)
        raise EngineError(
            f"{self.spec.name} was not ready after {self.spec.start_timeout:.0f} s ({reason})",
            f"read {self.spec.log}, then start it again",
        )

    def release(self) -> None:
        """Let the engine live on after this command."""
        assert self._guard is not None
        assert self._guard.stdin is not None
        with self._guard.stdin as pipe:
            pipe.write(b"R")
        _RELEASED.append(self._guard)

    def reap(self) -> None:
        """Collect the guard after a stop."""
        if self._guard is not None:
            if self._guard.stdin is not None and not self._guard.stdin.closed:
                self._guard.stdin.close()
            self._guard.wait(self.spec.grace + 5.0)


def stop(*identities: Identity, grace: float = 10.0) -> None:
    """End every process of these starts and nothing else: TERM, wait up to ``grace`` seconds, KILL.

    A guard is asked first and ends its engine's group; what it leaves (descendants that moved away, or everything if the
    guard itself is gone) is asked next.
    """
    guards = [leader for identity in identities if (leader := identity.process()) is not None]
    family = [member for identity in identities for member in identity.family()]
    for process in guards:
        _quietly(process.terminate)
    asked, deadline = False, time.monotonic() + grace + 2.0
    while family and time.monotonic() < deadline:
        _reap_released()
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
    _reap_released()


def last_line(log: Path) -> str:
    """Last line of a log that says something, for an error message."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-200:]
    except OSError:
        return "no log"
    telling = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith(("at ", "..."))]
    for line in telling:
        if "Exception" in line or "Error" in line:
            return line[:300]
    return telling[-1][:300] if telling else "the log is empty"


def port_check(port: int) -> HealthCheck:
    """Health check for an engine that serves as soon as it listens."""
    return lambda: None if ports.answers(port) else f"port {port} does not answer"


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _quietly(action: Callable[[], None]) -> None:
    with contextlib.suppress(psutil.Error):
        action()


def _reap_released() -> None:
    _RELEASED[:] = [process for process in _RELEASED if process.poll() is None]
