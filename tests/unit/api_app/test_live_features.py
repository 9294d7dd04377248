"""What the feature store adds to answers of this moment; and that its absence costs a word and little time."""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from api.security.principal import Role
from api.serving.features import Features
from c360.features.reading import FeatureReader
from c360.features.rows import Rows
from c360.features.store import PLACE, SEEN
from tests.conftest import free_port
from tests.unit.features.fake_dynamodb import refusal
from tests.unit.features.feature_tables import TABLES, alert, moment, segment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from c360.features.tables import FeatureTable
    from tests.unit.api_app.conftest import World

AWAY = {"state": "not_available", "current": None, "unread": 0}


class FakeReads:
    """The answers of DynamoDB for these rows."""

    def __init__(self, records: list[dict[str, Any]], *, stored: bool = True) -> None:
        self.stored = stored
        self.items: dict[str, dict[str, Any]] = {}
        for record in records:
            table = self._table(record)
            row = Rows(table).of(record[table.key].encode(), json.dumps(record).encode())
            self.items.setdefault(table.store, {})[row.key] = row.item

    @staticmethod
    def _table(record: dict[str, Any]) -> FeatureTable:
        return next(table for table in TABLES.values() if record.keys() <= {column.name for column in table.columns})

    def get_item(self, *, TableName: str, Key: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        assert (TableName, Key) == ("feature-positions", {PLACE: {"S": SEEN}})
        if not self.stored:
            raise refusal("ResourceNotFoundException")
        now = {"N": str(time.time())}
        return {"Item": {"broker_s": now, "current_s": now, "unread": {"N": "0"}}}

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        [(name, wanted)] = RequestItems.items()
        assert len(wanted["Keys"]) <= 100
        if name not in self.items:
            raise refusal("ResourceNotFoundException")
        keys = [next(iter(key.values()))["S"] for key in wanted["Keys"]]
        return {"Responses": {name: [self.items[name][key] for key in reversed(keys) if key in self.items[name]]}}

    def query(self, **asked: Any) -> dict[str, Any]:
        items = self.items.get(asked["TableName"], {}).values()
        customer = asked["ExpressionAttributeValues"][":c"]
        found = [item for item in items if item["customer_id"] == customer and item["is_active"]["BOOL"]]
        return {"Items": sorted(found, key=lambda item: str(item["effective_at"]["S"]), reverse=True)}

    def close(self) -> None:
        pass


@contextmanager
def storing(world: World, client: FakeReads) -> Iterator[None]:
    reader = world.state.features.reader
    reader.warm()  # or the real client could come in between
    vars(reader)["_client"], vars(reader)["_rests_until"] = client, 0.0
    try:
        yield
    finally:
        vars(reader)["_client"] = None


def test_segment_and_active_alerts_are_in_the_live_answer(world: World, keys: dict[Role, str]) -> None:
    number = 3
    customer = world.customers[number]["customer_id"]
    assert customer == f"C{number:07}"
    records = [segment(number, 7, 50), *(alert(each, 1, each, active=each != 2, customer=number) for each in range(4))]
    with storing(world, FakeReads([*records, segment(4, 1, 1), alert(9, 1, 9, customer=4)])):
        answer = world.ask(f"/v1/customers/{customer}/live", keys[Role.PRIVACY])
        masked = world.ask(f"/v1/customers/{customer}/live", keys[Role.SUPPORT]).json()["data"]["features"]
    assert answer.headers["cache-control"] == "private, no-store"
    features = answer.json()["data"]["features"]
    assert features["state"] == "live"
    assert features["segment"] == segment(number, 7, 50)
    assert features["alerts"] == [alert(each, 1, each, customer=number) for each in (3, 1, 0)]
    # What may tell who somebody is, is shown as in every other answer to that role.
    assert masked["segment"]["spend"] != features["segment"]["spend"]
    assert masked["segment"]["version"] == 7


def test_another_customers_features_are_nobodys(world: World) -> None:
    outside = next(row for row in world.customers if row["country_code"] == "FR")
    key = world.key(Role.SUPPORT, frozenset({"DE"}))
    with storing(world, FakeReads([segment(int(outside["customer_id"][1:]), 7, 50)])):
        assert world.ask(f"/v1/customers/{outside['customer_id']}/live", key).status_code == 404


def test_windows_of_sales_are_those_of_the_last_hours_newest_first(world: World, keys: dict[Role, str]) -> None:
    now = int(time.time()) // 300 * 300
    starts = [datetime.fromtimestamp(now - 300 * number, UTC) for number in range(40)]
    common = {
        "window_end": moment(0), "orders": 2, "cancellations": 0, "revenue": "10.00", "average_order_value": 5.0,
        "unique_customers": 1, "effective_at": moment(0), "version": 2,
    }  # fmt: skip
    rows = [
        {"metric_id": f"{start:%Y-%m-%dT%H:%M:%S}Z", "window_start": f"{start:%Y-%m-%dT%H:%M:%S}.000000Z", **common}
        for start in starts
    ]
    with storing(world, FakeReads(rows)):
        answer = world.ask("/v1/metrics/live?hours=1", keys[Role.ANALYST]).json()
        longest = world.ask("/v1/metrics/live?hours=24", keys[Role.ANALYST]).json()["sales"]["windows"]
    assert answer["sales"]["state"] == "live"
    assert answer["sales"]["windows"][:23] == rows[:23]
    assert len(answer["sales"]["windows"]) == 24
    assert len(longest) == 40
    assert answer["live"]["state"] == "absent"


def test_a_products_stock_of_this_moment(world: World, keys: dict[Role, str]) -> None:
    row = {
        "product_id": "P00001", "category": None, "product_status": "active", "stock_on_hand": 5, "units_sold_7d": 7,
        "units_per_day": "1.0000", "days_until_stock_out": "5.00", "status": "low", "dead_stock": False,
        "last_sold_at": None, "restock_quantity": 9, "restock_urgency": "soon", "effective_at": moment(1), "version": 3,
    }  # fmt: skip
    with storing(world, FakeReads([row])):
        answer = world.ask("/v1/products/P00001/inventory/live", keys[Role.SUPPORT])
        unknown = world.ask("/v1/products/P00002/inventory/live", keys[Role.SUPPORT]).json()
        assert world.ask("/v1/products/P99999/inventory/live", keys[Role.SUPPORT]).status_code == 404
    assert answer.json()["data"] == row
    assert answer.headers["cache-control"] == "private, no-store"
    assert unknown["data"] is None
    assert unknown["live"]["state"] == "live"


def test_nothing_was_ever_stored(world: World, keys: dict[Role, str]) -> None:
    with storing(world, FakeReads([], stored=False)):
        found = world.ask("/v1/customers/C0000001/live", keys[Role.SUPPORT]).json()["data"]["features"]
    assert found == {"state": "absent", "current": None, "unread": 0, "segment": None, "alerts": []}


@pytest.fixture
def mute() -> Iterator[int]:
    """A server that takes every connection and never says a word."""
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:

        def take() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=take)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    for each in held:
        each.close()


