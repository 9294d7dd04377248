"""Queries that ask for too much, in wrong form, or for what is nobody's business: refused before anything is read."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from graphql import get_introspection_query
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok

from api.deadlines import Deadlines
from api.graphql.limits import COST_PER_REQUEST, LIMITS
from api.middleware import Around
from api.security.principal import Role
from tests.unit.api_app.test_answers import DIRECT
from tests.unit.api_app.test_guide import GUIDE
from tests.unit.api_app.test_owasp import consenting, records

if TYPE_CHECKING:
    from tests.unit.api_app.conftest import World

SECRET = "s3cret~value@example.com"
PEOPLE = "customers(first: 200) { items { orders(first: 200) { items { order_id } } } }"
SPREAD = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(30))
BOMBS: dict[str, tuple[str, str]] = {
    "depth": ("depth", '{ __type(name: "Order") { fields { type ' + "{ ofType " * 20 + "{ name } " + "} " * 22 + "}"),
    "depth by unknown fields": ("depth", "{ a" * 20 + " }" * 20),
    "nesting of braces": ("nesting", "{ a" * 400 + " }" * 400),
    "nesting of brackets": ("nesting", "{ customer(id: " + "[" * 900 + "]" * 90 + ") { email } }"),
    "nesting that never ends": ("nesting", "{" * 60_000),
    "aliases": ("aliases", "{ " + " ".join(f"a{n}: __typename" for n in range(31)) + " }"),
    "aliases by a fragment": (
        "aliases", "{ ...A ...A ...A } fragment A on Query { " + " ".join(f"a{n}: __typename" for n in range(11)) + "}"
    ),
    "tokens": ("tokens", "{ " + "__typename " * 1_001 + "}"),
    "tokens without fields": ("tokens", "query Q(" + "$a: Int " * 400 + ") { __typename }"),
    "duplicated fields": ("fields", "{ " + "__typename " * 900 + "}"),
    "directive overload": ("directives", "{ __typename " + "@skip(if: false) " * 31 + "}"),
    "unknown directive overload": ("directives", "{ __typename " + "@a" * 400 + "}"),
    "fragment bomb": ("fields", "{ ...F0 } " + SPREAD + " fragment F30 on Query { __typename }"),
    "fragment bomb that is not used": ("fields", "{ __typename } " + SPREAD + " fragment F30 on Query { __typename }"),
    "introspection bomb": (
        "cost", "{ __schema { types { " + " ".join(
            f"a{n}: fields {{ type {{ fields {{ name description type {{ name kind }} }} }} }}" for n in range(9)
        ) + " } } }"),
    "first": ("first", "{ customers(first: 201) { next } }"),
    "first below one": ("first", "{ customers(first: 0) { next } }"),
    "cost": ("cost", "{ " + PEOPLE + " }"),
    "cost of scans": (
        "cost", "{ " + " ".join(
            f'm{n}: sales_metrics(start: "2025-01-01", end: "2025-01-02") {{ next }}' for n in range(26)) + " }"),
}  # fmt: skip
"""The limit that refuses each."""


@pytest.fixture(scope="module", autouse=True)
def unhurried(world: World) -> None:
    """These tests ask for more in a second than anybody may."""
    world.state.limits._rate = 1e9


def post(world: World, key: str, query: Any, **members: Any) -> Any:
    return world.ask("/v1/graphql", key, "POST", json={"query": query, **members})


@pytest.mark.parametrize("name", BOMBS)
def test_api4_what_asks_for_too_much_is_refused_by_the_name_of_the_limit(
    world: World, keys: dict[Role, str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit, query = BOMBS[name]
    before = len(records(world))
    monkeypatch.setattr(world.state.serving, "now", lambda: 1 / 0)
    began = time.perf_counter()
    answer = post(world, keys[Role.PRIVACY], query)
    assert time.perf_counter() - began < 3
    assert answer.status_code == 400, answer.text[:500]
    assert list(answer.json()) == ["errors"]
    [error] = answer.json()["errors"]
    assert error["extensions"] == {"code": "limit_exceeded", "limit": limit, "most": LIMITS[limit]}
    assert limit in error["message"]
    assert len(records(world)) == before


def test_api4_by_variables_no_more_is_asked_than_without(world: World, keys: dict[Role, str]) -> None:
    text = "query Q($n: Int!) { customers(first: $n) { items { orders(first: $n) { items { order_id } } } } }"
    answers = {n: post(world, keys[Role.PRIVACY], text, variables={"n": n}) for n in (5, 200, 201, -1)}
    assert [each.status_code for each in answers.values()] == [200, 400, 400, 400]
    assert [each.json()["errors"][0]["extensions"]["limit"] for each in list(answers.values())[1:]] == [
        "cost", "first", "first",
    ]  # fmt: skip


def test_api4_fragments_that_contain_themselves_are_refused(world: World, keys: dict[Role, str]) -> None:
    for text in (
        "{ ...A } fragment A on Query { ...A }",
        "{ ...A } fragment A on Query { ...B } fragment B on Query { release { id } ...A }",
        "{ __typename } fragment A on Query { ...B } fragment B on Query { ...A }",
    ):
        answer = post(world, keys[Role.PRIVACY], text)
        assert answer.status_code == 400
        assert {each["extensions"]["code"] for each in answer.json()["errors"]} == {"not_valid"}


def test_api4_the_costliest_that_is_valid_takes_a_moment(world: World, keys: dict[Role, str]) -> None:
    """As many conflicts to look for, and as many values, as the limits leave room for."""
    same = "{ customers(first: 200) { items { " + "customer_id " * 490 + "} } }"
    other = (
        " ".join(f"...F{n}" for n in range(20))
        + " "
        + " ".join(f"fragment F{n} on Customer {{ {'email ' * 20} }}" for n in range(20))
    )
    shared, _, fragments = other.partition(" fragment")
    spread = "{ customers(first: 100) { items { " + shared + " } } } fragment" + fragments
    for text in (same, spread, "{ customers(first: 200) { items { orders(first: 20) { items { order_id } } } } }"):
        began = time.perf_counter()
        answer = post(world, keys[Role.PRIVACY], text)
        assert answer.status_code in (200, 400)
        assert time.perf_counter() - began < 3


def test_api4_a_query_counts_as_many_requests_as_it_costs(
    world: World, keys: dict[Role, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = world.key(Role.PRIVACY)
    subject = world.state.keys.check(key).subject
    monkeypatch.setattr(world.state.limits, "_rate", 1e-9)

    def left() -> float:
        return world.state.limits._buckets[subject][0]

    cheap = post(world, key, "{ release { id } }")
    assert cheap.json()["extensions"]["cost"] < COST_PER_REQUEST
    spent = left()
    answer = post(world, key, "{ customers(first: 200) { items { customer_id email orders(first: 5) { next } } } }")
    # A page, 200 customers with two columns each and one page of orders each, of which the cursor alone.
    assert answer.json()["extensions"]["cost"] == 10 + 200 * (10 + 2 + 10 + 1)
    assert spent - left() == pytest.approx(-(-4610 // COST_PER_REQUEST))
    spent = left()
    assert post(world, key, "{ nothing }").status_code == 400
    assert spent - left() == pytest.approx(1)
    while not world.state.limits.take(subject):
        pass
    world.state.limits._buckets[subject] = (5.0, time.monotonic())
    assert post(world, key, "{ release { id } }").status_code == 200
    dear = post(world, key, "{ customers(first: 200) { items { customer_id } } }")
    assert (dear.status_code, dear.json()["code"]) == (429, "too_fast")


def test_the_schema_describes_itself_to_those_with_a_credential(world: World, keys: dict[Role, str]) -> None:
    answer = post(world, keys[Role.SUPPORT], get_introspection_query())
    assert "errors" not in answer.json(), answer.text[:500]
    types = {each["name"]: each for each in answer.json()["data"]["__schema"]["types"]}
    described = {each["name"]: each["description"] for each in types["Customer"]["fields"]}
    assert described["email"].startswith("E-mail address")
    assert answer.json()["data"]["__schema"]["mutationType"] is None
    assert answer.json()["data"]["__schema"]["subscriptionType"] is None
    assert "release" not in answer.json()["extensions"]


@pytest.mark.parametrize(
    ("text", "variables"),
    [
        (f'{{ customer(id: 1.5, x: "{SECRET}") {{ email }} }}', {}),
        (f'{{ customers(first: "{SECRET}") {{ next }} }}', {}),
        (f'{{ customers(filters: {{segment: ["{SECRET}"]}}) {{ next }} }}', {}),
        (f'{{ customers(filters: {{country_code: "{SECRET}"}}) {{ next }} }}', {}),
        (f'{{ lookup(email: "{SECRET}", phone: "{SECRET}") {{ email }} }}', {}),
        (f'{{ lookup(email: "{SECRET}" {{ email }} }}', {}),
        (f'{{ lookup(email: "{SECRET}', {}),
        (f'"{SECRET}"', {}),
        (f'{{ customer(id: "{SECRET}") {{ email }} }}', {}),
        (f'{{ customers(after: "{SECRET}") {{ next }} }}', {}),
        (f'{{ sales_metrics(start: "{SECRET}", end: "2025-01-01") {{ next }} }}', {}),
        (f'query Q($a: Int = "{SECRET}") {{ customers(first: $a) {{ next }} }}', {}),
        ("query Q($a: Int) { customers(first: $a) { next } }", {"a": SECRET}),
        ("query Q($a: Int) { customers(first: $a) { next } }", {"a": None}),
        ("query Q($a: CustomerFilter) { customers(filters: $a) { next } }", {"a": {SECRET: 1}}),
        ("query Q($a: ID!) { customer(id: $a) { email } }", {"a": [SECRET]}),
        ("query Q($a: ID!) { customer(id: $a) { email } }", {}),
        ("query Q($a: Date!) { sales_metrics(start: $a, end: $a) { next } }", {"a": SECRET}),
        (f'{{ __type(name: ["{SECRET}"]) {{ name }} }}', {}),
        (f'{{ __typename @skip(if: "{SECRET}") }}', {}),
        ("mutation { customer { email } }", {}),
        ("subscription { customer { email } }", {}),
        ("query A { __typename } query B { __typename }", {}),
        ("", {}),
        ('{ customer(id: "C0000001") }', {}),
        ('{ customer(id: "C0000001") { emial } }', {}),
        ("fragment A on Query { __typename }", {}),
    ],
)  # fmt: skip
def test_api3_errors_say_what_is_wrong_and_repeat_no_value(
    world: World, keys: dict[Role, str], text: str, variables: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    before = len(records(world))
    answer = post(world, keys[Role.PRIVACY], text, variables=variables)
    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        assert {each["extensions"]["code"] for each in answer.json()["errors"]} <= {"not_valid", "not_found"}
    else:
        assert "errors" in answer.json() or answer.json()["code"] == "cursor_not_valid"
    said = answer.text + caplog.text + json.dumps(records(world)[before:])
    assert "s3cret" not in said
    for inside in ("Traceback", "strawberry", "graphql-core", ".py"):
        assert inside not in answer.text


@pytest.mark.parametrize("role", [Role.ANALYST, Role.MARKETING, Role.SERVICE])
def test_api3_by_no_alias_fragment_or_list_a_direct_identifier_leaves(
    world: World, keys: dict[Role, str], role: Role
) -> None:
    known = " ".join(sorted(DIRECT))
    text = f"""query Q($id: ID!) {{ customer(id: $id) {{ ...A x: email y: full_name @include(if: true) }} }}
        fragment A on Customer {{ {known} profile_history {{ items {{ full_name e: email phone first_name }} }} }}"""
    shown = {"email", "phone", "first_name"} if role is Role.MARKETING else set()
    for row in world.customers:
        said = post(world, keys[role], text, variables={"id": row["customer_id"]}).text
        versions = [
            each for each in world.company.rows["gold.dim_customer"] if each["customer_id"] == row["customer_id"]
        ]
        for each in (row, *versions):
            for column in DIRECT - shown & each.keys():
                assert each[column] is None or str(each[column]) not in said


@pytest.mark.parametrize("text", ["' OR 1=1 --", "C0000001' --", "../../etc/passwd", "\x00", "{{7*7}}", "%", "C*"])
def test_api7_and_api8_injections_by_graphql_find_nothing(world: World, keys: dict[Role, str], text: str) -> None:
    query = """query Q($t: String, $id: ID!) {
        customers(filters: {segment: $t, region: $t}) { items { customer_id } } customer(id: $id) { customer_id }
        product(id: $id) { product_id } lookup(email: $t) { customer_id } }"""
    answer = post(world, keys[Role.PRIVACY], query, variables={"t": text, "id": text}).json()
    assert not (answer["data"]["customers"] or {"items": []})["items"]
    assert answer["data"]["customer"] is answer["data"]["product"] is None
    assert not answer["data"]["lookup"]


def test_only_single_queries_by_post_are_taken(world: World, keys: dict[Role, str]) -> None:
    key = keys[Role.PRIVACY]
    assert world.ask("/v1/graphql?query={__typename}", key).status_code == 405
    body = {"query": "{ __typename }"}
    assert world.ask("/v1/graphql", key, "POST", json=[body, body]).status_code == 422
    wrong: tuple[dict[str, Any], ...] = ({"extensions": {}}, {"variables": []}, {"operationName": 1}, {"query": None})
    for more in wrong:
        assert world.ask("/v1/graphql", key, "POST", json={**body, **more}).status_code == 422
    assert world.ask("/v1/graphql", key, "POST", json={"query": "#" * 70_000}).status_code == 413
    form = {"x-api-key": key, "content-type": "application/x-www-form-urlencoded"}
    assert world.client.post("/v1/graphql", headers=form, content="query={__typename}").status_code == 422
    named = "query A { a: __typename } query B { b: __typename }"
    assert post(world, key, named, operationName="B").json()["data"] == {"b": "Query"}
    assert post(world, key, named, operationName="C").status_code == 400


def test_what_fails_inside_is_told_by_its_code_alone(
    world: World, keys: dict[Role, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = world.state.serving.now()
    nothing: dict[str, Any] = {}
    monkeypatch.setattr(source, "one", lambda kind, key: nothing[SECRET], raising=False)
    answer = post(
        world, keys[Role.PRIVACY], "query Q($a: ID!) { customer(id: $a) { email } }", variables={"a": consenting(world)}
    )
    [error] = answer.json()["errors"]
    assert error["extensions"] == {"code": "internal", "status": 500}
    assert "s3cret" not in answer.text


def test_the_guide_names_every_limit() -> None:
    told = GUIDE.partition("<!-- limits -->")[2].partition("<!-- /limits -->")[0]
    assert {
        name: int(told.split(f"`{name}`")[0].split(", ")[-1].split()[0].replace(",", "")) for name in LIMITS
    } == LIMITS


def test_api4_who_reads_too_long_is_told_so_and_the_reading_ends(
    world: World, keys: dict[Role, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, reads = world.state.serving.now(), list[float]()

    def one(kind: str, key: str) -> dict[str, Any]:
        reads.append(time.monotonic())
        time.sleep(0.2)
        return dict(world.customers[0])

    monkeypatch.setattr(source, "one", one, raising=False)
    around: Any = world.app.middleware_stack
    while not isinstance(around, Around):
        around = around.app
    monkeypatch.setattr(around, "_deadlines", Deadlines(0.5))
    monkeypatch.setattr("api.graphql.reading.MOST_SECONDS", 0.5)
    text = "{ " + " ".join(f'a{n}: customer(id: "C0000000") {{ segment }}' for n in range(20)) + " }"
    began = time.monotonic()
    answer = post(world, keys[Role.PRIVACY], text)
    assert (answer.status_code, answer.json()["code"]) == (503, "too_slow")
    assert time.monotonic() - began < 2
    time.sleep(1)
    assert len(reads) <= 4


def test_no_query_that_the_schema_allows_fails_inside(world: World, keys: dict[Role, str]) -> None:
    schema = schemathesis.graphql.from_asgi("/v1/graphql", world.app, headers={"x-api-key": keys[Role.PRIVACY]})
    strategies = [each.ok().as_strategy() for each in schema.get_all_operations() if isinstance(each, Ok)]
    assert len(strategies) == 10
    statuses = set()

    @settings(max_examples=150, deadline=None, database=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(st.one_of(strategies))
    def ask(case: Any) -> None:
        answer = post(world, keys[Role.PRIVACY], case.body)
        told = [each["extensions"]["code"] for each in answer.json().get("errors", [])]
        assert answer.status_code in (200, 400), answer.text
        assert not {"internal", "not_available"} & set(told), (case.body, answer.text)
        statuses.add(answer.status_code)

    ask()
    assert 200 in statuses
