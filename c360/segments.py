"""The segment of a customer over time: the rule of the design, by the orders alone.

First match wins: Churned, no order for 90 days or more; At-Risk, 30 or more; VIP, 5 orders and 500 in the company's
currency or more; Regular, 3 orders; New. Without an order: Prospect. An order counts from when it was placed on,
whatever becomes of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

AT_RISK, CHURNED = timedelta(days=30), timedelta(days=90)
VIP_ORDERS, VIP_SPEND, REGULAR_ORDERS = 5, Decimal(500), 3


@dataclass(frozen=True)
class Spell:
    """A time in one segment, from ``since`` (None: from the beginning) until before ``until`` (None: still)."""

    segment: str
    since: datetime | None
    until: datetime | None


def segment_history(orders: Iterable[tuple[datetime, Decimal]], as_of: datetime) -> list[Spell]:
    """All spells up to ``as_of``, newest first, by when orders were placed and their amounts (any order, all aware)."""
    changes: list[tuple[datetime | None, str]] = [(None, "Prospect"), *_changes(orders, as_of)]
    told = [changes[0], *(now for before, now in pairwise(changes) if before[1] != now[1])]
    ends = [*(since for since, _ in told[1:]), None]
    return [Spell(segment, since, until) for (since, segment), until in zip(told, ends, strict=True)][::-1]


def _changes(orders: Iterable[tuple[datetime, Decimal]], as_of: datetime) -> Iterator[tuple[datetime, str]]:
    placed = sorted(order for order in orders if order[0] <= as_of)
    moments = [(moment, [amount for _, amount in same]) for moment, same in groupby(placed, key=lambda order: order[0])]
    count, spend = 0, Decimal(0)
    for number, (moment, amounts) in enumerate(moments):
        count, spend = count + len(amounts), spend + sum(amounts)
        yield moment, _by_orders(count, spend)
        following = moments[number + 1][0] if number + 1 < len(moments) else None
        for after, segment in ((AT_RISK, "At-Risk"), (CHURNED, "Churned")):
            then = moment + after
            if then <= as_of and (following is None or then < following):
                yield then, segment


def _by_orders(count: int, spend: Decimal) -> str:
    if count >= VIP_ORDERS and spend >= VIP_SPEND:
        return "VIP"
    return "Regular" if count >= REGULAR_ORDERS else "New"
