"""Mistakes that APIs over a lakehouse have made, each as a test of the running one; the name quotes it."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.security.audit import AuditLog
from api.security.policy import Policy
from api.security.principal import Role
from api.serving.serving import Serving
from c360.errors import LakehouseError
from c360.serving.index import Index
from tests.unit.api_app.test_owasp import ROUTES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from tests.unit.api_app.conftest import World

OPEN = ("/livez", "/readyz", "/metrics", "/", "/v1/openapi.json")
SECRET = "no such column: hunter2 in SELECT * FROM /srv/hidden/lake"
GRAPHQL = """query Q($t: String, $id: ID!) {
    customers(filters: {segment: $t, region: $t}) { items { customer_id } } customer(id: $id) { customer_id }
    product(id: $id) { product_id } lookup(email: $t) { customer_id } }"""

# Of each parameter two values that are valid, so that they get as far as any value can.
VALUES: dict[str, tuple[str, str]] = {
    "customer_id": ("C7654321", "C1234567"), "product_id": ("P7654321", "P1234567"),
    "segment": ("Zebras", "Gnus"), "loyalty_tier": ("amber", "jade"), "country_code": ("ZZ", "QQ"),
    "region": ("Atlantis", "Lemuria"), "risk_level": ("dire", "mild"), "language": ("tlh", "qya"),
    "acquisition_channel": ("pigeon", "parrot"), "min_orders": ("71717", "82828"),
    "min_revenue": ("61616.5", "72727.5"),
    "max_recency_days": ("51515", "42424"), "limit": ("37", "41"), "hours": ("7", "9"), "format": ("ndjson", "arrow"),
    "start": ("2025-01-02", "2025-01-03"), "end": ("2025-01-19", "2025-01-18"), "cursor": ("", ""), "as_of": ("", ""),
}  # fmt: skip
BODIES: dict[str, Callable[[str], dict[str, Any]]] = {
    "lookup_customers": lambda text: {"email": f"{text}@example.com"},
    "get_customers": lambda text: {"ids": [text]},
    "ask_graphql": lambda text: {"query": GRAPHQL, "variables": {"t": text, "id": text}},
}
INJECTIONS = ("x' OR '1'='1", "'; DROP TABLE customer; --", 'x" UNION SELECT key FROM document --', "${jndi:x}", "%27")


@pytest.fixture(scope="module")
def key(world: World) -> str:
    return world.key(Role.PRIVACY)


def ask(world: World, key: str, operation: str, **more: Any) -> Any:
    """An answer of that operation, of a customer that there is."""
    method, path, body, _ = ROUTES[operation]
    path = path.format(id=world.customers[0]["customer_id"])
    return world.client.request(method, path, headers={"x-api-key": key, **more}, json=body)


def parameters(world: World, operation: str) -> tuple[str, str, list[dict[str, Any]]]:
    """Method, path and parameters of an operation, as its document says."""
    for path, methods in world.app.openapi()["paths"].items():
        for method, found in methods.items():
            if found["operationId"] == operation:
                return method.upper(), path, found.get("parameters", [])
    raise AssertionError(operation)


def asked_with(world: World, key: str, operation: str, values: dict[str, str], text: str) -> Any:
    """An answer to these values of parameters; ``text`` stands in the body."""
    method, path, known = parameters(world, operation)
    inside = {each["name"]: quote(values[each["name"]], safe="") for each in known if each["in"] == "path"}
    query = {e["name"]: values[e["name"]] for e in known if e["in"] == "query" and values.get(e["name"])}
    body = BODIES[operation](text) if operation in BODIES else None
    return world.ask(f"{path.format(**inside)}?{urlencode(query)}", key, method, json=body)


def test_the_api_shells_out_for_no_request(world: World, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[object] = []

    def start(*given: object, **_: object) -> Any:
        started.append(given)
        raise AssertionError(given)

    monkeypatch.setattr(subprocess, "Popen", start)
    for name in ("system", "popen", "fork", "forkpty", "posix_spawn", "posix_spawnp"):
        monkeypatch.setattr(os, name, start)
    for operation in ROUTES:
        assert ask(world, key, operation).status_code == 200, operation
    # Of the past, too, without an index: from the tables themselves.
    monkeypatch.setattr(Serving, "known", lambda *_: None)
    monkeypatch.setattr(Serving, "_indexed", lambda *_: None)
    now = quote(datetime.now(UTC).isoformat(), safe="")
    customer = f"/v1/customers/{world.customers[0]['customer_id']}"
    for path in (customer, f"{customer}/timeline"):
        assert world.ask(f"{path}?as_of={now}", key).status_code == 200
    for path in OPEN:
        assert world.ask(path).status_code == 200
    assert started == []


class Heard:
    """A connection that says which statements are executed."""

    def __init__(self, db: sqlite3.Connection, said: list[str]) -> None:
        self._db, self._said = db, said

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        self._said.append(sql)
        return self._db.execute(sql, *values)


@pytest.fixture
def statements(world: World, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every statement to a database of the API's, as it is executed."""
    said: list[str] = []
    own = Index.__dict__["_db"].fget
    monkeypatch.setattr(Index, "_db", property(lambda index: Heard(own(index), said)))
    monkeypatch.setattr(world.state.keys, "_db", Heard(world.state.keys._db, said))
    return said


