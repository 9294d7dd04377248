"""GraphQL answers what the other routes answer, to the same roles, from one release, and on record."""

from __future__ import annotations

import json
import shutil
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from api.security.principal import Role
from tests.unit.api_app.test_answers import served
from tests.unit.api_app.test_owasp import consenting, full_disk, records

if TYPE_CHECKING:
    from tests.unit.api_app.conftest import World

LISTS = {
    "orders": "orders", "deliveries": "deliveries", "events": "events", "consents": "consents",
    "alerts": "alerts", "profile_history": "profile-history",
}  # fmt: skip
RECORDS = {"orders": "Order", "deliveries": "Delivery", "events": "Event", "consents": "Consent", "alerts": "Alert"}
ROOTS = {
    "customer": ("customer(id: $id) { customer_id }", "GET", "/v1/customers/{id}", None),
    "customers": ("customers { next }", "GET", "/v1/customers", None),
    "lookup": ('lookup(phone: "030 123456") { customer_id }', "POST", "/v1/customers/lookup", {"phone": "030 123456"}),
    "product": ('product(id: "P00001") { product_id }', "GET", "/v1/products/P00001", None),
    "products": ("products { next }", "GET", "/v1/products", None),
    "product_inventory": (
        'product_inventory(id: "P00001") { product_id }', "GET", "/v1/products/P00001/inventory", None),
    "inventory": ("inventory { next }", "GET", "/v1/inventory", None),
    "sales_metrics": (
        'sales_metrics(start: "2025-01-01", end: "2025-02-01") { next }', "GET",
        "/v1/metrics/sales?start=2025-01-01&end=2025-02-01", None),
    "delivery_metrics": (
        'delivery_metrics(start: "2025-01-01", end: "2025-02-01") { next }', "GET",
        "/v1/metrics/deliveries?start=2025-01-01&end=2025-02-01", None),
    "release": ("release { id }", "GET", "/v1/releases", None),
}  # fmt: skip
"""What a query begins with, and the route that is its counterpart."""


@pytest.fixture(scope="module", autouse=True)
def unhurried(world: World) -> None:
    """These tests ask for more in a second than anybody may."""
    world.state.limits._rate = 1e9


def ask(world: World, key: str, query: str, as_of: str = "", **variables: Any) -> Any:
    declared = ", ".join(f"${name}: {'ID!' if name == 'id' else 'String'}" for name in variables)
    text = f"query Q({declared}) {{ {query} }}" if declared else f"{{ {query} }}"
    path = "/v1/graphql" + (f"?as_of={as_of}" if as_of else "")
    return world.ask(path, key, "POST", json={"query": text, "variables": variables, "operationName": None})


def found(world: World, key: str, query: str, as_of: str = "", **variables: Any) -> Any:
    answer = ask(world, key, query, as_of, **variables)
    assert answer.status_code == 200, answer.text
    assert "errors" not in answer.json(), answer.text
    return answer.json()["data"]


def columns(world: World, key: str, kind: str) -> list[str]:
    """The fields of a type that are values."""
    answer = found(world, key, f'__type(name: "{kind}") {{ fields {{ name type {{ kind ofType {{ kind }} }} }} }}')
    types = {each["name"]: (each["type"]["ofType"] or each["type"])["kind"] for each in answer["__type"]["fields"]}
    return [name for name, kind in types.items() if kind == "SCALAR"]


def whole(world: World, key: str) -> str:
    """Every field of a customer, with all lists."""
    kinds = {"profile_history": "ProfileVersion", **RECORDS}
    inside = {part: " ".join(columns(world, key, kind)) for part, kind in kinds.items()}
    lists = [f"{part}(first: 100) {{ items {{ {inside[part]} }} next }}" for part in LISTS]
    happened = " ".join(f"{kind.lower()} {{ {inside[part]} }}" for part, kind in RECORDS.items())
    own = " ".join(columns(world, key, "Customer"))
    return f"{own} {' '.join(lists)} timeline(first: 100) {{ items {{ at kind {happened} }} next }}"


