"""The page in a real browser, by keyboard alone. Needs a Chromium or Chrome on the path, or named by C360_CHROMIUM."""

from __future__ import annotations

import json
import time
import urllib.request
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from api.security.principal import Role
from tests.unit.api_app.chromium import Chromium, installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.api_app.conftest import World

pytestmark = pytest.mark.skipif(installed() is None, reason="there is no Chromium; name one by C360_CHROMIUM")
HOSTILE = "<img src=x onerror=\"document.title='taken'\">"
SEEN = "document.querySelector('#status').innerText.endsWith('is shown.')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with Chromium(installed() or "", tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture(scope="module")
def somebody(world: World, server: dict[str, str]) -> dict[str, Any]:
    """A customer with a hostile name and orders, who had another segment in the release before."""
    orders = [row["customer_id"] for row in world.company.rows["gold.fact_orders"]]
    row = next(r for r in world.customers if orders.count(r["customer_id"]) > 2 and r["email"] and r["birth_date"])
    row |= {"full_name": HOSTILE, "segment": "Regular"}
    world.publish()
    row["segment"] = "VIP"
    newest, deadline = world.publish(), time.monotonic() + 20
    while _served(f"http://127.0.0.1:{server['C360_API_PORT']}/readyz") != newest:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return row


def _served(address: str) -> object:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return json.load(answer)["release"]


@pytest.fixture
def address(server: dict[str, str], somebody: dict[str, Any]) -> str:
    return f"http://127.0.0.1:{server['C360_API_PORT']}/"


def look_up(browser: Chromium, key: str, what: str) -> None:
    """As a reader with a keyboard: the focus is where the next thing is to be typed."""
    browser.until("document.activeElement.id === 'key'")
    browser.type(key)
    browser.press("Enter")
    browser.until("document.activeElement.id === 'what'")
    browser.type(what)
    browser.press("Enter")


def value(browser: Chromium, label: str) -> str:
    """What stands beside a label of the 360."""
    return str(browser.run(
        f"[...document.querySelectorAll('#groups dt')].find((each) => each.innerText === '{label}')"
        ".nextElementSibling.innerText"
    ))  # fmt: skip


def test_by_keyboard_a_customer_is_found_and_seen_in_the_past(
    world: World, keys: dict[Role, str], browser: Chromium, address: str, somebody: dict[str, Any]
) -> None:
    browser.open(address)
    look_up(browser, keys[Role.PRIVACY], somebody["customer_id"])
    browser.until(SEEN)
    assert browser.text("#name") == HOSTILE
    assert (value(browser, "Segment"), value(browser, "Email")) == ("VIP", somebody["email"])
    orders = [r for r in world.company.rows["gold.fact_orders"] if r["customer_id"] == somebody["customer_id"]]
    revenue = sum(
        (r["revenue_amount"] or Decimal(0) for r in orders if r["ordered_at"] is not None), start=Decimal(0)
    )  # fmt: skip
    assert f"{revenue:,.2f} USD in {len(orders)} orders" in browser.text("#value-note")
    assert browser.run("document.querySelectorAll('#chart svg[role=img] rect').length") == browser.run(
        "document.querySelectorAll('#value-table tbody tr').length"
    )
    browser.press("Tab")
    assert browser.run("document.activeElement.id") == "moment"
    assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("ArrowLeft")
    browser.until("document.querySelector('#release').innerText.startsWith('The past')")
    browser.until(SEEN.replace("endsWith('is shown.')", "includes(' as of ')"))
    assert value(browser, "Segment").split() == ["Regular", "now", "VIP"]
    assert browser.run("document.title") == "Customer 360"
    assert browser.said == []


def test_more_of_the_timeline_comes_page_by_page(
    world: World, keys: dict[Role, str], browser: Chromium, address: str, somebody: dict[str, Any]
) -> None:
    browser.open(f"{address}#id={somebody['customer_id']}")
    browser.until("document.activeElement.id === 'key'")
    browser.type(keys[Role.SUPPORT])
    browser.press("Enter")
    browser.until(SEEN)
    tables = ("gold.fact_orders", "gold.fact_logistics", "silver.events", "silver.consents", "gold.anomaly_alerts")
    every = [r for table in tables for r in world.company.rows[table] if r["customer_id"] == somebody["customer_id"]]
    shown = "document.querySelectorAll('#story li').length"
    while not browser.run("document.querySelector('#more').hidden"):
        before = browser.run(shown)
        browser.run("document.querySelector('#more').focus()")
        browser.press("Enter")
        browser.until(f"{shown} > {before}")
        time.sleep(0.1)
    assert browser.run(shown) == len(every)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_small_screen_and_with_little_seen(
    keys: dict[Role, str], browser: Chromium, address: str, somebody: dict[str, Any], scheme: str
) -> None:
    browser.open(address, width=360, scheme=scheme)
    look_up(browser, keys[Role.ANALYST], somebody["customer_id"])
    browser.until(SEEN)
    assert browser.run("document.documentElement.scrollWidth <= innerWidth && innerWidth") == 360
    ground = browser.run("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
    assert (sum(ground) < 200) == (scheme == "dark")
    assert browser.text("#name") == somebody["customer_id"]
    assert value(browser, "Email") == "withheld"
    assert value(browser, "Birth date") == str(somebody["birth_date"].year)
    assert somebody["email"] not in str(browser.run("document.documentElement.outerHTML"))


def test_a_refusal_is_told_and_a_forgotten_key_leaves_nothing(
    keys: dict[Role, str], browser: Chromium, address: str, somebody: dict[str, Any]
) -> None:
    browser.open(address)
    look_up(browser, "c360k_wrong", somebody["customer_id"])
    browser.until("!document.querySelector('#problem').hidden")
    assert browser.text("#problem") == "The credential was refused (malformed)."
    look_up(browser, keys[Role.SUPPORT], "C9999999")
    browser.until("document.querySelector('#problem').innerText.startsWith('There is no such customer')")
    browser.run("document.querySelector('#what').value = ''; document.querySelector('#what').focus()")
    browser.type(somebody["customer_id"])
    browser.press("Enter")
    browser.until(SEEN)
    assert somebody["email"] in browser.text("#groups")
    browser.run("document.querySelector('#forget').focus()")
    browser.press("Enter")
    browser.until("document.activeElement.id === 'key'")
    assert browser.run("sessionStorage.length + localStorage.length + document.cookie.length") == 0
    assert somebody["email"] not in str(browser.run("document.documentElement.outerHTML"))


def test_the_browser_itself_refuses_markup_and_other_addresses(browser: Chromium, address: str) -> None:
    browser.open(address)
    assert all(asked.startswith(address) for asked in browser.asked)
    browser.run(
        "window.told = []; document.addEventListener('securitypolicyviolation', (e) => told.push(e.effectiveDirective))"
    )
    for forbidden in ("document.body.innerHTML = '<b>x</b>'", "eval('1')", "fetch('https://example.com/')"):
        refused = f"(async () => {{ try {{ await ({forbidden}); return 'done' }} catch {{ return 'refused' }} }})()"
        assert browser.run(refused) == "refused", forbidden
    browser.until("told.length >= 3")
    assert set(browser.run("told")) == {"require-trusted-types-for", "connect-src"}