@pytest.mark.parametrize("operation", ROUTES)
def test_no_sql_is_built_from_values_of_a_request(
    world: World, key: str, statements: list[str], operation: str
) -> None:
    texts = []
    ask(world, key, "list_tables")  # the key is known from now on
    for number in (0, 1):
        statements.clear()
        values = {name: pair[number] for name, pair in VALUES.items()}
        answer = asked_with(world, key, operation, values, values["segment"])
        assert answer.status_code in (200, 404), answer.text
        texts.append({each for each in statements if "data_version" not in each})
        given = [value for value in (*values.values(), str(int(values["limit"]) + 1)) if len(value) > 1]
        assert [(sql, value) for sql in statements for value in given if re.search(rf"\b{value}\b", sql)] == []
    # The text is the same whatever is asked for.
    assert texts[0] == texts[1]
    # The list of tables is the catalog's, the windows and stocks of this moment come from other stores.
    assert texts[0] or operation in {"list_tables", "list_releases", "get_live_metrics"}


@pytest.mark.parametrize("operation", ROUTES)
def test_an_injection_in_any_parameter_finds_nothing_and_breaks_nothing(world: World, key: str, operation: str) -> None:
    _, _, known = parameters(world, operation)
    plain = {name: pair[0] for name, pair in VALUES.items()}
    for text in INJECTIONS:
        for name in [each["name"] for each in known] + ["body"] * (operation in BODIES):
            answer = asked_with(world, key, operation, plain | {name: text}, text if name == "body" else "C7654321")
            assert answer.status_code in (200, 400, 404, 422), (name, text, answer.text)
            assert not re.search("syntax|sqlite|near \\W|unrecognized", answer.text, re.IGNORECASE)
            if answer.status_code == 200:
                assert not any(str(row["customer_id"]) in answer.text for row in world.customers), (name, text)
    assert len(world.ask("/v1/customers?limit=200", key).json()["data"]) == len(world.customers)


DEPTHS: dict[str, tuple[type, str]] = {
    "the policy": (Policy, "decide"), "the release": (Serving, "now"), "the record": (AuditLog, "write"),
    "the index": (Index, "document"), "the search": (Index, "select"),
}  # fmt: skip
ERRORS = [RuntimeError(SECRET), OSError(2, SECRET, "/srv/hidden"), LakehouseError(SECRET, SECRET), KeyError(SECRET)]


