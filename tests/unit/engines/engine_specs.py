"""Tiny engines of real processes, to supervise in tests."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import psutil

from c360.engines.identity import TOKEN
from c360.engines.process import EngineSpec, port_check
from c360.engines.stack import Stack
from c360.engines.state import StackState
from c360.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from c360.settings import Settings

SERVE = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    server.accept()[0].close()
"""


def spec(
    settings: Settings, name: str, code: str, *arguments: str, port: int | None = None, **changes: object
) -> EngineSpec:
    """An engine that runs Python code; ready as soon as its port answers, or at once without one."""
    fields: dict[str, object] = {
        "command": (sys.executable, "-I", "-S", "-c", code, *arguments),
        "cwd": settings.home,
        "log": settings.log_dir / f"{name}.log",
        "ready": (lambda: None) if port is None else port_check(port),
        "port": port,
        "port_setting": "C360_TOY_PORT",
        "start_timeout": 20.0,
        "grace": 2.0,
        **changes,
    }
    return EngineSpec(name=name, **fields)  # type: ignore[arg-type]


def server(settings: Settings, port: int, **changes: object) -> Stack:
    """A stack with one engine, ``toy``, that listens on a port."""
    return Stack(settings, {"toy": lambda s: (spec(s, "toy", SERVE, str(port), port=port, **changes),)})


def tagged(settings: Settings) -> list[psutil.Process]:
    """Every live process of the home's engines, found by its environment, not through the stack."""
    try:
        tokens = {entry.token for entry in StackState(settings.home).entries().values()}
    except EngineError:
        return []
    return [process for process in psutil.process_iter() if environment(process).get(TOKEN) in tokens]


def environment(process: psutil.Process) -> dict[str, str]:
    """Environment of a process, empty when it ended or may not be read."""
    try:
        return process.environ() if process.status() != psutil.STATUS_ZOMBIE else {}
    except (psutil.Error, OSError):
        return {}


def gone(pid: int) -> bool:
    """Whether the process ended (a zombie has ended)."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Wait until the condition holds; returns whether it did in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def pid_in(path: Path) -> int:
    """The pid that an engine wrote into a file, once it is there."""
    assert eventually(lambda: path.exists() and path.read_text().endswith("\n")), f"{path} was not written"
    return int(path.read_text())
