"""The client against servers that fail: what is tried again and what is not, how long that takes, and what is told."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from api.client import ApiError, AsyncClient, Client, UnreachableError
from api.client.call import Call
from api.client.retrying import Attempts, Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Fault = Callable[[BaseHTTPRequestHandler], None]

KEY = "c360k_0123456789ab_secret"
FOUND = {"data": {"customer_id": "C1"}, "release": {"id": "1", "as_of": "", "published_at": ""}}


def answers(status: int, body: object = None, **headers: str) -> Fault:
    def fault(to: BaseHTTPRequestHandler) -> None:
        text = json.dumps(body).encode()
        to.send_response(status)
        for name, value in headers.items():
            to.send_header(name.replace("_", "-"), value)
        to.send_header("content-length", str(len(text)))
        to.end_headers()
        to.wfile.write(text)

    return fault


def reset(to: BaseHTTPRequestHandler, sent: bytes = b'{"data": ') -> None:
    """Begins the body, and cuts the connection in the middle of it."""
    to.send_response(200)
    to.send_header("content-length", "1000")
    to.end_headers()
    to.wfile.write(sent)
    to.wfile.flush()
    to.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    to.connection.shutdown(socket.SHUT_RDWR)


def closes(to: BaseHTTPRequestHandler) -> None:
    to.connection.shutdown(socket.SHUT_RDWR)


def hangs(to: BaseHTTPRequestHandler) -> None:
    time.sleep(0.6)
    closes(to)


def trickles(to: BaseHTTPRequestHandler) -> None:
    """A byte now and then, each within the time that a wait may take, for a minute."""
    to.send_response(200)
    to.send_header("content-length", "600")
    to.end_headers()
    try:
        for _ in range(600):
            to.wfile.write(b" ")
            time.sleep(0.1)
    except OSError:
        pass


def lines(count: int, last: bytes) -> Fault:
    """A chunked stream; ``last`` ends it."""

    def fault(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.send_header("transfer-encoding", "chunked")
        to.end_headers()
        for number in range(count):
            line = b'{"customer_id": "C%d"}\n' % number
            to.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        to.wfile.write(last)
        to.wfile.flush()
        to.close_connection = True

    return fault


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(time.monotonic())
        self.server.headers.append(self.headers)
        self.server.paths.append(self.path)
        self.server.bodies.append(self.rfile.read(int(self.headers.get("content-length", 0))))
        (self.server.faults.pop(0) if self.server.faults else answers(200, FOUND))(self)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Answers the first requests as told, and then with a customer. ``asked`` are the moments of all of them."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults, self.asked, self.headers = faults, list[float](), list[Any]()
        self.paths, self.bodies = list[str](), list[bytes]()
        self.address = f"http://127.0.0.1:{self.server_port}"


@contextmanager
def serving(*faults: Fault) -> Iterator[Server]:
    server = Server(list(faults))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(server: Server, **more: Any) -> Any:
    with Client(server.address, key=KEY, **more) as client:
        return client.get_customer("C1")


def ask_later(server: Server, **more: Any) -> Any:
    async def asked() -> Any:
        async with AsyncClient(server.address, key=KEY, **more) as client:
            return await client.get_customer("C1")

    return asyncio.run(asked())


@pytest.mark.parametrize("how", [ask, ask_later])
def test_what_fails_for_a_moment_is_asked_again(how: Callable[..., Any]) -> None:
    with serving(answers(503), reset, closes, answers(502, "<html>")) as server:
        assert how(server) == FOUND
        assert len(server.asked) == 5
    with serving(answers(504), answers(503)) as server:
        with pytest.raises(ApiError, match="503 http_503"):
            how(server, retries=1)
        assert len(server.asked) == 2


@pytest.mark.parametrize("status", [302, 304, 400, 401, 403, 404, 410, 413, 422, 500])
def test_what_is_refused_is_not_asked_again(status: int) -> None:
    with serving(answers(status, {"code": "no", "detail": "No.", "status": status}, location="/elsewhere")) as server:
        with pytest.raises(ApiError) as refused:
            ask(server)
        assert len(server.asked) == 1
    assert refused.value.status == status
    # A 304 has no body; nothing was held, so it is no answer either.
    assert refused.value.code == ("http_304" if status == 304 else "no")


@pytest.mark.parametrize("how", [ask, ask_later])
def test_it_waits_as_long_as_it_is_told(how: Callable[..., Any]) -> None:
    too_fast = answers(429, {"code": "too_fast", "detail": "."}, retry_after="1")
    with serving(too_fast) as server:
        assert how(server) == FOUND
        assert 1 <= server.asked[1] - server.asked[0] < 5
    with serving(answers(503, None, retry_after=formatdate(time.time() + 2, usegmt=True))) as server:
        assert how(server) == FOUND
        assert 0.9 < server.asked[1] - server.asked[0] < 6


def test_it_does_not_wait_longer_than_it_may() -> None:
    with serving(answers(429, {"code": "too_fast", "detail": "."}, retry_after="30")) as server:
        began = time.monotonic()
        with pytest.raises(ApiError, match="429 too_fast") as refused:
            ask(server, total=5)
        assert time.monotonic() - began < 4
        assert refused.value.retry_after_s == 30
    with serving(*[answers(503)] * 100) as server:
        began = time.monotonic()
        with pytest.raises(ApiError, match="503"):
            ask(server, total=1, retries=100)
        assert time.monotonic() - began < 4
        assert len(server.asked) < 20


@pytest.mark.parametrize("how", [ask, ask_later])
@pytest.mark.parametrize("fault", [trickles, hangs])
def test_an_answer_that_does_not_come_ends_in_time(how: Callable[..., Any], fault: Fault) -> None:
    with serving(*[fault] * 9) as server:
        began = time.monotonic()
        with pytest.raises(UnreachableError):
            how(server, timeout=0.3, total=1)
        assert 0.3 < time.monotonic() - began < 5


def test_pauses_are_random_and_grow_up_to_a_bound() -> None:
    drawn: list[list[float]] = [[] for _ in range(9)]
    for _ in range(300):
        attempts = Attempts(Patience(timeout_s=1, retries=9, total_s=1_000), repeatable=True)
        for found in drawn:
            found.append(attempts.pause_s(UnreachableError("")))
    for found, most in zip(drawn, [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10, 10], strict=True):
        assert 0 <= min(found) < 0.2 * most < 0.8 * most < max(found) <= most


def test_only_what_is_safe_to_repeat_is_repeated() -> None:
    with serving(answers(503), answers(503), closes) as server, Client(server.address, key=KEY) as client:
        client.get_customers(ids=["C1"])
        client.lookup_customers(email="a@b.example")
        assert len(server.asked) == 5
        server.faults += [answers(503), closes]
        for error in (ApiError, UnreachableError):
            with pytest.raises(error):
                client._answer(dict, Call("POST", "/v1/changes", body={}, repeatable=False))
        assert len(server.asked) == 7


def test_nobody_there_is_told_and_may_come_back() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}", key=KEY, total=1) as client, pytest.raises(UnreachableError) as unreachable:
        client.list_tables()
    assert "ConnectError" in str(unreachable.value)
    assert unreachable.value.__context__ is None
    assert unreachable.value.__cause__ is None


def test_a_stream_that_breaks_off_is_no_short_stream() -> None:
    with serving(answers(503), lines(3, b"0\r\n\r\n")) as server, Client(server.address, key=KEY) as client:
        assert [row["customer_id"] for row in client.export_customers()] == ["C0", "C1", "C2"]
        assert len(server.asked) == 2
    cut = b'8\r\n{"custom\r\n0\r\n\r\n'
    for last in (b"", b"5\r\n{", cut):
        with serving(lines(3, last)) as server, Client(server.address, key=KEY) as client:
            rows = client.export_customers()
            assert [next(rows)["customer_id"] for _ in range(3)] == ["C0", "C1", "C2"]
            with pytest.raises(UnreachableError):
                next(rows)
            assert len(server.asked) == 1


def test_an_arrow_stream_that_breaks_off_is_an_error() -> None:
    import io

    import pyarrow as pa

    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, pa.schema({"n": pa.int64()})) as writer:
        for number in range(3):
            writer.write_batch(pa.RecordBatch.from_pydict({"n": [number] * 1_000}))
    whole = sink.getvalue()

    def cut(to: BaseHTTPRequestHandler) -> None:
        reset(to, whole[:500])

    def full(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.send_header("content-length", str(len(whole)))
        to.end_headers()
        to.wfile.write(whole)

    with serving(full, cut) as server, Client(server.address, key=KEY) as client:
        assert client.export_customers_arrow().read_all().num_rows == 3_000
        with pytest.raises(UnreachableError):
            client.export_customers_arrow().read_all()


def test_what_a_server_gives_away_is_cut_out() -> None:
    def echoes(to: BaseHTTPRequestHandler) -> None:
        problem = {"code": "x", "detail": str(to.headers), "errors": [{"where": KEY, "why": KEY}]}
        answers(418, problem, x_request_id=KEY)(to)

    with serving(echoes) as server, pytest.raises(ApiError) as refused:
        ask(server)
    assert server.headers[0]["x-api-key"] == KEY
    assert "***" in refused.value.detail
    assert KEY not in f"{refused.value!r} {refused.value} {vars(refused.value)}"
    with serving(lines(2, b"0\r\n\r\n")) as server, pytest.raises(ApiError, match="not_json"):
        ask(server)
    not_run = {"errors": [{"message": "There is no field x.", "extensions": {"code": "not_valid"}}]}
    with (
        serving(answers(400, not_run)) as server,
        pytest.raises(ApiError, match=r"400 http_400.*There is no field x\."),
    ):
        ask(server)