def as_rest(row: dict[str, Any], rest: dict[str, Any]) -> dict[str, Any]:
    """The row without what REST leaves out, if that is null; the number of orders under its name there."""
    named = {"orders" if name == "orders_count" else name: value for name, value in row.items()}
    return {name: value for name, value in named.items() if name in rest or value is not None}


@pytest.mark.parametrize("role", Role)
def test_every_customer_and_all_their_lists_are_as_the_other_routes_show_them(
    world: World, keys: dict[Role, str], role: Role
) -> None:
    key, query = keys[role], f"customer(id: $id) {{ {whole(world, keys[role])} }}"
    for row in world.customers[::2]:
        name = row["customer_id"]
        rest = world.ask(f"/v1/customers/{name}", key)
        answer = ask(world, key, query, id=name)
        if rest.status_code == 404:
            assert answer.json()["data"] == {"customer": None}
            assert [each["extensions"]["code"] for each in answer.json()["errors"]] == ["not_found"]
            continue
        assert "errors" not in answer.json(), answer.text
        got = answer.json()["data"]["customer"]
        for part, path in LISTS.items():
            listed, wanted = got.pop(part), world.ask(f"/v1/customers/{name}/{path}?limit=100", key).json()
            for mine, theirs in zip(listed["items"], wanted["data"], strict=True):
                assert {n: v for n, v in mine.items() if n in theirs or v is not None} == theirs
            assert listed["next"] is wanted["next"] is None
        happened, wanted = got.pop("timeline"), world.ask(f"/v1/customers/{name}/timeline?limit=100", key).json()
        for mine, theirs in zip(happened["items"], wanted["data"], strict=True):
            at, kind = mine.pop("at"), mine.pop("kind")
            [record] = [each for each in mine.values() if each is not None]
            assert mine[RECORDS[kind].lower()] is record
            shown = {n: v for n, v in record.items() if n in theirs["record"] or v is not None}
            assert {"at": at, "kind": kind, "record": shown} == theirs
        assert as_rest(got, rest.json()["data"]) == rest.json()["data"]
        assert answer.json()["extensions"]["release"] == rest.json()["release"]


