"""Segments and alerts on real Kafka and Flink, against the oracle: by hand, in any order, as time passes, and killed.

The tests share one pair of engines and one run of each job, in the order of the file.
"""

from __future__ import annotations

import time
import uuid
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING

import httpx
import pytest

from c360.errors import C360Error
from c360.streams.sql import statements
from c360.streams.upgrade import upgrade
from tests.integration.features.odd_messages import odd_messages
from tests.integration.features.shop_stream import ShopStream, feature_streams, micros
from tests.integration.streams.conftest import World, started
from tests.oracle.features.anything import anything
from tests.oracle.features.cases import CASES, KEYS
from tests.oracle.features.shop import features_of
from tests.oracle.features.told import DAY, MINUTE, NOW, TICK, changed, placed, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from c360.settings import Settings
    from c360.streams.job import StreamJob
    from tests.oracle.features.changes import Change, Row
    from tests.oracle.features.told import Case

pytestmark = pytest.mark.integration

JOBS = {"customer_segments": "customer-segmentation", "anomaly_alerts": "anomaly-detection"}
ORDERED = [case for case in CASES if any(change.table == "orders" for change in case.changes)]
LATER = NOW + 95 * DAY
PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with started(tmp_path_factory.mktemp("features")) as world:
        world.streams.close()
        world.streams = feature_streams(world.settings, *JOBS.values())
        start(world)
        yield world


def start(world: World) -> None:
    """Start the jobs as the sensor would: again where Flink was too busy to take one in time."""
    for name in JOBS.values():
        deadline = time.monotonic() + 3 * PATIENCE_S
        while not running(world, name) and time.monotonic() < deadline:
            with suppress(C360Error):
                world.streams.start(name, wait=PATIENCE_S)
        assert running(world, name)


def running(world: World, name: str) -> str | None:
    """The id of the one job of a stream, if all of it runs."""
    jobs = [job for job in world.streams.look(name).active if job.state == "RUNNING" and job.settled]
    return jobs[0].id if len(jobs) == 1 else None


@pytest.fixture(scope="module")
def shop(world: World) -> ShopStream:
    return ShopStream(world.settings)


def wanted(changes: list[Change], table: str, as_of: datetime) -> dict[str, Row]:
    return {row[KEYS[table]]: row for row in features_of(changes, as_of)[table]}


def same(table: str, found: dict[str, Row], expected: dict[str, Row]) -> bool:
    """Whether all values are the same; the version of an alert is that of when it was told, which arrival decides."""
    if found.keys() != expected.keys():
        return False
    apart = {"version"} if table == "anomaly_alerts" else set()
    return all(
        {k: v for k, v in found[key].items() if k not in apart} == {k: v for k, v in row.items() if k not in apart}
        for key, row in expected.items()
    )


def comes_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def comes_to(shop: ShopStream, table: str, prefix: str, expected: dict[str, Row]) -> bool:
    """Whether the rows of these keys become the expected ones."""
    return comes_true(lambda: same(table, of_prefix(shop.valid(table, LATER), prefix), expected))


def of_prefix(rows: dict[str, Row], prefix: str) -> dict[str, Row]:
    return {key: row for key, row in rows.items() if key.startswith(prefix)}


def own(changes: list[Change], prefix: str) -> list[Change]:
    """The changes with customers and orders of their own."""

    def named(row: Row | None) -> Row | None:
        names = ("customer_id", "order_id")
        return row and {**row, **{name: f"{prefix}{row[name]}" for name in names if row.get(name) is not None}}

    return [replace(c, before=named(c.before), after=named(c.after)) for c in changes if c.table == "orders"]


@pytest.fixture(scope="module")
def cases_told(shop: ShopStream) -> dict[str, dict[tuple[str, datetime], dict[str, Row]]]:
    """Rows by table, and by case and moment, after all cases were told one after another."""
    apart = {f"{case.table}-{case.name}": replace(case, name=f"{case.table}-{case.name}").apart() for case in ORDERED}
    for case in apart.values():
        shop.tell((change for change in case.changes if change.table == "orders"), partition=0)
    shop.pass_time(LATER)

    def complete() -> bool:
        return all(
            same(
                table,
                shop.valid(table, LATER),
                {k: v for case in apart.values() for k, v in wanted(list(case.changes), table, LATER).items()},
            )
            for table in JOBS
        )

    comes_true(complete)
    found: dict[str, dict[tuple[str, datetime], dict[str, Row]]] = defaultdict(dict)
    for table in JOBS:
        for as_of in {case.as_of for case in ORDERED} | {LATER}:
            for name in apart:
                found[table][name, as_of] = {}
            for key, row in shop.valid(table, as_of).items():
                found[table][key.split(":")[0], as_of][key] = row
    return found