@pytest.mark.parametrize("depth", DEPTHS)
def test_exception_texts_are_not_returned(world: World, key: str, depth: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(world, key, "list_tables")  # the key is known from now on
    failed = set()
    # Each operation meets another error at each depth.
    for operation, error in zip(ROUTES, cycle(ERRORS[list(DEPTHS).index(depth) % 4 :] + ERRORS), strict=False):

        def fail(*_: object, error: Exception = error, **__: object) -> Any:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(*DEPTHS[depth], fail)
            answer = ask(world, key, operation)
        said = answer.text + str(answer.headers)
        for word in ("hunter2", "SELECT", "/srv/", "Traceback", type(error).__name__):
            assert word not in said, (operation, said)
        if answer.status_code >= 500 or "errors" in answer.text:
            failed.add(operation)
    wanted = {"the index": {"get_customer_orders"}, "the search": {"search_customers"}}.get(depth, ROUTES.keys())
    assert failed >= wanted


def test_no_origin_is_allowed_to_read_answers_let_alone_with_credentials(world: World, key: str) -> None:
    for origin in ("https://elsewhere.example", "null", "http://localhost:3000", "http://testserver"):
        answers = [ask(world, key, operation, origin=origin) for operation in ROUTES]
        answers += [world.client.get(path, headers={"origin": origin}) for path in (*OPEN, "/v1/tables", "/none")]
        for method, path, *_ in ROUTES.values():
            preflight = {
                "origin": origin, "access-control-request-method": method,
                "access-control-request-headers": "x-api-key, authorization",
            }  # fmt: skip
            answers.append(world.client.options(path.format(id="C1").partition("?")[0], headers=preflight))
            assert answers[-1].status_code == 405
        assert {name for answer in answers for name in answer.headers if name.startswith("access-control")} == set()


def figures(world: World) -> dict[tuple[str, str, str], float]:
    """The samples of ``/metrics`` by name, route and status, without buckets and times of creation."""
    found: dict[tuple[str, str, str], float] = defaultdict(float)
    for family in text_string_to_metric_families(world.ask("/metrics").text):
        for sample in family.samples:
            if not sample.name.endswith(("_bucket", "_created")):
                key = sample.name, sample.labels.get("route", ""), sample.labels.get("status", "")
                found[key] += sample.value
    return found


def test_no_figure_is_hard_coded_such_as_a_cache_hit_rate(
    world: World, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    route, path = "/customers/{customer_id}", f"/v1/customers/{world.customers[0]['customer_id']}"
    tag = world.ask(path, key).headers["etag"]
    before = figures(world)
    for status, headers in {200: {}, 304: {"if-none-match": tag}, 401: {"x-api-key": "wrong"}}.items():
        for _ in range(status // 100):
            assert world.client.get(path, headers={"x-api-key": key, **headers}).status_code == status
    time.sleep(0.01)
    monkeypatch.setattr(world.state.serving, "refused", "damaged")
    after = figures(world)
    grown = {name: after[name] - before[name] for name in after}
    for status in (200, 304, 401):
        assert grown[("c360_api_requests_total", route, str(status))] == status // 100
    assert grown[("c360_api_request_seconds_count", route, "")] == 9
    assert grown[("c360_api_request_seconds_sum", route, "")] > 0
    assert grown[("c360_api_denials_total", "", "401")] == 4
    assert grown[("c360_api_index_refused", "", "")] == 1
    assert grown[("c360_api_release_age_seconds", "", "")] >= 0.01
    # Another figure needs a line above that shows how it moves.
    assert {name for name, *_ in after} == {
        "c360_api_requests_total", "c360_api_request_seconds_count", "c360_api_request_seconds_sum",
        "c360_api_denials_total", "c360_api_index_refused", "c360_api_release_age_seconds",
    }  # fmt: skip


def test_the_age_of_what_is_served_is_that_of_the_release(world: World, key: str) -> None:
    release = world.ask("/v1/tables", key).json()["release"]
    told = figures(world)[("c360_api_release_age_seconds", "", "")]
    published = datetime.fromisoformat(release["published_at"])
    assert abs(datetime.now(UTC) - published - timedelta(seconds=told)) < timedelta(seconds=5)