@pytest.mark.parametrize("role", Role)
def test_searches_figures_and_products_are_as_the_other_routes_give_them(
    world: World, keys: dict[Role, str], role: Role
) -> None:
    key = keys[role]
    if world.ask("/v1/customers", key).status_code == 200:
        own = " ".join(columns(world, key, "Customer"))
        for filters, query in {"{}": "", '{country_code: "FR", min_orders: 3}': "country_code=FR&min_orders=3"}.items():
            rest = world.ask(f"/v1/customers?limit=200&{query}", key).json()["data"]
            rows = found(world, key, f"customers(filters: {filters}, first: 200) {{ items {{ {own} }} }}")
            assert [as_rest(m, r) for m, r in zip(rows["customers"]["items"], rest, strict=True)] == rest
            assert rest
    if world.ask("/v1/metrics/sales?start=2025-01-01&end=2025-01-05", key).status_code == 200:
        for field, kind, path in (
            ("sales_metrics", "SalesFigures", "sales"), ("delivery_metrics", "DeliveryFigures", "deliveries")
        ):  # fmt: skip
            own = " ".join(columns(world, key, kind))
            rest = world.ask(f"/v1/metrics/{path}?start=2025-01-01&end=2025-01-05", key).json()["data"]
            args = '(start: "2025-01-01", end: "2025-01-05", first: 200)'
            assert found(world, key, f"{field}{args} {{ items {{ {own} }} }}")[field]["items"] == rest != []
    if world.ask("/v1/products", key).status_code == 200:
        for path, kind, one in (("products", "Product", "product"), ("inventory", "Inventory", "product_inventory")):
            own = " ".join(columns(world, key, kind))
            rest = world.ask(f"/v1/{path}?limit=200", key).json()["data"]
            answer = found(world, key, f'{path} {{ items {{ {own} }} }} {one}(id: "P00007") {{ {own} }}')
            assert answer == {path: {"items": rest}, one: rest[7]}
    row = world.customers[5]
    for given in ({"email": f" {row['email'].upper()} "}, {"phone": row["phone"]}):
        theirs = world.ask("/v1/customers/lookup", key, "POST", json=given)
        [name] = given
        mine = ask(world, key, f"lookup({name}: $value) {{ customer_id email }}", value=given[name])
        assert mine.status_code == theirs.status_code
        if theirs.status_code == 200:
            wanted = [{n: each.get(n) for n in ("customer_id", "email")} for each in theirs.json()["data"]]
            assert mine.json()["data"]["lookup"] == wanted != []


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("field", ROOTS)
def test_api5_each_field_asks_what_its_route_asks(world: World, keys: dict[Role, str], role: Role, field: str) -> None:
    query, method, path, body = ROOTS[field]
    customer, key = consenting(world), keys[role]
    variables = {"id": customer} if "$id" in query else {}
    for headers in ({}, {"c360-purpose": "marketing"}, {"c360-purpose": "other"}):
        sent = {"x-api-key": key, **headers}
        rest = world.client.request(method, path.format(id=customer), headers=sent, json=body)
        text = f"query Q($id: ID!) {{ {query} }}" if variables else f"{{ {query} }}"
        mine = world.client.post("/v1/graphql", headers=sent, json={"query": text, "variables": variables})
        assert mine.status_code == rest.status_code, mine.text
        if rest.status_code == 403:
            assert mine.json() == rest.json()
            assert "c360-release" not in mine.headers


