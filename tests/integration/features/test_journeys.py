"""Visits and carts on a real broker and a real Flink: a play with its defects, and what comes late."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from c360.events.config import ProducerConfig
from c360.events.crypto import key_ring
from c360.events.producer import EventProducer
from c360.lakehouse import Lakehouse
from c360.streams.feature_parity import valid_rows
from c360.streams.job import load_jobs
from c360.streams.journeys import CARTS, SESSIONS, journey_parity
from c360.streams.runner import Streams
from mock_data.company import company_of
from mock_data.play import play
from mock_data.play_source import source
from tests.integration.streams.conftest import World as Engines
from tests.integration.streams.conftest import started
from tests.oracle import journeys as oracle
from tests.oracle.journeys import Action

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = pytest.mark.integration

TOPIC, JOURNEYS = "raw-events", "customer-journeys"
JOBS = (JOURNEYS, "events")
NOW = datetime.now(UTC).replace(microsecond=123000)
PLAYED, TOLD = NOW - timedelta(hours=3), NOW - timedelta(hours=1)
"""When the play ends; until when event time is moved before what is late comes."""

ORACLES = {SESSIONS: ("session_id", oracle.sessions), CARTS: ("cart_id", oracle.carts)}
WAIT_S = 180.0


class World:
    """Messages that were sent, as actions in the order of the log, and what the streams have written."""

    def __init__(self, engines: Engines, streams: Streams, accepted: set[tuple[int, int]]) -> None:
        self.engines, self.streams, self.settings = engines, streams, streams.settings
        self.accepted = accepted
        self._producer = Producer({"bootstrap.servers": self.settings.kafka_servers})

    def say(self, *actions: Action, arrived: datetime) -> None:
        """Send actions; each to the partition of its customer, with that time of arrival."""
        for action in actions:
            self._send(action, arrived)
        assert self._producer.flush(30) == 0

    def pass_time(self, moment: datetime) -> None:
        """Actions of strangers in every partition, so that all of them have come to that moment."""
        for partition in range(len(self._producer.list_topics(TOPIC).topics[TOPIC].partitions)):
            stranger = Action(str(uuid.uuid4()), None, "page_view", moment)
            self._send(stranger, moment, partition)
        assert self._producer.flush(30) == 0

    def _send(self, action: Action, arrived: datetime, partition: int = -1) -> None:
        payload = {"user_id": action.customer, "product_id": action.product}
        body = {
            "event_id": action.event_id, "event_timestamp": f"{action.at:%Y-%m-%dT%H:%M:%S.%fZ}",
            "event_type": action.kind, "source_system": "web-shop", "schema_version": 1,
            "metadata": {"correlation_id": "W1"},
            "payload": {name: value for name, value in payload.items() if value is not None},
        }  # fmt: skip

        def noted(error: object, message: Any) -> None:
            assert error is None
            self.accepted.add((message.partition(), message.offset()))

        stamp = int(arrived.timestamp() * 1000)
        self._producer.produce(
            TOPIC, json.dumps(body).encode(), action.customer, partition, timestamp=stamp, on_delivery=noted
        )

    def actions(self) -> list[Action]:
        """What customers did, by the messages themselves: those that the ledger calls accepted."""
        consumer = Consumer({"bootstrap.servers": self.settings.kafka_servers, "group.id": "oracle"})
        numbers = sorted({partition for partition, _ in self.accepted})
        consumer.assign([TopicPartition(TOPIC, number, 0) for number in numbers])
        left, found = set(self.accepted), []
        while left:
            [message] = consumer.consume(1, timeout=30)
            place = (message.partition(), message.offset())
            if place in left:
                left.remove(place)
                body = json.loads(message.value() or b"")
                found.append(
                    Action(
                        body["event_id"],
                        body["payload"].get("user_id"),
                        body["event_type"],
                        datetime.fromisoformat(body["event_timestamp"]),
                        body["payload"].get("product_id"),
                    )
                )
        consumer.close()
        return found

    def written(self, table: str) -> pl.DataFrame:
        with Lakehouse(self.settings) as lake:
            return pl.DataFrame(pl.from_arrow(lake.read(table)))

    def valid(self, table: str, as_of: datetime) -> dict[str, Any]:
        key, _ = ORACLES[table]
        return {row[key]: row for row in valid_rows(self.written(table), key, as_of).to_dicts()}

    def wait_for(self, as_of: datetime) -> None:
        """Until the tables hold what the oracle makes of all that was sent; shows the difference otherwise."""
        actions, deadline = self.actions(), time.monotonic() + WAIT_S
        for table, (_, expected) in ORACLES.items():
            wanted = expected(actions, as_of)
            while (found := self.valid(table, as_of)) != wanted and time.monotonic() < deadline:
                time.sleep(1)
            assert found.keys() == wanted.keys()
            assert [(found[key], row) for key, row in wanted.items() if found[key] != row][:3] == []


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A company's five days with all defects, played into the engines; event time has passed them."""
    home = tmp_path_factory.mktemp("journeys")
    with started(home) as engines:
        settings = engines.settings
        jobs = {name: replace(load_jobs()[name], parallelism=1, checkpoint_seconds=1.0) for name in JOBS}
        streams = Streams(settings, jobs)
        for name in JOBS:
            streams.start(name, wait=120)
        company = company_of(0.4, 7, (PLAYED - timedelta(days=5)).date(), 5)
        with EventProducer(ProducerConfig(settings.kafka_servers, "throughput"), None, key_ring(settings)) as producer:
            played = source(company)
            # A shop of three products: the carts of visits then hold what was looked at.
            few = pl.concat_str(pl.lit("P"), pl.col("product_id").str.slice(-3).cast(pl.Int64) % 3)
            played = replace(played, web=played.web.with_columns(product_id=few))
            play(played, producer, home / "ledger", until=PLAYED, machines=False)
        ledger = pl.read_parquet(home / "ledger" / "part-*.parquet")
        accepted = ledger.filter(pl.col("topic") == TOPIC, pl.col("outcome") == "accepted")
        made = World(engines, streams, set(accepted.select("partition", "offset").iter_rows()))
        made.pass_time(TOLD)
        yield made
        streams.close()


