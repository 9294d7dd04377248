"""Load on one HTTP server from one thread, without pipelining: as fast as it answers, or at fixed moments.

A request is timed from the moment at which it was due, also if all connections were busy then: a server that stops for
a second makes a second of slow answers and not one. The generator's own work is 20 to 40 CPU µs a request, so it drives
a server of 8,000 requests a second but not one of 30,000; in the open loop it is part of what is measured.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

SPIN_S = 0.0001
"""How long before a request is due the generator stops sleeping."""
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Loaded:
    """``ms`` are the sorted milliseconds of all answers; ``failed`` those among them whose status was not 200."""

    seconds: float
    ms: np.ndarray[tuple[int], np.dtype[np.float64]]
    failed: int

    def figures(self) -> dict[str, float]:
        """What the tables show."""
        p50, p99, longest = (round(float(np.percentile(self.ms, at)), 3) for at in (50, 99, 100))
        rate = round(len(self.ms) / self.seconds)
        return {"requests": len(self.ms), "per_s": rate, "failed": self.failed, "p50": p50, "p99": p99, "max": longest}


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOOPBACK, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due, self.got, self.wanted, self.good = 0.0, b"", 0, False

    def send(self, request: bytes, due: float) -> None:
        self.due, self.got, self.wanted = due, b"", 0
        self.socket.sendall(request)

    def answered(self) -> bool:
        """Read what is there; whether the answer is whole."""
        part = self.socket.recv(262_144)
        if not part:
            raise SystemExit("the server has closed a connection")
        self.got += part
        if not self.wanted and (end := self.got.find(b"\r\n\r\n")) >= 0:
            at = self.got.index(b"content-length: ") + 16
            self.wanted = end + 4 + int(self.got[at : self.got.index(b"\r\n", at)])
            self.good = self.got.startswith(b"HTTP/1.1 200")
        return 0 < self.wanted <= len(self.got)


def get(path: str, key: str = "") -> bytes:
    """A GET request."""
    return f"GET {path} HTTP/1.1\r\nhost: bench\r\nx-api-key: {key}\r\n\r\n".encode()


def post(path: str, body: bytes, key: str = "") -> bytes:
    """A POST request of JSON."""
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def closed(port: int, requests: Iterator[bytes], seconds: float, connections: int = 16) -> Loaded:
    """On each connection the next request follows the answer."""
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            _open(selector, port).send(next(requests), time.perf_counter())
        taken: list[float] = []
        failed, began = 0, time.perf_counter()
        now = began
        while now < began + seconds:
            for key, _ in selector.select(1):
                connection: _Connection = key.data
                if connection.answered():
                    now = time.perf_counter()
                    taken.append(now - connection.due)
                    failed += not connection.good
                    connection.send(next(requests), now)
        return _loaded(selector, now - began, taken, failed)


def opened(port: int, requests: Iterator[bytes], seconds: float, rate: float, connections: int = 64) -> Loaded:
    """``rate`` requests a second, each at its moment, or later if no connection is free by then."""
    # Not epoll, which waits for whole milliseconds.
    with selectors.SelectSelector() as selector:
        free = deque(_open(selector, port) for _ in range(connections))
        taken: list[float] = []
        failed, sent, began = 0, 0, time.perf_counter()
        wanted = int(rate * seconds)
        while len(taken) < wanted:
            due = began + sent / rate
            if free and sent < wanted and time.perf_counter() >= due:
                free.popleft().send(next(requests), due)
                sent += 1
            until = due - time.perf_counter() - SPIN_S if free and sent < wanted else 1
            for key, _ in selector.select(max(until, 0)):
                connection: _Connection = key.data
                if connection.answered():
                    taken.append(time.perf_counter() - connection.due)
                    failed += not connection.good
                    free.append(connection)
        return _loaded(selector, time.perf_counter() - began, taken, failed)


def _open(selector: selectors.BaseSelector, port: int) -> _Connection:
    connection = _Connection(port)
    selector.register(connection.socket, selectors.EVENT_READ, connection)
    return connection


def _loaded(selector: selectors.BaseSelector, seconds: float, taken: list[float], failed: int) -> Loaded:
    for key in list(selector.get_map().values()):
        key.data.socket.close()
    return Loaded(seconds, np.sort(np.array(taken)) * 1000, failed)
