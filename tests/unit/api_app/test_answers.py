"""Answers equal the rows that were published, as each role may see them, now and as of a moment."""

from __future__ import annotations

import re
import shutil
import threading
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from api.security.principal import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.unit.api_app.conftest import World

DIRECT = {"full_name", "first_name", "last_name", "email", "phone", "street"}
QUASI = {"birth_date", "location_id", "city", "postal_code"}
PARTS = {
    "orders": ("gold.fact_orders", "ordered_at"),
    "deliveries": ("gold.fact_logistics", "shipped_at"),
    "events": ("silver.events", "event_timestamp"),
    "consents": ("silver.consents", "updated_at"),
    "alerts": ("gold.anomaly_alerts", "raised_at"),
}


def plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value.isoformat() if isinstance(value, date) else f"{value:f}" if isinstance(value, Decimal) else value


def masked(column: str, value: Any) -> Any:
    """What a mask leaves, said once more."""
    if value is None:
        return None
    text = plain(value)
    rules = {
        "email": f"{text[0]}***@***.{text.rpartition('.')[2]}",
        "phone": "***" + re.sub(r"\D", "", text)[-2:],
        "birth_date": text[:4],
        "postal_code": f"{text[:2]}***",
    }
    return f"{text[0]}***" if column.endswith("_name") else rules.get(column, "***")


