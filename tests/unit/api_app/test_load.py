"""The benchmark's generator of load: a server that stops makes many slow answers, and not one."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from contextlib import closing

from tests.bench.api_load import LOOPBACK, closed, get, opened

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
STOP_AT, STOP_S = 100, 0.5


def _serve(listener: socket.socket) -> None:
    """One connection; the answer to the hundredth request takes half a second, all others nothing."""
    connection, _ = listener.accept()
    with connection:
        for number in itertools.count():
            if not connection.recv(4096):
                return
            if number == STOP_AT:
                time.sleep(STOP_S)
            connection.sendall(ANSWER)


def _server() -> tuple[socket.socket, threading.Thread]:
    listener = socket.create_server((LOOPBACK, 0))
    thread = threading.Thread(target=_serve, args=(listener,))
    thread.start()
    return listener, thread


def test_at_a_fixed_rate_each_request_is_timed_from_when_it_was_due() -> None:
    listener, thread = _server()
    with closing(listener):
        found = opened(listener.getsockname()[1], itertools.repeat(get("/")), 1, 400, connections=1)
        thread.join()
    late = found.ms[found.ms > 20]
    assert len(found.ms) == 400
    assert found.failed == 0
    # 2.5 ms apart: of 0.5 s of requests the first waits all of it, the last nearly nothing.
    assert len(late) >= 150
    assert late.max() >= STOP_S * 1000
    assert 0.3 < late.mean() / late.max() < 0.7


def test_in_the_closed_loop_a_stop_is_one_slow_answer() -> None:
    listener, thread = _server()
    with closing(listener):
        found = closed(listener.getsockname()[1], itertools.repeat(get("/")), 1, connections=1)
        thread.join()
    assert len(found.ms) > STOP_AT
    assert (found.ms > STOP_S * 1000).sum() == 1
