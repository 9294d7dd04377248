"""Spans of requests: their tree, what they say and what they never say, and whose children they are."""

from __future__ import annotations

import io
import json
import logging
import re
import shutil
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from api.loglines import BlockHandler
from api.security.principal import Role
from api.tracing import Tracing, tracing_of
from c360.errors import SettingsError
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from tests.unit.api_app.conftest import World
from tests.unit.api_app.test_answers import served
from tests.unit.api_app.test_direct import OTHER_WAY
from tests.unit.api_app.test_owasp import ROUTES, consenting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

STEPS = ["authenticate", "decide", "find release", "read", "present", "audit write"]
PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


class Traced:
    """A world whose API is traced, and the spans of the last request."""

    def __init__(self, world: World, spans: InMemorySpanExporter) -> None:
        self.world, self.spans = world, spans
        self.keys = {role: world.key(role) for role in Role}

    def ask(self, path: str, role: Role | None = Role.PRIVACY, method: str = "GET", **more: Any) -> Any:
        self.spans.clear()
        headers = ({"x-api-key": self.keys[role]} if role else {}) | more.pop("headers", {})
        return self.world.client.request(method, path, headers=headers, **more)

    def tree(self) -> tuple[ReadableSpan, list[ReadableSpan]]:
        """The request's span and those below it, by their beginning; there are no others, and they lie within it."""
        found = sorted(self.spans.get_finished_spans(), key=lambda span: span.start_time or 0)
        [top] = [span for span in found if span.kind is SpanKind.SERVER]
        below = [span for span in found if span is not top]
        for span in below:
            assert (span.context.trace_id, span.kind) == (top.context.trace_id, SpanKind.INTERNAL)
            assert span.parent is not None
            assert span.parent.span_id == top.context.span_id
            assert (top.start_time or 0) <= (span.start_time or 0) <= (span.end_time or 0) <= (top.end_time or 0)
        return top, below


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    spans = InMemorySpanExporter()
    settings = Settings(home=tmp_path_factory.mktemp("traced"))
    with Lakehouse(settings) as lake:
        world = World(settings, lake, Tracing(at_once=[spans]))
        with world.client:
            yield Traced(world, spans)


@contextmanager
def log_lines() -> Iterator[list[dict[str, Any]]]:
    """What the service's log says meanwhile, as it is written to standard error."""
    stream, logger, found = io.StringIO(), logging.getLogger("c360.api"), list[dict[str, Any]]()
    handler, level = BlockHandler(stream), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield found
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
        found += map(json.loads, stream.getvalue().splitlines())


@pytest.mark.parametrize("query", ["", f"?{OTHER_WAY}", "?as_of=now"])
def test_a_customer_is_read_in_the_same_steps_on_every_way(traced: Traced, query: str) -> None:
    release = traced.world.state.serving.now().id
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert traced.ask(f"/v1/customers/{consenting(traced.world)}{query.replace('now', now)}").status_code == 200
    top, below = traced.tree()
    assert top.name == "GET /v1/customers/{customer_id}"
    assert dict(top.attributes or {}) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "http.route": "/v1/customers/{customer_id}",
        "http.response.status_code": 200,
    }
    assert [span.name for span in below] == STEPS
    where = {"c360.release": release, "c360.slow": False}
    assert [dict(span.attributes or {}) for span in below] == [
        {"c360.credential": "key"},
        {"c360.action": "customer:read", "c360.allowed": True, "c360.reason": "permitted"},
        where,
        {"c360.kind": "customer"} | where,
        {"c360.kind": "customer"},
        {"c360.outcome": "permitted"},
    ]
    assert {span.status.status_code for span in (top, *below)} == {StatusCode.UNSET}


