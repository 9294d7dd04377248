"""Segments over time, at the edges of the rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from c360.segments import segment_history

START = datetime(2025, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MICRO = timedelta(microseconds=1)


def told(orders: list[tuple[float, str]], days: float) -> list[tuple[str, float | None]]:
    found = segment_history([(START + at * DAY, Decimal(amount)) for at, amount in orders], START + days * DAY)
    return [(spell.segment, None if spell.since is None else (spell.since - START) / DAY) for spell in found[::-1]]


def by_definition(orders: list[tuple[datetime, Decimal]], at: datetime) -> str:
    placed = [order for order in orders if order[0] <= at]
    if not placed:
        return "Prospect"
    quiet = (at - max(when for when, _ in placed)).days
    if quiet >= 90:
        return "Churned"
    if quiet >= 30:
        return "At-Risk"
    if len(placed) >= 5 and sum(amount for _, amount in placed) >= 500:
        return "VIP"
    return "Regular" if len(placed) >= 3 else "New"


def test_time_alone_makes_a_customer_at_risk_and_churned() -> None:
    assert told([(0, "1")], 29.99) == [("Prospect", None), ("New", 0)]
    assert told([(0, "1")], 30) == [("Prospect", None), ("New", 0), ("At-Risk", 30)]
    assert told([(0, "1")], 90) == [("Prospect", None), ("New", 0), ("At-Risk", 30), ("Churned", 90)]
    assert told([(0, "1"), (30, "1")], 40) == [("Prospect", None), ("New", 0)]


def test_the_fifth_order_and_exactly_500_make_a_vip() -> None:
    four = [(float(day), "100") for day in range(4)]
    assert told([*four, (4, "99.99")], 5)[-1] == ("Regular", 2)
    assert told([*four, (4, "100")], 5)[-1] == ("VIP", 4)
    assert told([(0, "100")] * 5, 1) == [("Prospect", None), ("VIP", 0)]


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 300)), max_size=9), st.integers(0, 500))
def test_at_every_moment_the_history_says_what_the_definition_says(orders: list[tuple[int, int]], days: int) -> None:
    placed = [(START + at * DAY, Decimal(amount)) for at, amount in orders]
    as_of = START + days * DAY
    spells = segment_history(placed, as_of)
    for at in {START + DAY * (each + ahead) for each, _ in orders for ahead in (0, 1, 30, 90)} | {as_of}:
        for moment in (at - MICRO, at):
            if moment > as_of:
                continue
            [spell] = [
                each
                for each in spells
                if (each.since is None or each.since <= moment) and (each.until is None or moment < each.until)
            ]
            assert spell.segment == by_definition(placed, moment)
    assert all(newer.since == older.until for newer, older in pairwise(spells))
