"""The ten risks of the OWASP API Security Top 10 (2023), as far as the routes themselves can run them."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from api.main import create_app
from api.security.audit_check import verify
from api.security.limits import RateLimit
from api.security.principal import Role
from c360.errors import SettingsError
from c360.privacy.keyed import hash_key
from c360.settings import Settings
from tests.unit.api_app.test_answers import DIRECT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.api_app.conftest import World

ONE = "/v1/customers/{id}"
ROUTES: dict[str, tuple[str, str, Any, set[Role]]] = {
    "get_customer": ("GET", ONE, None, set(Role)),
    "get_customer_orders": ("GET", f"{ONE}/orders", None, set(Role)),
    "get_customer_deliveries": ("GET", f"{ONE}/deliveries", None, set(Role)),
    "get_customer_events": ("GET", f"{ONE}/events", None, set(Role)),
    "get_customer_consents": ("GET", f"{ONE}/consents", None, set(Role)),
    "get_customer_alerts": ("GET", f"{ONE}/alerts", None, set(Role)),
    "get_customer_profile_history": ("GET", f"{ONE}/profile-history", None, set(Role)),
    "get_customer_timeline": ("GET", f"{ONE}/timeline", None, set(Role)),
    "get_customer_segment_history": ("GET", f"{ONE}/segment-history", None, set(Role)),
    "get_customer_live": ("GET", f"{ONE}/live", None, set(Role)),
    "search_customers": ("GET", "/v1/customers", None, {Role.ANALYST, Role.MARKETING, Role.PRIVACY}),
    "get_segment_customers": (
        "GET", "/v1/segments/VIP/customers", None, {Role.ANALYST, Role.MARKETING, Role.PRIVACY}),
    "export_customers": ("GET", "/v1/customers/export", None, {Role.ANALYST, Role.PRIVACY}),
    "lookup_customers": (
        "POST", "/v1/customers/lookup", {"email": "direct~001@example.com"}, {Role.SUPPORT, Role.PRIVACY}),
    "get_customers": (
        "POST", "/v1/customers/batch", {"ids": ["C0000001"]}, {Role.ANALYST, Role.MARKETING, Role.PRIVACY}),
    "list_products": ("GET", "/v1/products", None, set(Role) - {Role.SERVICE}),
    "get_product": ("GET", "/v1/products/P00001", None, set(Role) - {Role.SERVICE}),
    "list_inventory": ("GET", "/v1/inventory", None, set(Role) - {Role.SERVICE}),
    "get_product_inventory": ("GET", "/v1/products/P00001/inventory", None, set(Role) - {Role.SERVICE}),
    "get_product_inventory_live": ("GET", "/v1/products/P00001/inventory/live", None, set(Role) - {Role.SERVICE}),
    "get_sales_metrics": (
        "GET", "/v1/metrics/sales?start=2025-01-01&end=2025-02-01", None,
        {Role.ANALYST, Role.MARKETING, Role.PRIVACY}),
    "get_delivery_metrics": (
        "GET", "/v1/metrics/deliveries?start=2025-01-01&end=2025-02-01", None,
        {Role.ANALYST, Role.MARKETING, Role.PRIVACY}),
    "get_live_metrics": ("GET", "/v1/metrics/live", None, {Role.ANALYST, Role.MARKETING, Role.PRIVACY}),
    "list_segments": ("GET", "/v1/segments", None, {Role.ANALYST, Role.MARKETING, Role.PRIVACY}),
    "list_tables": ("GET", "/v1/tables", None, set(Role)),
    "list_releases": ("GET", "/v1/releases", None, set(Role)),
    "ask_graphql": ("POST", "/v1/graphql", {"query": "{ release { id } }"}, set(Role)),
}  # fmt: skip
"""Every operation: how to ask, and the roles that may (the service of these tests has customer:read and table:read)."""


def consenting(world: World) -> str:
    """A customer whom marketing may see."""
    return next(str(row["customer_id"]) for row in world.customers if row["consent_marketing_email"] is True)


def records(world: World) -> list[dict[str, Any]]:
    folder = world.settings.home / "api" / "audit"
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def test_api1_customers_of_another_region_are_as_if_not_there(world: World) -> None:
    bavaria, france = world.key(Role.SUPPORT, frozenset({"DE:Bayern"})), world.key(Role.SUPPORT, frozenset({"FR"}))
    for row in world.customers:
        path = f"/v1/customers/{row['customer_id']}"
        for part in ("", "/orders", "/timeline"):
            assert world.ask(path + part, bavaria).is_success == (row["region"] == "Bayern")
            assert world.ask(path + part, france).is_success == (row["country_code"] == "FR")
    other = world.ask(f"/v1/customers/{world.customers[0]['customer_id']}", france)
    absent = world.ask("/v1/customers/C9999999", france)
    assert (other.status_code, other.content) == (absent.status_code, absent.content) == (404, absent.content)
    german = world.key(Role.ANALYST, frozenset({"DE"}))
    assert {row["country_code"] for row in world.ask("/v1/customers?limit=200", german).json()["data"]} == {"DE"}
    ids = [row["customer_id"] for row in world.customers]
    answer = world.ask("/v1/customers/batch", german, "POST", json={"ids": ids}).json()
    assert answer["missing"] == sorted(row["customer_id"] for row in world.customers if row["country_code"] != "DE")


@pytest.mark.parametrize("given", ["", "c360k_0", "x" * 5000, "c360k_" + "0" * 12 + "_" + "0" * 64, "Bearer x", "é"])
def test_api2_no_credential_but_a_valid_one_is_accepted(world: World, given: str) -> None:
    for name in ("x-api-key", "authorization"):
        answer = world.client.get("/v1/tables", headers={name.encode(): f"Bearer {given}".encode()})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert len(given) < 3 or given not in answer.text


def test_api2_of_two_credentials_none_is_believed(world: World, keys: dict[Role, str]) -> None:
    both = {"x-api-key": keys[Role.PRIVACY], "authorization": f"Bearer {keys[Role.SUPPORT]}"}
    assert world.client.get("/v1/tables", headers=both).json()["code"] == "two_credentials"


def test_api2_a_revoked_key_is_refused(world: World) -> None:
    key = world.key(Role.ANALYST)
    assert world.ask("/v1/tables", key).status_code == 200
    world.state.keys.revoke(key.split("_")[1])
    assert world.ask("/v1/tables", key).json()["code"] == "revoked"


@pytest.mark.parametrize("role", [Role.ANALYST, Role.MARKETING, Role.SERVICE])
def test_api3_no_direct_identifier_leaves_for_a_role_that_may_not_see_it(
    world: World, keys: dict[Role, str], role: Role, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = ""
    for method, path, body, _ in ROUTES.values():
        for row in world.customers if "{id}" in path else world.customers[:1]:
            said += world.ask(path.format(id=row["customer_id"]), keys[role], method, json=body).text
    said += caplog.text + "".join(map(json.dumps, records(world)))
    people = [*world.customers, *world.company.rows["gold.dim_customer"]]
    values = {str(row[column]) for row in people for column in DIRECT if column in row and row[column] is not None}
    consented = set()
    for customer in world.customers if role is Role.MARKETING else []:
        mail, sms = customer["consent_marketing_email"] is True, customer["consent_marketing_sms"] is True
        shown = [name for name, may in (("email", mail), ("phone", sms), ("first_name", mail or sms)) if may]
        consented |= {
            str(row[name]) for row in people if row["customer_id"] == customer["customer_id"] for name in shown
        }
    assert len(values - consented) > 100
    assert [value for value in values - consented if value in said] == []


def test_api3_members_that_a_request_does_not_have_are_refused(world: World, keys: dict[Role, str]) -> None:
    for path, body in (
        ("lookup", {"email": "a@b.example", "role": "privacy"}),
        ("batch", {"ids": ["C1"], "view": "x"}),
    ):
        answer = world.ask(f"/v1/customers/{path}", keys[Role.PRIVACY], "POST", json=body)
        assert answer.status_code == 422
        assert "privacy" not in answer.text
    assert world.ask("/v1/customers?fields=email", keys[Role.ANALYST]).status_code == 422


@pytest.mark.parametrize("limit", ["-1", "0", "201", "1000000000", "1e3", "x", ""])
def test_api4_a_page_has_bounds(world: World, keys: dict[Role, str], limit: str) -> None:
    for path in ("/v1/customers", f"/v1/customers/{consenting(world)}/orders", "/v1/products"):
        assert world.ask(f"{path}?limit={limit}", keys[Role.PRIVACY]).status_code == 422


def test_api4_a_request_has_bounds(world: World, keys: dict[Role, str]) -> None:
    ids = {"ids": [f"C{number}" for number in range(501)]}
    assert world.ask("/v1/customers/batch", keys[Role.ANALYST], "POST", json=ids).status_code == 422
    huge = {"email": "x" * 200_000}
    assert world.ask("/v1/customers/lookup", keys[Role.SUPPORT], "POST", json=huge).status_code == 413
    deep = b'{"email":' + b"[" * 30_000 + b"]" * 30_000 + b"}"
    answer = world.client.post("/v1/customers/lookup", headers={"x-api-key": keys[Role.SUPPORT]}, content=deep)
    assert answer.status_code == 422


def test_api4_who_asks_too_often_waits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    key = world.key(Role.SUPPORT)
    monkeypatch.setattr(world.state.limits, "_rate", 0.5)
    subject = world.state.keys.check(key).subject
    while not world.state.limits.take(subject, 100):
        pass
    while not world.state.limits.take(subject):
        pass
    answer = world.ask("/v1/tables", key)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")


@pytest.mark.parametrize("operation", ROUTES)
def test_api5_each_operation_is_for_its_roles_alone(world: World, keys: dict[Role, str], operation: str) -> None:
    method, path, body, roles = ROUTES[operation]
    path = path.format(id=consenting(world))
    for role in Role:
        answer = world.ask(path, keys[role], method, json=body)
        assert answer.status_code == (200 if role in roles else 403), (role, answer.text)
    assert world.ask(path, "", method, json=body).status_code == 401


def test_api6_marketing_needs_its_purpose(world: World, keys: dict[Role, str]) -> None:
    path, key = f"/v1/customers/{consenting(world)}", keys[Role.MARKETING]
    for purpose, status in {"marketing": 200, "privacy": 403, "anything": 403}.items():
        answer = world.client.get(path, headers={"x-api-key": key, "c360-purpose": purpose})
        assert answer.status_code == status
    without = world.state.keys.create("test", [Role.MARKETING])
    assert world.ask(path, without).json()["code"] == "purpose_needed"


@pytest.mark.parametrize(
    "text",
    [
        "' OR 1=1 --",
        "C0000001' --",
        "../../etc/passwd",
        "C0000001\x00",
        "%00",
        "{{7*7}}",
        "C0000001;DROP TABLE customer",
    ],
)
def test_api7_and_api8_injections_find_nothing(world: World, keys: dict[Role, str], text: str) -> None:
    from urllib.parse import quote

    given = quote(text, safe="")
    assert world.ask(f"/v1/customers/{given}", keys[Role.PRIVACY]).status_code in (404, 422)
    found = world.ask(f"/v1/customers?segment={given}&region={given}", keys[Role.ANALYST])
    assert found.status_code == 422 or found.json()["data"] == []
    assert world.ask(f"/v1/customers?cursor={given}", keys[Role.ANALYST]).status_code in (400, 422)
    assert world.ask(f"/v1/customers/C0000001?as_of={given}", keys[Role.PRIVACY]).status_code == 422
    assert world.ask("/v1/customers?limit=200", keys[Role.PRIVACY]).json()["data"]


def test_api8_browsers_are_told_to_keep_answers_to_themselves(world: World, keys: dict[Role, str]) -> None:
    answer = world.client.get("/v1/tables", headers={"x-api-key": keys[Role.SUPPORT]})
    for name, value in {
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "cache-control": "private",
    }.items():
        assert answer.headers[name].startswith(value)


def test_api8_a_default_secret_is_refused_outside_the_local_profile(world: World) -> None:
    settings = Settings.model_validate({
        "profile": "rest", "home": world.settings.home, "catalog_uri": "https://catalog.example", "warehouse": "file:///w",
    })  # fmt: skip
    with pytest.raises(SettingsError, match="would use the default hash key"):
        create_app(settings)


def test_api9_what_is_documented_is_what_there_is(world: World) -> None:
    document = world.app.openapi()
    documented = {
        operation["operationId"]: (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert documented.keys() == ROUTES.keys()
    for name, (method, path) in documented.items():
        assert method == ROUTES[name][0]
        assert path.startswith("/v1/")
        assert {"200", "401", "403", "429"} <= document["paths"][path][method.lower()]["responses"].keys()


def test_every_answer_is_on_record_before_it_leaves(world: World, keys: dict[Role, str]) -> None:
    customer = consenting(world)
    before = len(records(world))
    asked = [
        ("/v1/customers/" + customer, keys[Role.SUPPORT], "permitted", [customer]),
        ("/v1/customers?limit=3", keys[Role.ANALYST], "permitted", [r["customer_id"] for r in world.customers[:3]]),
        ("/v1/customers", keys[Role.SUPPORT], "denied", []),
        ("/v1/customers/C9999999", keys[Role.SUPPORT], "not_found", None),
        ("/v1/tables", "wrong", "denied", []),
    ]
    ids = [world.ask(path, key).headers["x-request-id"] for path, key, *_ in asked]
    found = records(world)[before:]
    assert [record["request"] for record in found] == ids
    for record, (_, _, outcome, subjects) in zip(found, asked, strict=True):
        assert record["outcome"] == outcome
        assert subjects is None or record["subjects"] == subjects
    assert "C9999999" not in json.dumps(found)
    checked = verify(world.settings.home / "api" / "audit", hash_key(world.settings))
    assert (checked.problems, checked.records >= len(found)) == ((), True)


@contextmanager
def full_disk(world: World) -> Iterator[None]:
    """The audit log's files are on a disk without space. Such a disk can be synced, which /dev/full cannot."""
    folder = world.settings.home / "api" / "audit"
    held = [int(fd.name) for fd in Path("/proc/self/fd").iterdir() if fd.resolve().parent == folder.resolve()]
    kept, full = {fd: os.dup(fd) for fd in held}, os.open("/dev/full", os.O_WRONLY)
    assert held
    with patch("os.fdatasync"):
        try:
            for fd in held:
                os.dup2(full, fd)
            yield
        finally:
            for fd, copy in kept.items():
                os.dup2(copy, fd)
                os.close(copy)
            os.close(full)


def test_without_a_record_nothing_is_answered(world: World, keys: dict[Role, str]) -> None:
    path = f"/v1/customers/{consenting(world)}"
    with full_disk(world):
        answer = world.ask(path, keys[Role.SUPPORT])
    assert answer.status_code == 503
    assert answer.json()["code"] == "audit_unavailable"
    assert "data" not in answer.json()
    assert world.ask(path, keys[Role.SUPPORT]).status_code == 200


def test_api4_who_fails_to_log_in_again_and_again_is_slowed_down_before_the_disk_is_full(
    world: World, keys: dict[Role, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = dataclasses.replace(world.state, failures=RateLimit(0.001, 20))
    monkeypatch.setattr(world.app.state, "c360", state)
    before = len(records(world))
    statuses = [world.ask("/v1/customers/C0000001", f"wrong-{number}").status_code for number in range(50)]
    assert statuses == [401] * 20 + [429] * 30
    assert len(records(world)) - before == 20
    # Whoever has a key is not kept out by them.
    assert world.ask("/v1/tables", keys[Role.SUPPORT]).status_code == 200