@pytest.mark.parametrize("operation", ROUTES)
def test_every_operation_has_its_spans_and_none_says_who_it_was_about(traced: Traced, operation: str) -> None:
    method, path, body, roles = ROUTES[operation]
    customer = consenting(traced.world)
    template = {
        entry["operationId"]: path
        for path, methods in traced.world.app.openapi()["paths"].items()
        for entry in methods.values()
    }[operation]
    for role in Role:
        answer = traced.ask(path.format(id=customer), role, method, json=body)
        top, below = traced.tree()
        attributes = dict(top.attributes or {})
        assert (top.name, attributes["http.route"]) == (f"{method} {template}", template)
        assert attributes["http.response.status_code"] == answer.status_code
        names = [span.name for span in below]
        assert names.count("audit write") == 1
        if operation == "ask_graphql":
            # It decides by field, once it has its release.
            assert (names[0], "decide" in names, "find release" in names) == ("authenticate", True, True)
        else:
            assert names[:2] == STEPS[:2]
            assert ("find release" in names) == (role in roles)
        assert len(names) < 20, names
        said = "".join(span.to_json() for span in (top, *below))
        for secret in (customer, traced.keys[role], "direct~001@example.com", "2025-01-01", "C0000001"):
            assert secret not in said


@pytest.mark.parametrize(
    ("path", "role", "status", "name", "last"),
    [
        ("/v1/customers/C9999999", Role.SUPPORT, 404, "GET /v1/customers/{customer_id}", "audit write"),
        ("/v1/customers", Role.SUPPORT, 403, "GET /v1/customers", "audit write"),
        ("/v1/customers/C1", None, 401, "GET /v1/customers/{customer_id}", "audit write"),
        ("/v1/customers/C1?as_of=x@example.com", Role.SUPPORT, 422, "GET /v1/customers/{customer_id}", "decide"),
        ("/v1/nothing/x@example.com", None, 404, "GET", None),
        ("/livez", None, 200, "GET /livez", None),
    ],
)
def test_refusals_are_spans_too(
    traced: Traced, path: str, role: Role | None, status: int, name: str, last: str | None
) -> None:
    assert traced.ask(path, role).status_code == status
    top, below = traced.tree()
    assert (top.name, (top.attributes or {})["http.response.status_code"]) == (name, status)
    assert [span.name for span in below][-1:] == ([last] if last else [])
    assert top.status.status_code is StatusCode.UNSET  # the service did what it should
    assert "example.com" not in "".join(span.to_json() for span in (top, *below))


def test_a_refused_credential_is_told_by_its_code(traced: Traced) -> None:
    traced.ask("/v1/tables", None, headers={"x-api-key": "c360k_" + "0" * 12 + "_" + "0" * 64})
    _, below = traced.tree()
    assert dict(below[0].attributes or {}) == {"error.type": "ApiKeyError", "c360.code": "unknown"}
    assert below[0].status.status_code is StatusCode.ERROR
    assert below[0].status.description is None