def seen(role: Role, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """A customer's row as a role may see it, None if not at all: the policy in words, said once more."""
    mail, sms = row["consent_marketing_email"] is True, row["consent_marketing_sms"] is True
    if role is Role.MARKETING and not (mail or sms):
        return None
    found = {}
    for column, value in row.items():
        direct, quasi = column in DIRECT, column in QUASI
        if role is Role.ANALYST and direct:
            continue
        if role is Role.MARKETING and direct and not (
            (column == "email" and mail) or (column == "phone" and sms) or column == "first_name"
        ):  # fmt: skip
            continue
        hidden = (quasi and role is not Role.PRIVACY) or (direct and role is Role.SERVICE)
        found[column] = masked(column, value) if hidden else plain(value)
    return found


@pytest.mark.parametrize("role", Role)
def test_every_customer_is_as_the_role_may_see_it(world: World, keys: dict[Role, str], role: Role) -> None:
    for row in world.customers:
        answer = world.ask(f"/v1/customers/{row['customer_id']}", keys[role])
        wanted = seen(role, row)
        assert answer.status_code == (404 if wanted is None else 200), answer.text
        if wanted is not None:
            assert answer.json()["data"] == wanted


@pytest.mark.parametrize("part", PARTS)
def test_pages_together_are_all_records_newest_first(world: World, keys: dict[Role, str], part: str) -> None:
    table, when = PARTS[part]
    for row in world.customers[:10]:
        wanted = [r for r in world.company.rows[table] if r["customer_id"] == row["customer_id"]]
        found: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            query = f"limit=3&cursor={cursor}" if cursor else "limit=3"
            answer = world.ask(f"/v1/customers/{row['customer_id']}/{part}?{query}", keys[Role.PRIVACY]).json()
            assert len(answer["data"]) <= 3
            found, cursor = found + answer["data"], answer["next"]
        times = [record[when] for record in found if record[when] is not None]
        assert times == sorted(times, reverse=True)
        named = [{n: plain(v) for n, v in record.items() if n[0] != "_"} for record in wanted]
        assert sorted(found, key=repr) == sorted(named, key=repr)


def test_the_timeline_is_everything_that_happened(world: World, keys: dict[Role, str]) -> None:
    customer = world.customers[4]["customer_id"]
    answer = world.ask(f"/v1/customers/{customer}/timeline?limit=200", keys[Role.PRIVACY]).json()
    assert answer["next"] is None
    wanted = [
        (part, plain(record[when]))
        for part, (table, when) in PARTS.items()
        for record in world.company.rows[table]
        if record["customer_id"] == customer
    ]
    assert sorted(((each["kind"], each["at"]) for each in answer["data"]), key=repr) == sorted(wanted, key=repr)
    times = [each["at"] for each in answer["data"] if each["at"]]
    assert times == sorted(times, reverse=True)


def test_search_finds_whom_the_filters_mean(world: World, keys: dict[Role, str]) -> None:
    filters: dict[str, Callable[[dict[str, Any]], bool]] = {
        "": lambda row: True,
        "country_code=FR": lambda row: row["country_code"] == "FR",
        "region=Bayern&min_orders=30": lambda row: row["region"] == "Bayern" and (row["orders"] or 0) >= 30,
        "max_recency_days=40": lambda row: row["recency_days"] is not None and row["recency_days"] <= 40,
        "segment=VIP": lambda row: row["segment"] == "VIP",
    }
    for query, fits in filters.items():
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            more = f"&cursor={cursor}" if cursor else ""
            answer = world.ask(f"/v1/customers?{query}&limit=7{more}", keys[Role.ANALYST]).json()
            found, cursor = found + [each["customer_id"] for each in answer["data"]], answer["next"]
        assert found == sorted(row["customer_id"] for row in world.customers if fits(row)), query
    assert world.ask("/v1/customers", keys[Role.MARKETING]).json()["data"] == [
        view for row in world.customers if (view := seen(Role.MARKETING, row)) is not None
    ]


def test_look_up_and_batch(world: World, keys: dict[Role, str]) -> None:
    row = world.customers[5]
    for body in ({"email": f"  {row['email'].upper()} "}, {"phone": row["phone"]}):
        answer = world.ask("/v1/customers/lookup", keys[Role.SUPPORT], "POST", json=body)
        assert [each["customer_id"] for each in answer.json()["data"]] == [row["customer_id"]]
    none = world.ask("/v1/customers/lookup", keys[Role.SUPPORT], "POST", json={"email": "nobody@example.com"})
    assert none.json()["data"] == []
    ids = [row["customer_id"] for row in world.customers[::3]] + ["C9999999"]
    answer = world.ask("/v1/customers/batch", keys[Role.ANALYST], "POST", json={"ids": ids}).json()
    assert [each["customer_id"] for each in answer["data"]] == ids[:-1]
    assert answer["missing"] == ["C9999999"]


def test_figures_and_products(world: World, keys: dict[Role, str]) -> None:
    answer = world.ask("/v1/metrics/sales?start=2025-01-03&end=2025-01-05", keys[Role.ANALYST]).json()["data"]
    days = {date(2025, 1, 3), date(2025, 1, 4), date(2025, 1, 5)}
    wanted = [row for row in world.company.rows["gold.sales_daily"] if row["order_date"] in days]
    assert sorted(answer, key=repr) == sorted(({n: plain(v) for n, v in row.items()} for row in wanted), key=repr)
    for kind, most in (("sales", 366), ("deliveries", 3660)):
        for length, status in ((most, 200), (most + 1, 422)):
            end = date(2025, 1, 1) + timedelta(days=length)
            answered = world.ask(f"/v1/metrics/{kind}?start=2025-01-01&end={end}", keys[Role.ANALYST])
            assert answered.status_code == status, answered.text
    products = world.ask("/v1/products?limit=200", keys[Role.SUPPORT]).json()["data"]
    assert [each["product_id"] for each in products] == [f"P{number:05}" for number in range(20)]
    assert world.ask("/v1/products/P00007", keys[Role.SUPPORT]).json()["data"] == products[7]
    inventory = world.ask("/v1/inventory?limit=200", keys[Role.SUPPORT]).json()["data"]
    wanted = sorted(world.company.rows["gold.inventory_insights"], key=lambda row: str(row["product_id"]))
    assert inventory == [{name: plain(value) for name, value in row.items()} for row in wanted]
    assert world.ask("/v1/products/P00007/inventory", keys[Role.SUPPORT]).json()["data"] == inventory[7]
    assert world.ask("/v1/products/P99999/inventory", keys[Role.SUPPORT]).status_code == 404
    sizes = world.ask("/v1/segments", keys[Role.ANALYST]).json()["data"]
    assert sum(each["customers"] for each in sizes) == len(world.customers)


def test_what_has_not_changed_is_not_sent_again(world: World, keys: dict[Role, str]) -> None:
    path = f"/v1/customers/{world.customers[1]['customer_id']}"
    first = world.ask(path, keys[Role.SUPPORT])
    same = {"x-api-key": keys[Role.SUPPORT], "if-none-match": first.headers["etag"]}
    again = world.client.get(path, headers=same)
    assert (again.status_code, again.content) == (304, b"")
    other = world.client.get(path, headers=same | {"x-api-key": keys[Role.ANALYST]})
    assert other.status_code == 200  # another view is another answer


def test_as_of_gives_what_was_served_then_with_an_index_and_without(world: World, keys: dict[Role, str]) -> None:
    row, key = world.customers[2], keys[Role.PRIVACY]
    path = f"/v1/customers/{row['customer_id']}"
    before, orders = world.ask(path, key).json(), world.ask(f"{path}/orders?limit=2", key).json()
    then = datetime.now(UTC)
    row["loyalty_tier"], old = ("gold" if row["loyalty_tier"] != "gold" else "silver"), row["loyalty_tier"]
    world.company.rows["gold.fact_orders"] = []
    fresh = world.publish()
    assert served(world, fresh)
    now = world.ask(path, key).json()
    assert now["data"]["loyalty_tier"] == row["loyalty_tier"] != old
    moment = then.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert world.ask(f"{path}?as_of={moment}", key).json() == before
    assert world.ask(f"{path}?as_of={datetime.now(UTC).isoformat().replace('+', '%2B')}", key).json() == now
    # The second page comes from the release of the first, though another is served by now.
    rest = world.ask(f"{path}/orders?limit=2&cursor={orders['next']}", key).json() if orders["next"] else orders
    assert rest["release"] == orders["release"]
    shutil.rmtree(world.store.folder / before["release"]["id"])
    world.state.serving._past.clear()
    assert world.ask(f"{path}?as_of={moment}", key).json() == before
    assert world.ask(f"{path}/orders?limit=2&as_of={moment}", key).json()["data"] == orders["data"]
    for wrong, status in {
        "2020-01-01T00:00:00Z": 404, "2125-01-01T00:00:00Z": 422, "yesterday": 422, "2025-01-01T00:00:00": 422,
    }.items():  # fmt: skip
        assert world.ask(f"{path}?as_of={wrong}", key).status_code == status, wrong


def test_a_release_is_found_at_the_moment_that_the_list_of_releases_says(world: World, keys: dict[Role, str]) -> None:
    for _ in range(3):
        assert served(world, world.publish())
    kept = world.ask("/v1/releases", keys[Role.SUPPORT]).json()["data"]
    assert len(kept) >= 3
    path, key = f"/v1/customers/{world.customers[2]['customer_id']}", keys[Role.SUPPORT]
    for each, older in pairwise(kept):
        moment = datetime.fromisoformat(each["published_at"])
        for then, wanted in ((moment, each), (moment - timedelta(milliseconds=1), older)):
            as_of = then.isoformat().replace("+", "%2B")
            assert world.ask(f"{path}?as_of={as_of}", key).json()["release"]["id"] == wanted["id"]


def served(world: World, name: str, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        source = world.state.serving.ready
        if source is not None and source.id == name:
            return True
        time.sleep(0.05)
    return False


def test_readers_see_old_or_new_during_publishes_and_never_a_failure(world: World, keys: dict[Role, str]) -> None:
    """Each release writes its number into every customer: no answer may hold two of them."""
    over, wrong, count = threading.Event(), list[str](), 0

    def ask() -> None:
        nonlocal count
        while not over.is_set():
            answer = world.ask("/v1/customers?limit=200", keys[Role.PRIVACY])
            names = {each["acquisition_channel"] for each in answer.json()["data"]} if answer.is_success else set()
            count += 1
            if len(names) != 1:
                wrong.append(f"{answer.status_code} {sorted(map(str, names))}")

    for row in world.customers:
        row["acquisition_channel"] = "release 0"
    assert served(world, world.publish())
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        for number in range(1, 6):
            for row in world.customers:
                row["acquisition_channel"] = f"release {number}"
            assert served(world, world.publish())
    finally:
        over.set()
        thread.join()
    assert wrong == []
    assert count > 20
    newest = world.ask("/v1/customers?limit=1", keys[Role.PRIVACY]).json()["data"][0]
    assert newest["acquisition_channel"] == "release 5"


def test_a_damaged_index_is_told_and_the_last_good_one_answers(world: World, keys: dict[Role, str]) -> None:
    path = f"/v1/customers/{world.customers[3]['customer_id']}"
    before = world.ask(path, keys[Role.SUPPORT]).json()
    current = world.state.serving.now().id
    broken = world.store.folder / "123"
    shutil.copytree(world.store.folder / current, broken)
    (broken / "index.sqlite").write_bytes((broken / "index.sqlite").read_bytes()[:-4096])
    world.store.serve("123")
    deadline = time.monotonic() + 20
    while world.state.serving.refused is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert world.ask(path, keys[Role.SUPPORT]).json() == before
    assert world.ask("/readyz").json()["newest_index_refused"] is True
    assert "c360_api_index_refused 1.0" in world.ask("/metrics").text
    world.store.serve(current)
    shutil.rmtree(broken)
    assert timedelta(0) < datetime.now(UTC) - world.state.serving.now().published_at