@pytest.mark.parametrize("how", ["nobody listens", "nobody answers"])
def test_a_store_that_is_away_is_a_word_and_no_error_within_bounds(
    world: World, keys: dict[Role, str], mute: int, how: str
) -> None:
    port = mute if how == "nobody answers" else free_port()
    features = world.state.features
    before = features.reader
    features.reader = FeatureReader(world.settings.model_copy(update={"dynamodb_port": port}))
    features.reader.warm()
    paths = ["/v1/customers/C0000001/live", "/v1/products/P00001/inventory/live"]
    threads = threading.active_count()
    try:
        for path in paths:
            began = time.monotonic()
            answer = world.ask(path, keys[Role.PRIVACY])
            assert answer.status_code == 200
            assert time.monotonic() - began < 2.5
            body = answer.json()
            assert AWAY.items() <= (body["data"]["features"] if "customers" in path else body["live"]).items()
        sales = world.ask("/v1/metrics/live", keys[Role.ANALYST]).json()["sales"]
        assert sales == {**AWAY, "windows": []}
        # Sixty at once wait for no more than a few, and leave no threads behind.
        vars(features.reader)["_rests_until"] = 0.0
        began = time.monotonic()
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: world.ask(paths[0], keys[Role.PRIVACY]), range(60)))
        assert {answer.status_code for answer in answers} == {200}
        assert time.monotonic() - began < 8
        assert threading.active_count() - threads < 40
    finally:
        features.reader.close()
        features.reader = before


def test_the_rest_after_a_failure_is_over_after_a_second(world: World) -> None:
    reader = Features(world.settings.model_copy(update={"dynamodb_port": free_port()})).reader
    assert reader.ask(lambda: 1, 0)[0].state == "not_available"
    vars(reader)["_client"] = FakeReads([])
    assert reader.ask(lambda: 1, 0) == (reader.ask(lambda: 1, 0)[0], 0)
    time.sleep(1.05)
    assert reader.ask(lambda: 1, 0)[1] == 1
    reader.close()
