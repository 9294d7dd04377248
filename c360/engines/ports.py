"""Ports on the loopback address: is one free, who holds it, does it answer."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import psutil

from c360.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable

LOOPBACK = "127.0.0.1"


def free() -> int:
    """A port that nothing listens on right now; another process may take it at any time."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def answers(port: int, host: str = LOOPBACK, timeout: float = 1.0) -> bool:
    """Whether something accepts connections on the port within ``timeout`` seconds."""
    try:
        with socket.create_connection((host, port), timeout):
            return True
    except OSError:
        return False


def is_free(port: int) -> bool:
    """Whether an engine could listen on the port now (a port in TIME_WAIT counts as free, as it does for engines)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    # Where a stranger listens on all addresses, binding the loopback address alone may still be allowed.
    return not answers(port, timeout=0.5)


def holder(port: int) -> str:
    """Name and pid of the process that listens on the port, as far as this user may know."""
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.Error, OSError):
        return "another process"
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return "another process"


def listens_in(port: int, processes: Iterable[psutil.Process]) -> bool:
    """Whether one of the processes listens on the port; also true where this user may not know."""
    for process in processes:
        try:
            connections = process.net_connections("tcp")
        except psutil.NoSuchProcess:
            continue
        except (psutil.Error, OSError):
            return True
        if any(c.status == psutil.CONN_LISTEN and c.laddr[1:2] == (port,) for c in connections):
            return True
    return False


def require_free(engine: str, port: int, setting: str) -> None:
    """Raise ``EngineError`` naming the setting to change when the port is taken."""
    if not is_free(port):
        raise EngineError(
            f"Port {port}, wanted by {engine}, is in use by {holder(port)}",
            f"set {setting} to a free port, or stop that process",
        )
