"""A shop in which anything happens at moments that lie on each other's boundaries, and is told in any order."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

from tests.oracle.features.told import (
    DAY,
    MINUTE,
    NOW,
    TICK,
    bare,
    changed,
    deleted,
    line,
    placed,
    product,
    read,
    stock,
)

if TYPE_CHECKING:
    from datetime import datetime

    from tests.oracle.features.changes import Change

AMOUNTS = ("0.00", "-3.00", "10.00", "10.00", "20.00", "24.01", "99.99", "100.00", "1000.00", "1000.01", "5000.00")
STATES = ("paid", "shipped", "completed", "returned")


def anything(seed: int, orders: int = 400) -> list[Change]:
    """Changes of about half a year up to :data:`~tests.oracle.features.told.NOW`; the same seed gives the same."""
    of = Random(seed)
    told: list[Change] = []
    goods = [product(f"P{n}", NOW - of.choice((1, 100, 200)) * DAY) for n in range(25)]
    for each in goods:
        told.append(each)
        told += [changed(each, _moment(of), category=of.choice("AB")) for _ in range(of.randrange(3))]
        told += [deleted(each, NOW)] * (of.random() < 0.1)
    names = [each.content["product_id"] for each in goods if each.content]
    told += [stock(f"M{n}", of.choice(names), of.choice((-9, 3, 7, 40)), _moment(of)) for n in range(60)]
    for number in range(orders):
        moment, customer = _moment(of), f"C{int(80 * of.random() ** 3)}"
        for nth in range(of.choice((1,) * 15 + (5,))):
            told += _order(of, f"O{number}-{nth}", customer, names, moment + nth * 15 * MINUTE)
    again = [replace(change, lsn=n) for n, change in enumerate(told)]
    told = again + of.sample(again, len(again) // 10)
    of.shuffle(told)
    return told


def moments(seed: int) -> list[datetime]:
    """Some moments at which something may end or begin."""
    of = Random(seed)
    return [NOW, NOW + 33 * DAY, *(_moment(of) + after * DAY + of.choice((-1, 0, 1)) * TICK for after in (0, 30))]


def _moment(of: Random) -> datetime:
    near = of.choice((0, 5, 60)) * MINUTE + of.choice((-1, 0, 0, 0, 1)) * TICK
    return NOW - of.choice((1, 3, 7, 8, 30, 31, 90, 120)) * DAY - of.randrange(24) * 5 * MINUTE - near


def _order(of: Random, order: str, customer: str, products: list[str], moment: datetime) -> list[Change]:
    first = placed(order, customer, moment, of.choice(AMOUNTS), status=of.choice(("placed",) * 19 + ("cancelled",)))
    told, last = [first], first
    for _ in range(of.randrange(4)):
        last = changed(last, last.at + of.choice((1, 300)) * MINUTE, status=of.choice(STATES))
        told.append(bare(last) if of.random() < 0.3 else last)
    for _ in range(of.choice((0, 0, 0, 1, 2))):
        last = changed(last, last.at + of.choice((1, 60, 1500)) * MINUTE, status="cancelled")
        told.append(last)
    lines = [
        line(f"I{order}-{n}", order, of.choice(products), of.choice((1, 2, 7)), moment) for n in range(of.randrange(4))
    ]
    told += lines
    told += [read(each, NOW) for each in (last, *lines) if of.random() < 0.1]
    if of.random() < 0.1:
        told += [deleted(each, NOW) for each in (last, *lines)]
    elif of.random() < 0.05:
        told.append(bare(deleted(last, NOW)))
    # some of it is never told, as if it had been before all messages that are kept
    return [change for change in told if of.random() > 0.03]
