"""Sales and inventory from the shop's changes, told in order and in no order, through kills and an upgrade."""

from __future__ import annotations

import random
import time
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from c360.streams.runner import Streams
from c360.streams.sql import statements
from c360.streams.upgrade import upgrade
from mock_data.company import company_of
from mock_data.shop_changes import Change, Transaction, transactions
from mock_data.shop_light import messages
from tests.integration.features.conftest import as_json
from tests.integration.features.expected import MONTH, WEEK, Shop
from tests.unit.engines.engine_specs import eventually

if TYPE_CHECKING:
    from collections.abc import Iterable

    from c360.settings import Settings
    from c360.streams.job import StreamJob
    from mock_data.shop_light import Message
    from tests.integration.features.conftest import Features

pytestmark = [pytest.mark.integration, pytest.mark.faults]
JOBS = ("sales-aggregations", "inventory-optimizer")
TABLES = ("sales_metrics", "inventory_insights")
US = timedelta(microseconds=1)


@pytest.fixture(scope="module")
def company() -> list[Transaction]:
    return list(transactions(company_of(0.01, 360, date(2025, 1, 1), 180)))


def told(played: Iterable[Transaction]) -> list[Message]:
    found: list[Message] = []
    position = 1
    for transaction in played:
        found += messages(transaction, position)
        position += len(transaction.changes)
    return found


def changes(played: Iterable[Transaction]) -> list[Change]:
    return [change for transaction in played for change in transaction.changes]


def wanted(shop: Shop, table: str, as_of: datetime) -> dict[str, dict[str, object]]:
    return {"sales_metrics": shop.sales_metrics, "inventory_insights": shop.inventory_insights}[table](as_of)


def test_read_in_order_each_moment_of_the_past_is_right(features: Features, company: list[Transaction]) -> None:
    """Partitions of five topics are read side by side; the rows of each moment are those of their common clock."""
    features.begin(
        *JOBS, idle="20 s"
    )  # on a busy machine a partition may be read that late, and would not hold the clock
    features.play(told(company))
    shop, end, draw = Shop(), company[-1].at, random.Random(7)
    shop.learn(changes(company))
    for table in TABLES:
        assert features.differences(table, end, wanted(shop, table, end), 150) == []
    orders = draw.sample(sorted(row["ordered_at"] for row in shop.orders.values()), 6)
    moments = [company[0].at + (end - company[0].at) * draw.random() for _ in range(3)]
    moments += [*orders, *(at + WEEK for at in orders[:2]), *(at + WEEK + US for at in orders[:2])]
    moments += [at + MONTH - step for at in orders[:2] for step in (0 * US, US)]
    moments += list(shop.cancelled.values())[:2]
    for moment in moments:
        for table in TABLES:
            assert features.differences(table, min(moment, end), wanted(shop, table, min(moment, end)), 0) == []


def shuffled(played: list[Message], live: list[Message], seed: int) -> list[Message]:
    """In no order, a tenth of it twice, with all rows read again as they are after it."""
    draw = random.Random(seed)
    found = played + draw.sample(played, len(played) // 10) + live
    draw.shuffle(found)
    return found


def read_again(played: Iterable[Transaction], at: datetime) -> list[Message]:
    """What a snapshot tells of the rows as they are after these transactions."""
    rows: dict[tuple[str, str], Change] = {}
    for change in changes(played):
        place = (change.table, str(change.key))
        if change.after is None:
            rows.pop(place, None)
        else:
            rows[place] = Change(change.table, "c", None, change.after)
    snapshot = Transaction(1, at, tuple(rows.values()))
    return [
        (topic, key, (value or b"").replace(b'"op":"c"', b'"op":"r"')) for topic, key, value in messages(snapshot, 1)
    ]


def test_in_any_order_through_kills_and_an_upgrade(features: Features, company: list[Transaction]) -> None:
    """Shuffled, repeated and read again, deletions before insertions, some of it months late."""
    features.begin(*JOBS)
    third = len(company) // 3
    parts = [company[:third], company[third : 2 * third], company[2 * third :]]
    kept_back = random.Random(3).sample(parts[0], third // 20)
    parts[0] = [transaction for transaction in parts[0] if transaction not in kept_back]
    parts[2] = parts[2] + kept_back
    shop, so_far = Shop(), list[Transaction]()
    for number, part in enumerate(parts):
        so_far = sorted(so_far + part, key=lambda transaction: transaction.number)
        end = so_far[-1].at
        again = read_again(so_far, end) if number else []
        sent = shuffled(told(part), again, number)
        shop.learn(changes(part))
        if number == 1:
            play_through_kills(features, sent)
        else:
            features.play(sent)
        for table in TABLES:
            assert features.differences(table, end, wanted(shop, table, end), 150) == []
        if number == 1:
            upgraded(features)
    for table in TABLES:
        newest = features.as_of(table, datetime(9999, 1, 1, tzinfo=UTC))
        assert {key: as_json(row) for key, row in newest.items()} == features.in_topic(table)


def play_through_kills(features: Features, sent: list[Message]) -> None:
    for number in range(3):
        features.play(sent[number::3])
        if number < 2:
            time.sleep(1)
            features.kill("flink-taskmanager")
            features.tick(*JOBS)
    assert eventually(lambda: all(restarted(features, job) for job in JOBS), 120)


def restarted(features: Features, job: str) -> bool:
    [active] = features.streams.look(job).active
    return active.state == "RUNNING" and active.settled and bool(features.streams.flink.restarts(active.id))


def upgraded(features: Features) -> None:
    """Changed SQL goes on from what the old one knew; nothing is counted anew, as nothing is told anew."""

    def render(job: StreamJob, settings: Settings) -> list[str]:
        texts = [
            text.replace("effective_at, version\nFROM", "effective_at, version + 0 AS version\nFROM")
            for text in statements(job, settings)
        ]
        assert texts != statements(job, settings)
        return texts

    features.streams.close()
    features.streams = Streams(features.settings, features.jobs, render)
    for job in JOBS:
        done = upgrade(features.streams, job)
        assert (done.result, done.reason) == ("upgraded", "")