@pytest.mark.parametrize("table", JOBS)
@pytest.mark.parametrize("case", ORDERED, ids=[f"{case.table}-{case.name}" for case in ORDERED])
def test_a_case_by_hand(
    case: Case, table: str, cases_told: dict[str, dict[tuple[str, datetime], dict[str, Row]]]
) -> None:
    name = f"{case.table}-{case.name}"
    apart = replace(case, name=name).apart()
    for as_of in (case.as_of, LATER):
        expected = wanted(list(apart.changes), table, as_of)
        found = cases_told[table][name, as_of]
        assert same(table, found, expected), (as_of, found, expected)


@pytest.mark.parametrize("seed", [1, 2])
def test_anything_in_any_order_and_told_again_gives_the_same(seed: int, shop: ShopStream) -> None:
    prefix = f"any{seed}:"
    changes = own(anything(seed, 250), prefix)
    shop.tell(changes)
    shop.tell(Random(seed).sample(changes, len(changes) // 2))
    shop.tell(read(change, NOW) for change in {c.content["order_id"]: c for c in changes if c.content}.values())
    shop.pass_time(LATER)
    for table in JOBS:
        expected = wanted(changes, table, LATER)
        assert len(expected) > 30
        assert comes_to(shop, table, prefix, expected), table


def test_cdc_updates_counted_as_orders_one_order_with_four_status_updates(shop: ShopStream) -> None:
    order = placed("four:O", "four:C", NOW - DAY, "900.00")
    shop.tell([order, *(changed(order, NOW, status=s) for s in ("paid", "shipped", "completed", "returned"))])
    shop.tell([placed("four:P", "four:D", NOW, "1.00")])
    assert comes_true(lambda: "four:D" in shop.valid("customer_segments", NOW))
    found = shop.valid("customer_segments", NOW)["four:C"]
    assert (found["segment"], found["orders"], found["spend"]) == ("New", 1, Decimal("900.00"))


def test_no_timers_at_all_at_risk_and_churned_appear_without_an_order(shop: ShopStream) -> None:
    moment = LATER + DAY + 123 * TICK
    shop.tell([placed("silent:O", "silent:C", moment, "1.00")])

    def segments() -> dict[str, datetime]:
        rows = shop.written("customer_segments").to_dicts()
        return {row["segment"]: row["effective_at"] for row in rows if row["customer_id"] == "silent:C"}

    assert comes_true(lambda: segments() == {"New": moment})
    # A millisecond of the clock of timers before it is whole, and then after it.
    shop.pass_time(moment + 30 * DAY - 200 * TICK)
    time.sleep(3)
    assert segments() == {"New": moment}
    shop.pass_time(moment + 30 * DAY + 1000 * TICK)
    wanted_rows = {"New": moment, "At-Risk": moment + 30 * DAY}
    assert comes_true(lambda: segments() == wanted_rows)
    shop.pass_time(moment + 90 * DAY + 1000 * TICK)
    assert comes_true(lambda: segments() == {**wanted_rows, "Churned": moment + 90 * DAY})


def test_event_time_windows_over_a_source_without_watermarks_never_fire(world: World, shop: ShopStream) -> None:
    last = micros(LATER + 200 * DAY) // 1000
    shop.pass_time(LATER + 200 * DAY)
    for name in JOBS.values():
        job = running(world, name)
        address = f"{world.settings.flink_address}/jobs/{job}"
        later = [each["id"] for each in httpx.get(address, timeout=10).json()["vertices"][1:]]
        assert len(later) == 2

        def marks(address: str = address, later: list[str] = later) -> set[int]:
            found = [httpx.get(f"{address}/vertices/{each}/watermarks", timeout=10).json() for each in later]
            return {int(mark["value"]) for each in found for mark in each}

        assert comes_true(lambda marks=marks: marks() == {last}), marks()  # type: ignore[misc]


def many(of: Random, prefix: str, orders: int) -> list[Change]:
    """Orders with ids like those of a shop, a third of them of one customer, with some updates, in any order."""
    told: list[Change] = []
    for _ in range(orders):
        customer = f"{prefix}giant" if of.random() < 0.34 else f"{prefix}{of.randrange(100)}"
        moment = NOW - of.randrange(100 * 24 * 60) * MINUTE - of.randrange(3) * TICK
        order = placed(
            f"{prefix}{uuid.UUID(int=of.getrandbits(128))}", customer, moment, f"{of.lognormvariate(4, 1):.2f}"
        )
        told += [order, *([changed(order, moment + MINUTE, status="paid")] if of.random() < 0.3 else [])]
    of.shuffle(told)
    return told


def holds(shop: ShopStream, told: list[Change], prefix: str) -> bool:
    """Whether both tables come to what the oracle says, with each row once."""
    for table in JOBS:
        expected = wanted(told, table, LATER)
        assert len(expected) > 50
        assert comes_to(shop, table, prefix, expected), table
        rows = shop.written(table).select(KEYS[table], "effective_at", "version")
        assert rows.n_unique() == rows.height, table
    return True


def test_a_task_manager_killed_twice_loses_and_repeats_nothing(world: World, shop: ShopStream) -> None:
    of = Random(3)
    told = many(of, "kill:", 1500)
    for part in range(3):
        shop.tell(told[part::3])
        shop.pass_time(LATER + (201 + part) * DAY)
        if part < 2:
            world.kill("flink-taskmanager")
            world.stack.up("flink")
    for name in JOBS.values():
        assert comes_true(lambda name=name: running(world, name) is not None)  # type: ignore[misc]
    shop.pass_time(LATER + 205 * DAY)
    assert holds(shop, told, "kill:")


def keeps_state_over_an_upgrade(world: World, shop: ShopStream, table: str, prefix: str) -> None:
    """Half of the orders, another SQL text from a savepoint, the other half: as if nothing had been."""
    told = many(Random(4), prefix, 400)
    shop.tell(told[::2])
    shop.pass_time(LATER + 210 * DAY)
    name, own_streams = JOBS[table], world.streams
    before = running(world, name)
    changed_streams = feature_streams(world.settings, name, render=with_other_text)
    try:
        done = upgrade(changed_streams, name, wait=PATIENCE_S)
        assert done.result == "upgraded", done
        assert done.state is not None
        assert running(world, name) not in {None, before}
        # The positions came along too: what was read is not read anew.
        assert sent_on(world, running(world, name)) == 0
        shop.tell(told[1::2])
        shop.tell(told[::4])
        shop.pass_time(LATER + 211 * DAY)
        expected = wanted(told, table, LATER)
        assert comes_to(shop, table, prefix, expected)
    finally:
        changed_streams.close()
        world.streams = own_streams


def test_savepoint_upgrade_of_customer_segmentation_keeps_state(world: World, shop: ShopStream) -> None:
    keeps_state_over_an_upgrade(world, shop, "customer_segments", "upgrade-s:")


def test_savepoint_upgrade_of_anomaly_detection_keeps_state(world: World, shop: ShopStream) -> None:
    keeps_state_over_an_upgrade(world, shop, "anomaly_alerts", "upgrade-a:")


def test_garbage_is_passed_over_and_odd_forms_are_read(shop: ShopStream) -> None:
    """The last of all: one of the messages tells of the year 9999, which moves time on to now."""
    told = odd_messages(NOW - DAY)
    shop.send([("dbserver1.public.orders", b'{"order_id":"odd"}', value) for _, value, _ in told])
    shop.flush()
    expected = {f"odd:{name}": Decimal(amount) for name, _, amount in told if amount is not None}

    def spent() -> dict[str, Decimal]:
        rows = of_prefix(shop.valid("customer_segments", NOW), "odd:")
        return {key: row["spend"] for key, row in rows.items()}

    assert comes_true(lambda: spent() == expected), spent()


def with_other_text(job: StreamJob, settings: Settings) -> list[str]:
    """The job's SQL with a condition more, which always holds."""
    found = statements(job, settings)
    other = [text.replace("fact = 'placed'", "fact = 'placed' AND cents IS NOT NULL") for text in found]
    assert other != found
    return other


def sent_on(world: World, job: str | None) -> int:
    """How many changes the source of a job has read."""
    found = httpx.get(f"{world.settings.flink_address}/jobs/{job}", timeout=10).json()["vertices"][0]["metrics"]
    return int(found["write-records"])
