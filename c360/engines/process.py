"""One engine as a supervised child process: start it, wait until it serves, let it go or end it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psutil

from c360.engines import guard, ports
from c360.engines.identity import TOKEN, Identity
from c360.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

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
    variable. ``port`` is the one that clients ask; ``more_ports`` are further ones it listens on, by setting.
    ``stop_signal`` asks it to end. Times are in seconds.
    """

    name: str
    command: tuple[str, ...]
    cwd: Path
    log: Path
    ready: HealthCheck
    env: Mapping[str, str | None] = field(default_factory=dict)
    port: int | None = None
    port_setting: str = ""
    more_ports: Mapping[str, int] = field(default_factory=dict)
    address: str = ""
    prepare: Callable[[], None] = lambda: None
    start_timeout: float = 120.0
    grace: float = 10.0
    stop_signal: int = signal.SIGTERM

    def all_ports(self) -> dict[str, int]:
        """Every port that the process listens on, by the setting that names it."""
        return ({} if self.port is None else {self.port_setting: self.port}) | dict(self.more_ports)


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
        asked = [str(os.getpid()), str(spec.grace), str(int(spec.stop_signal)), str(spec.log), "--"]
        script = [sys.executable, "-I", "-S", guard.__file__, *asked]
        try:
            # Were the command's own error stream inherited, `c360 up 2>&1 | tee` would wait for the engine's end.
            with spec.log.open("ab") as log:
                self._guard = subprocess.Popen(
                    [*script, *spec.command],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=spec.cwd,
                    env=env,
                    start_new_session=True,
                )
        except OSError as error:
            raise EngineError(f"{spec.name} cannot be started ({error})", "set C360_HOME, or free space") from error
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

    def wait_ready(self, beside: Sequence[ManagedProcess] = ()) -> None:
        """Block until the engine serves. ``beside``: processes started with it, without which it may never do so.

        Raises:
            EngineError: it or one of those ended, or it did not become ready in time; the ended one's log is quoted.
        """
        deadline = time.monotonic() + self.spec.start_timeout
        reason: str | None = "not asked yet"
        while time.monotonic() < deadline:
            for process in (self, *beside):
                process.require_alive()
            reason = self.spec.ready() or self._stranger()
            if reason is None:
                self.require_alive()
                return
            time.sleep(READY_POLL)
        raise EngineError(
            f"{self.spec.name} was not ready after {self.spec.start_timeout:.0f} s ({reason})",
            f"read {self.spec.log}, then start it again",
        )

    def require_alive(self) -> None:
        """EngineError that quotes its log if the engine has ended."""
        if self._guard is None or self._guard.poll() is not None:
            raise EngineError(
                f"{self.spec.name} ended while starting: {last_line(self.spec.log)}",
                f"read {self.spec.log}, then start it again",
            )

    def _stranger(self) -> str | None:
        """Why the one that answers on the port is not this engine: another process may have taken it meanwhile."""
        if self.spec.port is None or self.identity is None:
            return None
        if ports.listens_in(self.spec.port, self.identity.family()):
            return None
        return f"port {self.spec.port} is answered by {ports.holder(self.spec.port)}"

    def release(self) -> None:
        """Let the engine live on after this command; EngineError if it ended meanwhile."""
        assert self._guard is not None
        assert self._guard.stdin is not None
        _RELEASED.append(self._guard)
        with contextlib.suppress(BrokenPipeError), self._guard.stdin as pipe:
            pipe.write(b"R")
            return
        self._guard.wait(self.spec.grace)
        self.require_alive()

    def reap(self) -> None:
        """Collect the guard after a stop."""
        if self._guard is not None:
            if self._guard.stdin is not None and not self._guard.stdin.closed:
                self._guard.stdin.close()
            self._guard.wait(self.spec.grace + 5.0)


def last_line(log: Path) -> str:
    """The line of a log that says why, for an error message: its first error, else its last words."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-2000:]
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


def reap_released() -> None:
    """Collect released guards that ended, so that a long-lived starter keeps no zombies."""
    _RELEASED[:] = [process for process in _RELEASED if process.poll() is None]