def test_an_exception_is_told_by_its_type_and_never_by_its_text(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("somebody@example.com")

    monkeypatch.setattr(traced.world.state.presenting, "rows", fail)
    with log_lines() as lines:
        assert traced.ask(f"/v1/customers/{consenting(traced.world)}/orders").status_code == 500
    top, below = traced.tree()
    attributes = top.attributes or {}
    assert (attributes["error.type"], attributes["http.response.status_code"]) == ("KeyError", 500)
    assert top.status.status_code is StatusCode.ERROR
    assert not [event for span in (top, *below) for event in span.events]
    assert "somebody" not in "".join(span.to_json() for span in (top, *below))
    ids = {(line["trace_id"], line["span_id"]) for line in lines}
    assert ids == {(f"{top.context.trace_id:032x}", f"{top.context.span_id:016x}")}
    assert {line["level"] for line in lines} == {"INFO", "ERROR"}
    assert len({line["request_id"] for line in lines}) == 1
    [error] = [line["error"] for line in lines if "error" in line]
    assert "in get_part" in error
    assert error.endswith("KeyError")
    assert "somebody" not in error.replace('raise KeyError("somebody@example.com")', "")  # a line of this file


def test_the_callers_trace_goes_on_and_the_log_and_the_answer_name_the_span(traced: Traced) -> None:
    with log_lines() as lines:
        answer = traced.ask("/v1/tables", headers={"traceparent": PARENT, "tracestate": "a=somebody@example.com"})
    top, _ = traced.tree()
    assert f"{top.context.trace_id:032x}" == "ab" * 16
    assert top.parent is not None
    assert (f"{top.parent.span_id:016x}", top.parent.is_remote) == ("cd" * 8, True)
    assert "somebody" not in top.to_json()
    own = f"{top.context.span_id:016x}"
    assert re.fullmatch(f"00-{'ab' * 16}-{own}-0[1-3]", answer.headers["traceresponse"])
    [line] = lines
    assert (line["trace_id"], line["span_id"]) == ("ab" * 16, own)
    assert line["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    "given",
    [
        "", "x", PARENT[:-1], PARENT.upper(), PARENT + "-more", "ff" + PARENT[2:], f"00-{'0' * 32}-{'cd' * 8}-01",
        f"00-{'ab' * 16}-{'0' * 16}-01", PARENT.replace("-", "_"), f" {PARENT} x",
    ],
)  # fmt: skip
def test_what_is_no_traceparent_begins_a_trace_of_its_own(traced: Traced, given: str) -> None:
    assert traced.ask("/v1/tables", headers={"traceparent": given}).status_code == 200
    top, _ = traced.tree()
    assert top.parent is None
    assert f"{top.context.trace_id:032x}" != "ab" * 16


def test_a_version_to_come_is_read_as_far_as_it_is_known(traced: Traced) -> None:
    traced.ask("/v1/tables", headers={"traceparent": "01" + PARENT[2:] + "-more"})
    assert traced.tree()[0].parent is not None


def test_what_the_caller_does_not_sample_makes_no_spans_and_can_still_be_followed(traced: Traced) -> None:
    with log_lines() as lines:
        answer = traced.ask(f"/v1/customers/{consenting(traced.world)}", headers={"traceparent": PARENT[:-1] + "0"})
    assert answer.status_code == 200
    assert traced.spans.get_finished_spans() == ()
    assert "traceresponse" not in answer.headers
    assert [line["trace_id"] for line in lines] == ["ab" * 16]


def test_without_traces_there_are_no_ids_of_any(world: World, keys: dict[Role, str]) -> None:
    with log_lines() as lines:
        headers = {"x-api-key": keys[Role.SUPPORT], "traceparent": PARENT}
        answer = world.client.get(f"/v1/customers/{consenting(world)}", headers=headers)
    assert "traceresponse" not in answer.headers
    assert "trace_id" not in json.dumps(lines)
    assert len(lines) == 1


def test_a_scan_of_the_past_says_that_it_is_slow(traced: Traced) -> None:
    world, customer = traced.world, consenting(traced.world)
    old = world.state.serving.now().id
    then = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    time.sleep(0.01)
    assert served(world, world.publish())
    shutil.rmtree(world.store.folder / old)
    world.state.serving._past.clear()
    for path in (f"/v1/customers/{customer}", f"/v1/customers/{customer}/orders"):
        assert traced.ask(f"{path}?as_of={then}").status_code == 200
        top, below = traced.tree()
        about = [dict(span.attributes or {}) for span in below if span.name in ("find release", "read")]
        assert len(about) == (2 if path.endswith(customer) else 3)
        assert {(each["c360.release"], each["c360.slow"]) for each in about} == {(old, True)}
        assert then not in top.to_json()


def test_spans_of_requests_at_once_do_not_mix(traced: Traced) -> None:
    from concurrent.futures import ThreadPoolExecutor

    traced.spans.clear()
    path = f"/v1/customers/{consenting(traced.world)}"
    with ThreadPoolExecutor(8) as pool:
        headers = {"x-api-key": traced.keys[Role.PRIVACY]}
        done = list(pool.map(lambda _: traced.world.client.get(path, headers=headers).status_code, range(100)))
    assert done == [200] * 100
    traces: dict[int, list[str]] = {}
    for span in traced.spans.get_finished_spans():
        traces.setdefault(span.context.trace_id, []).append(span.name)
    assert len(traces) == 100
    assert {tuple(sorted(names)) for names in traces.values()} == {
        tuple(sorted([*STEPS, "GET /v1/customers/{customer_id}"]))
    }


@pytest.mark.parametrize(
    ("given", "on"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, False),
    ],
)
def test_the_standard_variables_decide(monkeypatch: pytest.MonkeyPatch, given: dict[str, str], on: bool) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    found = tracing_of()
    assert (found is not None) == on
    if found is not None:
        found.close()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "choose from otlp, console, none"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "to http/protobuf"),
    ],
)
def test_what_there_is_not_is_refused_with_its_mend(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], says: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=says):
        tracing_of()