def test_a_companys_visits_and_carts_are_the_oracles(world: World) -> None:
    world.wait_for(TOLD - timedelta(minutes=10))
    visits, carts = (world.valid(table, TOLD - timedelta(minutes=10)) for table in (SESSIONS, CARTS))
    assert len(visits) > 500
    assert len(carts) > 20
    assert any(row["purchases"] for row in visits.values())
    # Late actions of the play changed what was told before.
    assert not world.written(SESSIONS)["is_active"].all()
    actions = world.actions()
    for as_of in (PLAYED - timedelta(days=days) for days in (4, 2, 1)):
        for table, (_, expected) in ORACLES.items():
            assert world.valid(table, as_of) == expected(actions, as_of)


def test_what_comes_late_joins_visits_and_takes_carts_back_also_after_a_kill(world: World) -> None:
    began = TOLD - timedelta(hours=8)

    def act(customer: str, kind: str, minutes: float, product: str | None = None) -> Action:
        return Action(str(uuid.uuid4()), customer, kind, began + timedelta(minutes=minutes), product)

    seen = [act("L1", "page_view", 0), act("L1", "page_view", 50), act("L1", "purchase", 100)]
    seen += [act("L2", "product_view", 0, "P1"), act("L2", "add_to_cart", 5, "P1"), act("L2", "add_to_cart", 6, "P2")]
    world.say(*seen, arrived=NOW - timedelta(minutes=40))
    as_of = TOLD - timedelta(minutes=10)
    world.wait_for(as_of)
    told = world.valid(SESSIONS, as_of)
    assert sorted(row["events"] for row in told.values() if row["customer_id"] == "L1") == [1, 1, 1]
    [left] = [row for row in world.valid(CARTS, as_of).values() if row["customer_id"] == "L2"]
    assert left["cart_id"] == seen[4].event_id

    # What was told and what waits is in the savepoint, and the kill repeats none of it.
    assert world.streams.stop(JOURNEYS) is not None
    late = [act("L1", "page_view", 75), act("L1", "page_view", 25), act("L1", "page_view", -29)]
    late += [act("L2", "purchase", 30), act("L2", "product_view", 6, "P2"), late[0]]
    world.say(*late, arrived=NOW - timedelta(minutes=30))
    world.streams.start(JOURNEYS, wait=120)
    world.engines.kill("flink-taskmanager")
    world.engines.tick()
    # A job that was restored learns the time from what comes then; what it had read before may have been all there was.
    world.pass_time(TOLD)
    world.wait_for(as_of)
    for table, (key, _) in ORACLES.items():
        rows = world.written(table)
        assert rows.height == rows.unique((key, "effective_at", "version")).height
    [joined] = [row for row in world.valid(SESSIONS, as_of).values() if row["customer_id"] == "L1"]
    assert (joined["events"], joined["started_at"]) == (6, began - timedelta(minutes=29))
    assert [row for row in world.valid(CARTS, as_of).values() if row["customer_id"] == "L2"] == []


def test_the_stream_equals_batch(world: World) -> None:
    world.pass_time(NOW)
    world.wait_for(TOLD + timedelta(minutes=30))
    with Lakehouse(world.settings) as lake:
        for table in (SESSIONS, CARTS):
            found = journey_parity(lake, table)
            assert found.as_of is not None
            assert found.as_of > PLAYED
            assert (found.total, found.compared > 20) == (0, True), found.examples()
        # It would say so.
        lake.table(SESSIONS).delete("purchases > 0")
        found = journey_parity(lake, SESSIONS)
        assert found.missing.height > 0
        assert (found.surplus.height, found.changed.height) == (0, 0)