def test_api5_what_is_not_permitted_is_an_error_beside_the_rest(world: World, keys: dict[Role, str]) -> None:
    one = consenting(world)
    answer = ask(world, keys[Role.SUPPORT], "customer(id: $id) { customer_id } customers { next }", id=one)
    assert answer.status_code == 200
    assert answer.json()["data"] == {"customer": {"customer_id": one}, "customers": None}
    [error] = answer.json()["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["customers"], "not_permitted")
    searcher = world.state.keys.create("test", [Role.SERVICE], None, [], ["customer:search"])
    answer = ask(world, searcher, "customers(first: 3) { items { customer_id orders { next } } }")
    assert [each["orders"] for each in answer.json()["data"]["customers"]["items"]] == [None] * 3
    assert {each["extensions"]["code"] for each in answer.json()["errors"]} == {"not_permitted"}


def test_api2_nobody_is_answered_without_a_credential(world: World) -> None:
    for key, query in (("", "{ __typename }"), ("wrong", "{ __schema { types { name } } }"), ("", "{")):
        answer = world.ask("/v1/graphql", key, "POST", json={"query": query})
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


def test_api1_customers_of_other_regions_and_without_consent_are_as_if_not_there(
    world: World, keys: dict[Role, str]
) -> None:
    france, german = world.key(Role.SUPPORT, frozenset({"FR"})), world.key(Role.ANALYST, frozenset({"DE"}))
    query = "customer(id: $id) { country_code orders { next } timeline { next } }"
    for row in world.customers:
        answer = ask(world, france, query, id=row["customer_id"]).json()
        assert (answer["data"]["customer"] is not None) == (row["country_code"] == "FR")
    other, absent = (ask(world, france, query, id=name) for name in (world.customers[0]["customer_id"], "C9999999"))
    assert other.content == absent.content
    items = found(world, german, "customers(first: 200) { items { country_code events { next } } }")["customers"][
        "items"
    ]
    assert {each["country_code"] for each in items} == {"DE"}
    consented = [
        row["customer_id"] for row in world.customers
        if row["consent_marketing_email"] is True or row["consent_marketing_sms"] is True
    ]  # fmt: skip
    mine = found(world, keys[Role.MARKETING], "customers(first: 200) { items { customer_id orders { next } } }")
    assert [each["customer_id"] for each in mine["customers"]["items"]] == consented != []


def test_every_answer_of_graphql_is_on_record_before_it_leaves(world: World, keys: dict[Role, str]) -> None:
    one, before = consenting(world), len(records(world))
    query = "customer(id: $id) { customer_id email orders { items { order_id } } } customers { next }"
    first = ask(world, keys[Role.SUPPORT], query, id=one)
    second = ask(world, keys[Role.ANALYST], "customers(first: 3) { items { customer_id events { next } } }")
    third = ask(world, keys[Role.SUPPORT], 'customer(id: "C9999999") { email }')
    fourth = ask(world, "wrong", "release { id }")
    three = [row["customer_id"] for row in world.customers[:3]]
    noted = [
        (r["request"], r["action"], r["resource"], r["outcome"], r["subjects"] if r["outcome"] == "permitted" else None,
         r["fields"])
        for r in records(world)[before:]
    ]  # fmt: skip
    ids = [each.headers["x-request-id"] for each in (first, second, third, fourth)]
    assert sorted(noted, key=repr) == sorted([
        (ids[0], "customer:read", "customer", "permitted", [one], ["customer_id", "email"]),
        (ids[0], "customer:read", "orders", "permitted", [one], ["order_id"]),
        (ids[0], "customer:search", "customers", "denied", None, []),
        (ids[1], "customer:search", "customers", "permitted", three, ["customer_id"]),
        (ids[1], "customer:read", "events", "permitted", three, []),
        (ids[2], "customer:read", "customer", "not_found", None, []),
        (ids[3], "graphql", "/v1/graphql", "denied", None, []),
    ], key=repr)  # fmt: skip
    assert all(
        record["view"] for record in records(world)[before:] if record["subjects"] and record["outcome"] == "permitted"
    )
    assert "C9999999" not in json.dumps(records(world)[before:])


def test_without_a_record_graphql_answers_nothing(world: World, keys: dict[Role, str]) -> None:
    with full_disk(world):
        answer = ask(world, keys[Role.SUPPORT], "customer(id: $id) { customer_id }", id=consenting(world))
    assert (answer.status_code, answer.json()["code"]) == (503, "audit_unavailable")
    assert "data" not in answer.json()


def test_pages_of_graphql_and_of_the_other_routes_go_on_in_each_other(world: World, keys: dict[Role, str]) -> None:
    key = keys[Role.PRIVACY]
    name = max(
        world.customers,
        key=lambda row: len(world.ask(f"/v1/customers/{row['customer_id']}/events?limit=200", key).json()["data"]),
    )["customer_id"]
    for part, path, inside in (("events", "events", "event_id"), ("timeline", "timeline", "at")):
        every = world.ask(f"/v1/customers/{name}/{path}?limit=200", key).json()["data"]
        got: list[Any] = []
        cursor: str | None = None
        while True:
            listed = found(
                world,
                key,
                f"customer(id: $id) {{ {part}(first: 2, after: $after) {{ items {{ {inside} }} next }} }}",
                id=name,
                after=cursor,
            )["customer"][part]
            got += [each[inside] for each in listed["items"]]
            if listed["next"] is None:
                break
            cursor = listed["next"]
        assert got == [each[inside] for each in every]
        assert len(got) > 4
        rest = world.ask(f"/v1/customers/{name}/{path}?limit=2&cursor={cursor}", key).json()
        assert [each[inside] for each in rest["data"]] == got[-len(rest["data"]) :]
    ids: list[str] = []
    cursor = None
    while True:
        listed = found(world, key, "customers(first: 7, after: $after) { items { customer_id } next }", after=cursor)[
            "customers"
        ]
        ids, cursor = ids + [each["customer_id"] for each in listed["items"]], listed["next"]
        if cursor is None:
            break
        last = cursor
    assert ids == sorted(row["customer_id"] for row in world.customers)
    wrong = ask(world, key, "products(after: $after) { next }", after=last)
    assert [each["extensions"]["code"] for each in wrong.json()["errors"]] == ["cursor_not_valid"]
    other = ask(world, key, 'customers(filters: {segment: "VIP"}, after: $after) { next }', after=last)
    assert [each["extensions"]["code"] for each in other.json()["errors"]] == ["cursor_not_valid"]
    forged = ask(world, key, "customers(after: $after) { next }", after=last[:-2] + "xx")
    assert (forged.status_code, forged.json()["code"]) == (400, "cursor_not_valid")


def test_an_answer_is_of_one_release_now_then_and_on_the_next_page(world: World, keys: dict[Role, str]) -> None:
    key, name = keys[Role.PRIVACY], world.customers[2]["customer_id"]
    both = "customer(id: $id) { loyalty_tier orders { items { order_id } } } release { id as_of published_at }"
    before, then = found(world, key, both, id=name), datetime.now(UTC).isoformat().replace("+", "%2B")
    cursor = found(world, key, "customers(first: 5) { next }")["customers"]["next"]
    world.customers[2]["loyalty_tier"] = "changed"
    world.company.rows["gold.fact_orders"] = []
    assert served(world, world.publish())
    now = found(world, key, both, id=name)
    assert now["customer"] == {"loyalty_tier": "changed", "orders": {"items": []}}
    assert found(world, key, both, as_of=then, id=name) == before
    paged = found(world, key, f"customers(first: 5, after: $after) {{ next }} {both}", id=name, after=cursor)
    assert {n: v for n, v in paged.items() if n != "customers"} == before
    fresh = found(world, key, "customers(first: 5) { next }")["customers"]["next"]
    mixed = ask(world, key, f'a: customers(after: "{cursor}") {{ next }} b: customers(after: "{fresh}") {{ next }}')
    assert (mixed.status_code, mixed.json()["code"]) == (400, "cursor_not_valid")
    for wrong, status in {"2020-01-01T00:00:00Z": 404, "2125-01-01T00:00:00Z": 422, "yesterday": 422}.items():
        assert ask(world, key, both, as_of=wrong, id=name).status_code == status
    shutil.rmtree(world.store.folder / before["release"]["id"])
    world.state.serving._past.clear()
    scanned = found(world, key, both, as_of=then, id=name)
    assert scanned == before
    searched = ask(world, key, "customers { next }", as_of=then).json()
    assert [each["extensions"]["code"] for each in searched["errors"]] == ["no_index_then"]
    gone = ask(world, key, "customers(after: $after) { next }", after=cursor)
    assert (gone.status_code, gone.json()["code"]) == (410, "cursor_expired")


def test_no_answer_holds_two_releases_while_others_are_published(world: World, keys: dict[Role, str]) -> None:
    """Each release writes its number into every customer."""
    everybody = "customers(first: 100) { items { acquisition_channel } }"
    query = f"a: {everybody} b: {everybody} release {{ id }}"
    over, wrong, count = threading.Event(), list[str](), 0

    def reader() -> None:
        nonlocal count
        while not over.is_set():
            answer = ask(world, keys[Role.PRIVACY], query).json()
            names = {each["acquisition_channel"] for alias in "ab" for each in answer["data"][alias]["items"]}
            count += 1
            if len(names) != 1 or answer["data"]["release"]["id"] != answer["extensions"]["release"]["id"]:
                wrong.append(str(sorted(names)))

    for row in world.customers:
        row["acquisition_channel"] = "release 0"
    assert served(world, world.publish())
    thread = threading.Thread(target=reader)
    thread.start()
    try:
        for number in range(1, 4):
            for row in world.customers:
                row["acquisition_channel"] = f"release {number}"
            assert served(world, world.publish())
    finally:
        over.set()
        thread.join()
    assert wrong == []
    assert count > 10
