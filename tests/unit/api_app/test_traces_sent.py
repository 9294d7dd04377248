"""Traces of the API as a process, as a collector receives them; and without one that answers."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import TYPE_CHECKING, Any

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from api.security.principal import Role
from tests.leaks.sentinel import SENTINEL
from tests.unit.api_app.conftest import serving
from tests.unit.api_app.test_traces import STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.api_app.conftest import World

ASKED = 200
STOPS_WITHIN_S = 15
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "100"}


class Collector:
    """What came by OTLP/HTTP."""

    def __init__(self) -> None:
        self.paths, self.spans, self.resources = Counter[str](), list[Any](), list[dict[str, str]]()
        self.scopes = set[str]()

    def take(self, path: str, body: bytes) -> None:
        self.paths[path] += 1
        if path != "/v1/traces":
            return
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append({each.key: each.value.string_value for each in resource.resource.attributes})
            for scope in resource.scope_spans:
                self.scopes.add(scope.scope.name)
                self.spans += scope.spans
                for span in scope.spans:
                    SENTINEL.span(span.name, str(span))


@contextmanager
def collector() -> Iterator[tuple[Collector, str]]:
    found = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            found.take(self.path, self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield found, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def load(world: World, own: dict[str, str]) -> list[httpx.Response]:
    """Answers to many requests from several threads."""
    ids = [str(row["customer_id"]) for row in world.customers]
    paths = [f"/v1/customers/{ids[number % len(ids)]}{('', '/orders')[number % 2]}" for number in range(ASKED)]
    address = f"http://127.0.0.1:{own['C360_API_PORT']}"
    with (
        httpx.Client(base_url=address, headers={"x-api-key": world.key(Role.SUPPORT)}) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        answers = list(pool.map(client.get, paths))
    for answer in answers:
        SENTINEL.received(world.settings.home, answer)
    return answers


def test_a_collector_receives_each_request_once_and_whole(world: World) -> None:
    with collector() as (found, address):
        given = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_SERVICE_NAME": "c360-test"} | SOON
        # Whoever asks FastAPI for its own spans gets none: they would have paths and queries in them.
        given["FASTAPI_OTEL_AUTO_CONFIGURE"] = "true"
        with serving(world.settings, **given) as (own, process, log):
            answers = load(world, own)
            process.send_signal(signal.SIGTERM)  # the last spans leave as it stops
            process.wait(STOPS_WITHIN_S)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {answer.status_code for answer in answers} == {200}
    assert (set(found.paths), found.scopes) == ({"/v1/traces"}, {"c360.api"})
    assert {resource["service.name"] for resource in found.resources} == {"c360-test"}
    traces: dict[str, list[Any]] = {}
    for span in found.spans:
        traces.setdefault(span.trace_id.hex(), []).append(span)
    for answer in answers:
        _, trace, top, _ = answer.headers["traceresponse"].split("-")
        spans = traces.pop(trace)
        part = answer.request.url.path.endswith("/orders")
        template = "/v1/customers/{customer_id}" + "/orders" * part
        wanted = [f"GET {template}", *STEPS, *["read"] * part]
        assert sorted(span.name for span in spans) == sorted(wanted)
        assert {span.parent_span_id.hex() for span in spans} == {"", top}
        [line] = [line for line in lines if line.get("span_id") == top]
        assert (line["trace_id"], line["request_id"]) == (trace, answer.headers["x-request-id"])
    assert {span.name for spans in traces.values() for span in spans} == {"GET /readyz"}
    sent = b"".join(span.SerializeToString() for span in found.spans).decode("latin-1")
    for row in world.customers:
        for column in ("customer_id", "full_name", "email", "phone"):
            assert row[column] is None or str(row[column]).encode().decode("latin-1") not in sent


def test_collectors_that_refuse_or_never_answer_slow_and_fail_nothing(world: World) -> None:
    """One is not there; the other takes the connection and is silent. Each gets one line in the log."""
    with socket() as silent, socket() as closed:
        for each in (silent, closed):
            each.bind(("127.0.0.1", 0))
        silent.listen(8)
        for port in (silent.getsockname()[1], closed.getsockname()[1]):
            given = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
                "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
                "OTEL_BSP_MAX_QUEUE_SIZE": "64",  # it overflows
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "16",
            } | SOON
            with serving(world.settings, **given) as (own, process, log):
                answers = load(world, own)
                time.sleep(3)
                answers += load(world, own)
                began = time.monotonic()
                process.send_signal(signal.SIGTERM)
                process.wait(STOPS_WITHIN_S)
                stopped = time.monotonic() - began
            assert {answer.status_code for answer in answers} == {200}
            assert max(answer.elapsed.total_seconds() for answer in answers) < 2
            assert stopped < 10
            lines = [json.loads(line) for line in log.read_text().splitlines()]
            told = [line for line in lines if line["level"] != "INFO"]
            assert [line["message"] for line in told] == [
                "traces cannot be delivered; they are lost until their collector answers"
            ]
            assert not [line for line in lines if line["logger"].startswith("opentelemetry")]
