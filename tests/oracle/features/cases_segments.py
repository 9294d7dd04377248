"""Segments of a customer, at the edges of their rule."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.oracle.features.told import (
    DAY,
    MINUTE,
    NOW,
    TICK,
    Case,
    at,
    bare,
    changed,
    created,
    deleted,
    order_row,
    placed,
    read,
    segment,
)  # fmt: skip

if TYPE_CHECKING:
    from datetime import datetime

    from tests.oracle.features.changes import Change, Row

TODAY = NOW - 3 * 60 * MINUTE
ONCE = placed("O1", "C", TODAY, "900.00")
NEW = segment("C", "New", 1, "900.00", TODAY, TODAY)


def _case(name: str, changes: list[Change], *rows: Row, as_of: datetime = NOW) -> Case:
    return Case(name, "customer_segments", tuple(changes), rows, as_of)


def _orders(*amounts: str, last: datetime = TODAY) -> list[Change]:
    """Orders of C, an hour after each other; the last one at ``last``."""
    first = last - (len(amounts) - 1) * 60 * MINUTE
    return [placed(f"O{n}", "C", first + n * 60 * MINUTE, amount) for n, amount in enumerate(amounts)]


def _one(name: str, last: datetime, segment_name: str, since: datetime, as_of: datetime = NOW) -> Case:
    return _case(
        name, [placed("O", "C", last, "1.00")], segment("C", segment_name, 1, "1.00", last, since), as_of=as_of
    )


_SHIPPED = [
    changed(ONCE, TODAY + n * MINUTE, status=s) for n, s in enumerate(("paid", "shipped", "completed", "returned"))
]
_LONG_AGO = placed("O0", "C", NOW - 200 * DAY, "1.00")

SEGMENTS = (
    _case("nobody_ordered", []),
    _case("one_order", [ONCE], NEW),
    _case("two_orders", _orders("900.00", "900.00"), segment("C", "New", 2, "1800.00", TODAY, TODAY)),
    _case("three_orders", _orders("1.00", "1.00", "1.00"), segment("C", "Regular", 3, "3.00", TODAY, TODAY)),
    _case("four_orders_of_thousands", _orders(*["1000.00"] * 4), segment("C", "Regular", 4, "4000.00", TODAY, TODAY)),
    _case("five_orders_of_500", _orders(*["100.00"] * 5), segment("C", "VIP", 5, "500.00", TODAY, TODAY)),
    _case(
        "five_orders_of_499_99", _orders(*["100.00"] * 4, "99.99"), segment("C", "Regular", 5, "499.99", TODAY, TODAY)
    ),
    _case(
        "a_customer_with_many_orders", _orders(*["1.25"] * 300), segment("C", "Regular", 300, "375.00", TODAY, TODAY)
    ),
    _case("one_order_with_four_status_updates", [ONCE, *_SHIPPED], NEW),
    _case("nothing_was_paid", _orders(*["0.00"] * 5), segment("C", "Regular", 5, "0.00", TODAY, TODAY)),
    _case(
        "money_was_given_back",
        _orders(*["200.00"] * 4, "-300.01"),
        segment("C", "Regular", 5, "499.99", TODAY, TODAY),
    ),
    _case(
        "the_greatest_amounts",
        _orders(*["9999999999.99"] * 5),
        segment("C", "VIP", 5, "49999999999.95", TODAY, TODAY),
    ),
    _case("an_order_without_an_amount_is_refused", [created("orders", order_row("O", "C", TODAY, None))]),
    _case(
        "five_in_one_microsecond",
        [placed(f"O{n}", "C", TODAY, "100.00") for n in range(5)],
        segment("C", "VIP", 5, "500.00", TODAY, TODAY),
    ),
    _case(
        "two_in_one_millisecond",
        [placed("O1", "C", TODAY + 999 * TICK, "1.00"), placed("O2", "C", TODAY + TICK, "1.00")],
        segment("C", "New", 2, "2.00", TODAY + 999 * TICK, TODAY + 999 * TICK),
    ),
    _one("thirty_days_ago", NOW - 30 * DAY, "At-Risk", NOW),
    _one("almost_thirty_days_ago", NOW - 30 * DAY + TICK, "New", NOW - 30 * DAY + TICK),
    _one("ninety_days_ago", NOW - 90 * DAY, "Churned", NOW),
    _one("almost_ninety_days_ago", NOW - 90 * DAY + TICK, "At-Risk", NOW - 60 * DAY + TICK),
    _one("a_year_ago", NOW - 365 * DAY, "Churned", NOW - 275 * DAY),
    _case(
        "five_orders_of_500_a_month_ago",
        _orders(*["100.00"] * 5, last=NOW - 31 * DAY),
        segment("C", "At-Risk", 5, "500.00", NOW - 31 * DAY, NOW - DAY),
    ),
    _case("back_after_a_long_time", [_LONG_AGO, ONCE], segment("C", "New", 2, "901.00", TODAY, TODAY)),
    _case("an_order_of_this_moment", [placed("O", "C", NOW, "1.00")], segment("C", "New", 1, "1.00", NOW, NOW)),
    _case("an_order_after_the_moment", [ONCE, placed("O2", "C", NOW + TICK, "1.00")], NEW),
    _case("only_an_order_after_the_moment", [placed("O", "C", NOW + TICK, "1.00")]),
    _case(
        "a_late_order", [ONCE, replace(_LONG_AGO, at=TODAY + MINUTE)], segment("C", "New", 2, "901.00", TODAY, TODAY)
    ),
    _case(
        "a_late_order_calls_a_customer_back",
        [_LONG_AGO, replace(placed("O2", "C", NOW - 10 * DAY, "1.00"), at=NOW + DAY)],
        segment("C", "New", 2, "2.00", NOW - 10 * DAY, NOW - 10 * DAY),
    ),
    _case("known_orders_read_anew", [ONCE, *(read(change, NOW + DAY) for change in (ONCE, *_SHIPPED))], NEW),
    _case("known_only_by_reading", [read(ONCE, NOW + DAY)], NEW),
    _case("a_deletion_uncounts_nothing", [ONCE, deleted(ONCE, TODAY + MINUTE)], NEW),
    _case("a_deletion_before_its_order", [deleted(ONCE, TODAY + MINUTE), ONCE], NEW),
    _case("a_deletion_that_tells_nothing", [bare(deleted(ONCE, TODAY + MINUTE))]),
    _case("an_update_without_what_was_before", [ONCE, bare(_SHIPPED[0])], NEW),
    _case("told_twice", [replace(ONCE, lsn=7), replace(ONCE, lsn=7)], NEW),
    _case("a_cancelled_order_counts", [ONCE, changed(ONCE, TODAY + MINUTE, status="cancelled")], NEW),
    _one("a_leap_day_is_a_day", at("2024-01-30T00:00:00"), "At-Risk", at("2024-02-29"), as_of=at("2024-02-29")),
    _one("before_the_leap_day", at("2024-01-30T00:00:00"), "New", at("2024-01-30"), as_of=at("2024-02-29") - TICK),
    # clocks went on by an hour on 9 March
    _one(
        "thirty_days_with_a_short_one",
        at("2025-03-01T12:00:00-05:00"),
        "At-Risk",
        at("2025-03-31T13:00:00-04:00"),
        as_of=at("2025-03-31T13:00:00-04:00"),
    ),
    _one(
        "not_yet_by_the_clock",
        at("2025-06-01T00:00:00-04:00"),
        "New",
        at("2025-06-01T04:00:00"),
        as_of=at("2025-07-01T00:00:00-04:00") - TICK,
    ),
)
