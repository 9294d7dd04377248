"""Alerts about an order, at the edges of their rules."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.oracle.features.told import (
    DAY,
    MINUTE,
    NOW,
    TICK,
    Case,
    alert,
    at,
    bare,
    changed,
    deleted,
    placed,
    read,
)  # fmt: skip

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from tests.oracle.features.changes import Change, Row

NOON = at("2025-06-02T12:00:00")
LARGE = placed("O1", "C", NOON, "1000.01")
IS_LARGE = alert(1, "O1", "large_order", "low", NOON, "1000.01", "1000.00", 1)


def _case(name: str, changes: list[Change], *rows: Row, as_of: datetime = NOW) -> Case:
    return Case(name, "anomaly_alerts", tuple(changes), rows, as_of)


def _orders(*told: tuple[timedelta, str]) -> list[Change]:
    """Orders of C, so long after noon and for so much, from O1 on."""
    return [placed(f"O{n}", "C", NOON + after, amount) for n, (after, amount) in enumerate(told, 1)]


def _daily(*amounts: str) -> list[Change]:
    return _orders(*((n * DAY, amount) for n, amount in enumerate(amounts)))


def _outlier(
    name: str, before: list[str], amount: str, severity: str | None, threshold: str | None = None, *more: Row
) -> Case:
    place = len(before) + 1
    moment = NOON + (place - 1) * DAY
    rows = (
        []
        if severity is None
        else [alert(place, f"O{place}", "outlier", severity, moment, amount, threshold, place - 1)]
    )
    return _case(name, _daily(*before, amount), *rows, *more)


_QUARTERS = [(n * 15 * MINUTE, "1.00") for n in range(4)]
_TWELVE = ["10.00", "10.00", "10.00", "10.00", "20.00"]  # mean 12, deviation 4
_SEVEN = [*_TWELVE, "24.01"]
_FIFTH = alert(5, "O5", "order_spike", "high", NOON + 60 * MINUTE, "1.00", None, 5)


def _rapid(place: int, order: str, moment: datetime, amount: str = "1.00") -> Row:
    return alert(place, order, "rapid_orders", "low", moment, amount, None, 2)


ALERTS = (
    _case("nothing_out_of_the_ordinary", _daily("10.00", "10.00")),
    _case("five_in_an_hour", _orders(*_QUARTERS, (60 * MINUTE, "1.00")), _FIFTH),
    _case("four_in_an_hour", _orders(*_QUARTERS)),
    _case("five_in_more_than_an_hour", _orders(*_QUARTERS, (60 * MINUTE + TICK, "1.00"))),
    _case(
        "a_spike_counts_five_however_many_there_are",
        _orders(*((n * 6 * MINUTE, "1.00") for n in range(7))),
        *(alert(n, f"O{n}", "order_spike", "high", NOON + (n - 1) * 6 * MINUTE, "1.00", None, 5) for n in (5, 6, 7)),
    ),
    _case("two_in_five_minutes", _orders((0 * DAY, "1.00"), (5 * MINUTE, "1.00")), _rapid(2, "O2", NOON + 5 * MINUTE)),
    _case("two_in_more_than_five_minutes", _orders((0 * DAY, "1.00"), (5 * MINUTE + TICK, "1.00"))),
    _case(
        "two_customers_are_not_rapid",
        [placed("O1", "C", NOON, "1.00"), placed("O2", "D", NOON + MINUTE, "1.00")],
    ),
    _case(
        "in_one_microsecond_the_smaller_id_is_first",
        [placed("O2", "C", NOON, "1.00"), placed("O1", "C", NOON, "1.00")],
        _rapid(2, "O2", NOON),
    ),
    _case(
        "in_one_millisecond_the_microseconds_decide",
        [placed("O1", "C", NOON + 2 * TICK, "1.00"), placed("O2", "C", NOON + TICK, "1.00")],
        _rapid(2, "O1", NOON + 2 * TICK),
    ),
    _case("1000_is_not_large", _daily("1000.00")),
    _case("1000_01_is_large", [LARGE], IS_LARGE),
    _case("almost_5000", _daily("4999.99"), alert(1, "O1", "large_order", "low", NOON, "4999.99", "1000.00", 1)),
    _case("5000", _daily("5000.00"), alert(1, "O1", "large_order", "medium", NOON, "5000.00", "1000.00", 1)),
    _case(
        "the_greatest_amount",
        _daily("9999999999.99"),
        alert(1, "O1", "large_order", "medium", NOON, "9999999999.99", "1000.00", 1),
    ),
    _outlier("exactly_three_deviations", _TWELVE, "24.00", None),
    _outlier("above_three_deviations", _TWELVE, "24.01", "medium", "24.00"),
    _outlier("exactly_five_deviations", _TWELVE, "32.00", "medium", "24.00"),
    _outlier("above_five_deviations", _TWELVE, "32.01", "high", "24.00"),
    _outlier("four_are_too_few_to_compare_with", _TWELVE[1:], "900.00", None),
    _outlier("the_order_itself_is_left_out", ["10.00"] * 5, "10.01", "high", "10.00"),
    _outlier("a_bound_is_rounded_down", ["1.00", "1.00", "2.00", "1.00", "1.00", "1.00"], "2.29", "medium", "2.28"),
    _outlier("at_most_the_whole_cents_of_a_bound", ["1.00", "1.00", "2.00", "1.00", "1.00", "1.00"], "2.28", None),
    _outlier("amounts_of_nothing", ["0.00"] * 5, "0.01", "high", "0.00"),
    _outlier("amounts_below_nothing", ["-5.00"] * 5, "-4.99", "high", "-5.00"),
    _outlier(
        "a_bound_below_nothing_is_rounded_down",
        ["-1.00", "-1.00", "-2.00", "-1.00", "-1.00", "-1.00"],
        "0.12",
        "medium",
        "-0.05",
    ),
    _outlier(
        "a_bound_of_the_greatest_amounts",
        ["9999999999.98"] * 5,
        "9999999999.98",
        None,
        None,
        *(
            alert(n, f"O{n}", "large_order", "medium", NOON + (n - 1) * DAY, "9999999999.98", "1000.00", 1)
            for n in range(1, 7)
        ),
    ),
    _case(
        "an_earlier_order_that_comes_late_ends_an_outlier",
        [*_daily(*_SEVEN), replace(placed("late", "C", NOON + MINUTE, "100.00"), at=NOW)],
        _rapid(2, "late", NOON + MINUTE, "100.00"),
    ),
    _case(
        "an_earlier_order_that_comes_late_makes_a_spike",
        [
            *_orders((0 * DAY, "1.00"), *_QUARTERS[2:], (60 * MINUTE, "1.00")),
            replace(placed("late", "C", NOON + 15 * MINUTE, "1.00"), at=NOW),
        ],
        alert(5, "O4", "order_spike", "high", NOON + 60 * MINUTE, "1.00", None, 5),
    ),
    _case(
        "orders_out_of_order",
        _orders(*_QUARTERS, (60 * MINUTE, "1.00"))[::-1],
        _FIFTH,
    ),
    _case(
        "status_updates_are_not_orders",
        [
            LARGE,
            *(
                changed(LARGE, NOON + n * MINUTE, status=s)
                for n, s in ((1, "paid"), (2, "shipped"), (3, "completed"), (4, "returned"))
            ),
        ],
        IS_LARGE,
    ),
    _case(
        "read_anew_is_not_ordered_anew", [LARGE, read(LARGE, NOON + MINUTE), read(LARGE, NOON + 2 * MINUTE)], IS_LARGE
    ),
    _case("told_twice", [replace(LARGE, lsn=7), replace(LARGE, lsn=7)], IS_LARGE),
    _case("cancelled_whatever_it_was", [LARGE, changed(LARGE, NOON + MINUTE, status="cancelled")], IS_LARGE),
    _case("a_deletion_uncounts_nothing", [LARGE, deleted(LARGE, NOON + MINUTE)], IS_LARGE),
    _case("a_deletion_before_its_order", [deleted(LARGE, NOON + MINUTE), LARGE], IS_LARGE),
    _case("a_deletion_that_tells_nothing", [bare(deleted(LARGE, NOON + MINUTE))]),
    _case("an_update_without_what_was_before", [bare(changed(LARGE, NOON + MINUTE, status="paid")), LARGE], IS_LARGE),
    _case("an_order_after_the_moment", [placed("O1", "C", NOW + TICK, "2000.00")]),
    _case(
        "an_order_of_this_moment",
        [placed("O1", "C", NOW, "2000.00")],
        alert(1, "O1", "large_order", "low", NOW, "2000.00", "1000.00", 1),
    ),
    _case(
        "over_the_end_of_a_leap_day",
        [placed("O1", "C", at("2024-02-29T23:58:00"), "1.00"), placed("O2", "C", at("2024-03-01T00:03:00"), "1.00")],
        _rapid(2, "O2", at("2024-03-01T00:03:00")),
    ),
    _case(
        "an_hour_that_clocks_repeat",
        [
            placed("O1", "C", at("2024-10-27T02:59:00+02:00"), "1.00"),
            placed("O2", "C", at("2024-10-27T02:59:00+01:00"), "1.00"),
        ],
    ),
    _case(
        "an_hour_that_clocks_leave_out",
        [
            placed("O1", "C", at("2025-03-09T01:58:00-05:00"), "1.00"),
            placed("O2", "C", at("2025-03-09T03:02:00-04:00"), "1.00"),
        ],
        _rapid(2, "O2", at("2025-03-09T07:02:00")),
    ),
    _case(
        "a_customer_with_many_orders",
        _daily(*["10.00", "20.00"] * 13, "100.00"),
        alert(27, "O27", "outlier", "high", NOON + 26 * DAY, "100.00", "30.00", 26),
    ),
)
