"""Sales of an hour, at the edges of their rule."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tests.oracle.features.told import (
    DAY,
    MINUTE,
    TICK,
    Case,
    at,
    bare,
    changed,
    created,
    deleted,
    hours,
    order_row,
    placed,
    read,
)  # fmt: skip

if TYPE_CHECKING:
    from datetime import datetime

    from tests.oracle.features.changes import Change, Row

TEN = at("2025-03-03T10:00:00")
NIGHT = at("2025-03-04T00:00:00")
FIRST = placed("O1", "C1", TEN + 2 * MINUTE, "30.00")
PAID = changed(FIRST, TEN + 10 * MINUTE, status="paid")
CALLED_OFF = changed(PAID, TEN + 4 * 60 * MINUTE + 2 * MINUTE, status="cancelled")
AROUND_TEN = hours("2025-03-03T09:05:00", "2025-03-03T10:00:00", 1, 0, "30.00", 30.0, 1)
AROUND_TWO = hours("2025-03-03T13:05:00", "2025-03-03T14:00:00", 0, 1, "0.00", None, 0)


def _case(name: str, changes: list[Change], *rows: tuple[Row, ...], as_of: datetime = NIGHT) -> Case:
    return Case(name, "sales_metrics", tuple(changes), tuple(row for part in rows for row in part), as_of)


SALES = (
    _case("an_order_is_in_twelve_hours", [FIRST], AROUND_TEN),
    _case("no_changes_no_rows", []),
    _case(
        "an_hour_holds_its_start_and_not_its_end",
        [placed("O1", "C1", TEN, "1.00"), placed("O2", "C2", TEN - TICK, "2.00")],
        hours("2025-03-03T09:00:00", "2025-03-03T09:00:00", 1, 0, "2.00", 2.0, 1),
        hours("2025-03-03T09:05:00", "2025-03-03T09:55:00", 2, 0, "3.00", 1.5, 2),
        hours("2025-03-03T10:00:00", "2025-03-03T10:00:00", 1, 0, "1.00", 1.0, 1),
    ),
    _case("an_hour_has_ended_at_its_end", [FIRST], AROUND_TEN[:2], as_of=TEN + 10 * MINUTE),
    _case("an_hour_has_not_ended_before", [FIRST], AROUND_TEN[:1], as_of=TEN + 10 * MINUTE - TICK),
    _case(
        "status_updates_are_not_orders",
        [
            FIRST,
            PAID,
            *(
                changed(PAID, TEN + n * MINUTE, status=s)
                for n, s in ((20, "shipped"), (30, "completed"), (40, "returned"))
            ),
        ],
        AROUND_TEN,
    ),
    _case("a_deletion_uncounts_nothing", [FIRST, PAID, deleted(PAID, TEN + 20 * MINUTE)], AROUND_TEN),
    _case("a_deletion_before_its_order", [deleted(PAID, TEN + 20 * MINUTE), FIRST, PAID], AROUND_TEN),
    _case("a_deletion_that_tells_nothing", [bare(deleted(PAID, TEN + 20 * MINUTE))]),
    _case(
        "a_deletion_that_tells_nothing_before_its_order", [bare(deleted(FIRST, TEN + 20 * MINUTE)), FIRST], AROUND_TEN
    ),
    _case("an_update_before_its_order", [PAID, FIRST], AROUND_TEN),
    _case("an_update_without_what_was_before", [FIRST, bare(PAID)], AROUND_TEN),
    _case("only_an_update_without_what_was_before", [bare(PAID)], AROUND_TEN),
    _case("read_anew_after_it_was_known", [FIRST, read(FIRST, TEN + DAY), read(PAID, TEN + 2 * DAY)], AROUND_TEN),
    _case("known_only_by_reading", [read(PAID, TEN + 2 * DAY)], AROUND_TEN),
    _case("told_twice", [replace(FIRST, lsn=7), replace(FIRST, lsn=7)], AROUND_TEN),
    _case(
        "amounts_of_nothing_below_nothing_and_much",
        [
            placed("O1", "C1", TEN, "0.00"),
            placed("O2", "C2", TEN, "-0.01"),
            placed("O3", "C3", TEN, "9999999999.99"),
            placed("O4", "C3", TEN, "9999999999.99"),
        ],
        hours("2025-03-03T09:05:00", "2025-03-03T10:00:00", 4, 0, "19999999999.97", 4999999999.9925, 3),
    ),
    _case(
        "an_order_without_an_amount_is_refused",
        [placed("O1", "C1", TEN, "1.00"), created("orders", order_row("O2", "C1", TEN, None))],
        hours("2025-03-03T09:05:00", "2025-03-03T10:00:00", 1, 0, "1.00", 1.0, 1),
    ),
    _case(
        "an_average_without_an_end",
        [placed("O1", "C1", TEN, "10.00"), placed("O2", "C2", TEN, "0.00"), placed("O3", "C1", TEN, "0.00")],
        hours("2025-03-03T09:05:00", "2025-03-03T10:00:00", 3, 0, "10.00", 10 / 3, 2),
    ),
    _case(
        "two_in_one_millisecond",
        [placed("O1", "C1", TEN + 1 * TICK, "1.00"), placed("O2", "C1", TEN + 999 * TICK, "2.00")],
        hours("2025-03-03T09:05:00", "2025-03-03T10:00:00", 2, 0, "3.00", 1.5, 1),
    ),
    _case(
        "two_in_one_microsecond",
        [placed("O1", "C1", TEN + TICK, "1.00"), placed("O2", "C1", TEN + TICK, "1.00")],
        hours("2025-03-03T09:05:00", "2025-03-03T10:00:00", 2, 0, "2.00", 1.0, 1),
    ),
    _case("a_cancellation_counts_when_it_happens", [FIRST, PAID, CALLED_OFF], AROUND_TEN, AROUND_TWO),
    _case("a_cancellation_before_its_order", [CALLED_OFF, FIRST, PAID], AROUND_TEN, AROUND_TWO),
    _case(
        "a_cancellation_counts_once",
        [
            FIRST,
            CALLED_OFF,
            changed(CALLED_OFF, TEN + 300 * MINUTE),
            read(changed(CALLED_OFF, TEN + 400 * MINUTE), TEN + DAY),
        ],
        AROUND_TEN,
        AROUND_TWO,
    ),
    _case(
        "the_earliest_cancellation_counts",
        [FIRST, changed(CALLED_OFF, TEN + 300 * MINUTE), CALLED_OFF],
        AROUND_TEN,
        AROUND_TWO,
    ),
    _case(
        "a_cancellation_known_by_the_deletion",
        [FIRST, deleted(CALLED_OFF, TEN + 9 * 60 * MINUTE)],
        AROUND_TEN,
        AROUND_TWO,
    ),
    _case(
        "cancelled_when_it_was_placed",
        [placed("O1", "C1", TEN, "5.00", status="cancelled")],
        hours("2025-03-03T09:05:00", "2025-03-03T10:00:00", 1, 1, "5.00", 5.0, 1),
    ),
    _case(
        "an_order_that_comes_late",
        [placed("O2", "C2", TEN + 7 * 60 * MINUTE, "1.00"), replace(FIRST, at=TEN + 3 * DAY)],
        AROUND_TEN,
        hours("2025-03-03T16:05:00", "2025-03-03T17:00:00", 1, 0, "1.00", 1.0, 1),
    ),
    _case(
        "an_order_of_the_future_is_refused",
        [
            replace(FIRST, at=FIRST.at - 60 * MINUTE - TICK),
            replace(placed("O2", "C2", TEN, "1.00"), at=TEN - 60 * MINUTE),
        ],
        hours("2025-03-03T09:05:00", "2025-03-03T10:00:00", 1, 0, "1.00", 1.0, 1),
    ),
    _case(
        "leap_day",
        [placed("O1", "C1", at("2024-02-29T23:59:59.999999"), "1.00")],
        hours("2024-02-29T23:00:00", "2024-02-29T23:55:00", 1, 0, "1.00", 1.0, 1),
    ),
    _case(
        "an_hour_that_clocks_repeat",
        [
            placed("O1", "C1", at("2025-10-26T02:30:00+02:00"), "1.00"),
            placed("O2", "C1", at("2025-10-26T02:30:00+01:00"), "2.00"),
        ],
        hours("2025-10-25T23:35:00", "2025-10-26T00:30:00", 1, 0, "1.00", 1.0, 1),
        hours("2025-10-26T00:35:00", "2025-10-26T01:30:00", 1, 0, "2.00", 2.0, 1),
        as_of=at("2025-10-27T00:00:00"),
    ),
    _case(
        "an_hour_that_clocks_leave_out",
        [
            placed("O1", "C1", at("2025-03-09T01:59:59-05:00"), "1.00"),
            placed("O2", "C1", at("2025-03-09T03:00:00-04:00"), "2.00"),
        ],
        hours("2025-03-09T06:00:00", "2025-03-09T06:00:00", 1, 0, "1.00", 1.0, 1),
        hours("2025-03-09T06:05:00", "2025-03-09T06:55:00", 2, 0, "3.00", 1.5, 1),
        hours("2025-03-09T07:00:00", "2025-03-09T07:00:00", 1, 0, "2.00", 2.0, 1),
        as_of=at("2025-03-10T00:00:00"),
    ),
)
