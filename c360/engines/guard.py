"""Stands between the command that starts an engine and the engine, so that neither can leave the other behind.

Run as a script with the standard library only (it must start in milliseconds and stay small):
``python -I -S guard.py PARENT_PID GRACE_SECONDS STOP_SIGNAL LOG -- COMMAND…``

* It resets signal dispositions: a shell leaves SIGINT ignored in a job started with ``&``, and engines inherit that.
* It starts the command in a process group of its own and prints its pid, or the reason why it cannot be started.
* Standard input is a pipe from the parent. A byte on it means "released: live on without me". End of file before that,
  or a new parent pid, means that the parent is gone, however it died: the group is ended.
* On SIGTERM or SIGINT it ends the group: the stop signal (mostly TERM), wait, KILL.
* On Linux the kernel kills the engine if the guard itself is killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

POLL = 0.2
PR_SET_PDEATHSIG = 1


class _Stop:
    requested = False

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True


def _bind_to_guard(guard: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(1)


def _start(command: list[str], log: str) -> subprocess.Popen[bytes]:
    guard = os.getpid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    with open(log, "ab") as out:  # noqa: PTH123 - pathlib would double the start time
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: _bind_to_guard(guard),  # noqa: PLW1509 - the guard has one thread
        )


def _signal_group(group: int, number: int) -> bool:
    """Send a signal to the group (0 only asks); returns whether it has members left."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # macOS says so for a group of zombies; the wait below is bounded
    return True


def _end(child: subprocess.Popen[bytes], grace: float, number: int) -> None:
    _signal_group(child.pid, number)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline:
        child.poll()
        if not _signal_group(child.pid, 0):
            return
        time.sleep(0.05)
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()


def _parent_gone(parent: int) -> bool | None:
    """None while the parent lives, True when it is gone, False when it released the engine."""
    readable, _, _ = select.select([0], [], [], POLL)
    if readable:
        return os.read(0, 1) == b""
    return True if os.getppid() != parent else None


def main(arguments: list[str]) -> int:
    """Guard one command; returns its exit code."""
    parent, grace, ending, log = int(arguments[0]), float(arguments[1]), int(arguments[2]), arguments[3]
    command = arguments[5:]
    try:
        child = _start(command, log)
    except OSError as error:
        print(f"! {error}", flush=True)
        return 127
    stop = _Stop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    with contextlib.suppress(BrokenPipeError):
        print(child.pid, flush=True)
    gone: bool | None = None
    while child.poll() is None and not stop.requested and not gone:
        if gone is None:
            gone = _parent_gone(parent)
        else:
            time.sleep(POLL)
    _end(child, grace, ending)
    return child.returncode or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
