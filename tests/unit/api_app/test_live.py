"""The live part of a customer: what the streams wrote, the release where they did not, and how live it is."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from api.security.principal import Role
from c360.events.errors import EventError
from c360.live.parts import Value, Values
from c360.live.store import LiveReader, LiveStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.api_app.conftest import World

NOW = datetime.now(UTC).replace(microsecond=123456)


def message(customer: str | None, kind: str, at: datetime, number: int, **payload: Any) -> bytes:
    return json.dumps(
        {
            "event_id": f"00000000-0000-4000-8000-{number:012}",
            "event_type": kind,
            "event_timestamp": at.isoformat().replace("+00:00", "Z"),
            "source_system": "web",
            "schema_version": 1,
            "metadata": {"correlation_id": "c-1"},
            "payload": {"user_id": customer, **payload} if customer else payload,
        }
    ).encode()


def values(topic: str, *messages: bytes) -> list[Value]:
    found, now = Values(topic), int(time.time() * 1000)
    return [value for each in messages for value in found.of(each, now)]


@pytest.fixture
def live(world: World) -> Iterator[LiveStore]:
    store = LiveStore(world.settings.live_dir)
    yield store
    store.close()
    shutil.rmtree(world.settings.live_dir)
    # It would find out by itself within a second that the file is gone.
    world.state.live.close()


def test_the_newest_event_holds_whatever_the_order_and_however_often(tmp_path: Path) -> None:
    of = random.Random(3)
    events = [
        (
            f"C{of.randrange(5)}",
            of.choice(["page_view", "purchase", "search"]),
            NOW - timedelta(seconds=of.randrange(50)),
        )
        for _ in range(300)
    ]
    messages = [message(who, kind, at, number) for number, (who, kind, at) in enumerate(events)]
    store, reader = LiveStore(tmp_path), LiveReader(tmp_path)
    for _ in range(2):
        of.shuffle(messages)
        for start in range(0, 300, 17):
            store.put(values("raw-events", *messages[start : start + 17]), {("raw-events", 0): start})
    for customer in range(5):
        _, parts = reader.read(f"C{customer}")
        own = [(at, number, kind) for number, (who, kind, at) in enumerate(events) if who == f"C{customer}"]
        bought = [each for each in own if each[2] == "purchase"]
        assert int(parts["last_event"].event_id[-12:]) == max(own)[1]
        assert int(parts["last_purchase"].event_id[-12:]) == max(bought)[1]
    store.close()
    reader.close()


def test_what_cannot_be_an_event_of_a_customer_gives_no_value() -> None:
    assert values("raw-events", message(None, "search", NOW, 1, session_id="s")) == []
    for wrong in (
        message("C1", "search", NOW + timedelta(hours=1), 2),
        message("C1", "search", NOW - timedelta(days=400), 3),
        message("C1", "unheard_of", NOW, 4),
        b"{",
        b"",
    ):
        with pytest.raises((EventError, ValueError)):
            values("raw-events", wrong)


def test_direct_identifiers_do_not_reach_the_store() -> None:
    [value] = values(
        "raw-events", message("C1", "search", NOW, 1, email="sealed", ip_address="sealed", device="mobile")
    )
    record = json.loads(value.body)
    assert record["device"] == "mobile"
    assert not {"email", "ip_address", "properties"} & record.keys()


def test_without_streams_the_release_answers_and_says_so(world: World, keys: dict[Role, str]) -> None:
    for row in world.customers[:10]:
        path = f"/v1/customers/{row['customer_id']}"
        answer = world.ask(f"{path}/live", keys[Role.SUPPORT]).json()
        assert answer["live"] == {"state": "absent", "current": None, "unread": 0}
        parts = answer["data"]["parts"]
        assert parts["segment"]["record"] == {"segment": row["segment"]}
        events = world.ask(f"{path}/events?limit=1", keys[Role.SUPPORT]).json()["data"]
        if events:
            assert parts["last_event"]["source"] == "release"
            assert parts["last_event"]["record"].items() <= events[0].items()
        else:
            assert parts["last_event"] is None
        assert parts["last_payment"] is None


def test_the_stream_is_on_top_with_its_own_time(world: World, keys: dict[Role, str], live: LiveStore) -> None:
    customer = world.customers[1]["customer_id"]
    payment = {
        **json.loads(message(None, "payment", NOW, 9)),
        "payload": {
            "transaction_id": "T1", "account_id": customer, "order_id": "O9", "amount": 12.5, "currency": "USD",
            "status": "captured", "account_holder": "sealed",
        },
    }  # fmt: skip
    found = values(
        "raw-events",
        message(customer, "purchase", NOW - timedelta(seconds=5), 1, order_id="O9", session_id="secret-session"),
        message(customer, "page_view", NOW, 2, session_id="secret-session", product_id="P1"),
    )
    live.put([*found, *values("raw-transactions", json.dumps(payment).encode())], {})
    live.saw(time.time(), 0)
    answer = world.ask(f"/v1/customers/{customer}/live", keys[Role.SUPPORT])
    assert answer.headers["cache-control"] == "private, no-store"
    body = answer.json()
    assert body["live"]["state"] == "live"
    parts = body["data"]["parts"]
    assert [parts[name]["source"] for name in ("segment", "last_event", "last_purchase", "last_payment")] == [
        "release", "stream", "stream", "stream",
    ]  # fmt: skip
    assert parts["last_event"]["event_time"] == NOW.strftime("%Y-%m-%dT%H:%M:%S.123456Z")
    assert parts["last_event"]["record"]["product_id"] == "P1"
    assert parts["last_event"]["record"]["session_id"] == "***"
    assert parts["last_purchase"]["record"] == {
        "order_id": "O9", "ordered_at": (NOW - timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }  # fmt: skip
    assert parts["last_payment"]["record"]["amount"] == "12.5"
    assert Decimal(parts["last_payment"]["record"]["amount"]) == Decimal("12.50")
    assert "sealed" not in answer.text
    clear = world.ask(f"/v1/customers/{customer}/live", keys[Role.PRIVACY]).json()["data"]["parts"]
    assert clear["last_event"]["record"]["session_id"] == "secret-session"


def test_who_may_not_see_the_customer_sees_nothing_live(world: World, keys: dict[Role, str], live: LiveStore) -> None:
    outside = next(row for row in world.customers if row["country_code"] == "FR")
    key = world.key(Role.SUPPORT, frozenset({"DE"}))
    live.put(values("raw-events", message(outside["customer_id"], "search", NOW, 1)), {})
    assert world.ask(f"/v1/customers/{outside['customer_id']}/live", key).status_code == 404
    assert world.ask("/v1/customers/C9999999/live", keys[Role.SUPPORT]).status_code == 404
    assert world.ask("/v1/metrics/live", keys[Role.SUPPORT]).status_code == 403


@pytest.mark.parametrize(("broker", "current", "state"), [(0, 0, "live"), (0, 60, "behind"), (60, 60, "stopped")])
def test_it_says_how_live_it_is(
    world: World, keys: dict[Role, str], live: LiveStore, broker: float, current: float, state: str
) -> None:
    live.saw(time.time() - current, 3)
    with sqlite3.connect(world.settings.live_dir / "live.sqlite") as other:
        other.execute("UPDATE seen SET broker_s = broker_s - ?", (broker,))
    other.close()
    answer = world.ask(f"/v1/customers/{world.customers[0]['customer_id']}/live", keys[Role.SUPPORT]).json()
    assert answer["live"]["state"] == state
    assert answer["live"]["unread"] == 3


def test_a_file_of_garbage_is_as_none(world: World, keys: dict[Role, str]) -> None:
    world.settings.live_dir.mkdir()
    (world.settings.live_dir / "live.sqlite").write_bytes(b"no database at all" * 1000)
    try:
        answer = world.ask(f"/v1/customers/{world.customers[0]['customer_id']}/live", keys[Role.SUPPORT])
    finally:
        shutil.rmtree(world.settings.live_dir)
    assert answer.status_code == 200
    assert answer.json()["live"]["state"] == "absent"
