"""The batch form of visits and carts against the oracle: whatever customers do, and the edges by hand."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c360.streams.journeys import CARTS, SESSIONS, journey_rows
from tests.oracle import journeys as oracle
from tests.oracle.journeys import Action

NOON = datetime(2025, 3, 14, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=2)
KINDS = ("session_start", "page_view", "product_view", "add_to_cart", "remove_from_cart", "purchase")
MOMENT = pa.timestamp("us", "UTC")
SCHEMA: dict[str, pa.DataType] = {
    "event_id": pa.string(), "event_type": pa.string(), "event_timestamp": MOMENT, "user_id": pa.string(),
    "product_id": pa.string(), "kafka_partition": pa.int32(), "kafka_offset": pa.int64(),
    "kafka_timestamp": MOMENT,
}  # fmt: skip


def silver(actions: list[Action]) -> pa.Table:
    """The actions as silver holds them."""
    rows = [
        {
            "event_id": a.event_id, "event_type": a.kind, "event_timestamp": a.at, "user_id": a.customer,
            "product_id": a.product, "kafka_partition": 0, "kafka_offset": offset, "kafka_timestamp": LATER,
        }
        for offset, a in enumerate(actions)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=pa.schema(SCHEMA))


def batch(name: str, actions: list[Action], as_of: datetime = LATER) -> dict[str, dict[str, Any]]:
    rows = journey_rows(name, silver(actions), as_of).to_pylist()
    found = {row["session_id" if name == SESSIONS else "cart_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def of(*told: tuple[str, float, str | None]) -> list[Action]:
    """One customer's actions: kind, minutes after noon, product."""
    return [
        Action(f"e{i}", "C1", kind, NOON + timedelta(minutes=minutes), product)
        for i, (kind, minutes, product) in enumerate(told)
    ]


@pytest.mark.parametrize(("minutes", "visits"), [(29.9999, 1), (30, 2), (31, 2)])
def test_half_an_hour_without_an_action_ends_a_visit(minutes: float, visits: int) -> None:
    found = batch(SESSIONS, of(("page_view", 0, None), ("page_view", minutes, None)))
    assert len(found) == visits
    assert min(found) == "C1-2025-03-14T12:00:00.000000Z"


@pytest.mark.parametrize(("minutes", "told"), [(59, 0), (60, 1)])
def test_a_visit_is_told_half_an_hour_after_its_last_action(minutes: float, told: int) -> None:
    made = of(("page_view", 0, None), ("purchase", 10, None), ("page_view", 30, None))
    assert len(batch(SESSIONS, made, NOON + timedelta(minutes=minutes))) == told


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ((("product_view", 0, "P"), ("add_to_cart", 5, "P")), 1),
        ((("product_view", 0, "P"), ("add_to_cart", 5, "Q")), 0),
        ((("product_view", 0, None), ("add_to_cart", 5, "Q")), 1),
        ((("product_view", 0, "P"), ("add_to_cart", 30, "P")), 0),
        ((("product_view", 6, "P"), ("add_to_cart", 5, "P")), 0),
        ((("product_view", 0, "P"), ("add_to_cart", 5, "P"), ("purchase", 34, None)), 0),
        ((("product_view", 0, "P"), ("add_to_cart", 5, "P"), ("purchase", 35, None)), 1),
        ((("product_view", 0, "P"), ("add_to_cart", 5, "P"), ("purchase", 4, None)), 1),
        ((("product_view", 0, "P"), ("add_to_cart", 5, "P"), ("purchase", 5, "P")), 0),
        ((("product_view", 0, "P"), ("add_to_cart", 5, "P"), ("purchase", 20, "Q")), 1),
        ((("add_to_cart", 5, "P"),), 0),
    ],
)
def test_a_cart_is_abandoned(told: tuple[tuple[str, float, str | None], ...], left: int) -> None:
    assert len(batch(CARTS, of(*told))) == left
    assert batch(CARTS, of(*told)) == oracle.carts(of(*told), LATER)


def anything(seed: int, size: int = 120) -> list[Action]:
    """Actions of a few customers and strangers at few moments, some of them told twice."""
    rng = random.Random(seed)
    made = [
        Action(
            f"e{number}",
            rng.choice(["C1", "C2", "C3", None]),
            rng.choice(KINDS),
            NOON + timedelta(minutes=rng.choice([rng.randint(0, 600), 10 * rng.randint(0, 60)])),
            rng.choice(["P", "Q", None]),
        )
        for number in range(size)
    ]
    made += [replace(each, kind="page_view") for each in rng.sample(made, size // 10)]
    return made


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), minutes=st.integers(-60, 700))
def test_batch_is_the_oracle(seed: int, minutes: int) -> None:
    made, as_of = anything(seed), NOON + timedelta(minutes=minutes)
    assert batch(SESSIONS, made, as_of) == oracle.sessions(made, as_of)
    assert batch(CARTS, made, as_of) == oracle.carts(made, as_of)
