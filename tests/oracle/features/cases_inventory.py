"""How long the stock of a product lasts, at the edges of its rule."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
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
    deleted,
    line,
    placed,
    product,
    read,
    stock,
)  # fmt: skip

if TYPE_CHECKING:
    from datetime import datetime

    from tests.oracle.features.changes import Change, Row

YESTERDAY = NOW - DAY
WEEK = 7 * DAY
P, HERE = product("P"), stock("M1", "P", 9)
SINCE = {"introduced": NOW - 200 * DAY, "stocked": NOW - 100 * DAY}


def _case(name: str, changes: list[Change], *rows: Row, as_of: datetime = NOW) -> Case:
    return Case(name, "inventory_insights", tuple(changes), rows, as_of)


def _sale(number: int, moment: datetime, units: int) -> list[Change]:
    """An order of one line."""
    return [
        placed(f"O{number}", "C", moment),
        line(f"I{number}", f"O{number}", "P", units, moment),
    ]


def _row(
    stock_on_hand: int, units: int, per_day: str, days: str | None, status: str, last: datetime | None, restock: int,
    urgency: str, since: datetime, version: int, *, dead: bool = False, **more: str,
) -> Row:  # fmt: skip
    return {
        "product_id": "P", "category": "Books", "product_status": "active", "stock_on_hand": stock_on_hand,
        "units_sold_7d": units, "units_per_day": Decimal(per_day),
        "days_until_stock_out": None if days is None else Decimal(days), "status": status, "dead_stock": dead,
        "last_sold_at": last, "restock_quantity": restock, "restock_urgency": urgency, "effective_at": since,
        "version": version, **more,
    }  # fmt: skip


def _sold(name: str, here: int, units: int, *row: object) -> Case:
    """So many units here, and so many sold yesterday."""
    per_day, days, status, restock, urgency = row
    expected = _row(here, units, str(per_day), str(days), str(status), YESTERDAY, restock, str(urgency), YESTERDAY, 3)  # type: ignore[arg-type]
    return _case(name, [P, stock("M1", "P", here), *_sale(1, YESTERDAY, units)], expected)


SALE = _sale(1, YESTERDAY, 3)
SOLD = _row(9, 3, "0.4286", "21.00", "healthy", YESTERDAY, 0, "none", YESTERDAY, 3)
OFF = changed(SALE[0], YESTERDAY + 60 * MINUTE, status="cancelled")
TAKEN_OUT = _row(9, 0, "0.0000", None, "healthy", None, 0, "none", YESTERDAY + 60 * MINUTE, 4, dead=True)
UNSOLD = _row(9, 0, "0.0000", None, "healthy", None, 0, "none", SINCE["stocked"], 2, dead=True)

INVENTORY = (
    _case("no_products", []),
    _case(
        "without_stock",
        [P],
        _row(0, 0, "0.0000", None, "out_of_stock", None, 0, "none", SINCE["introduced"], 1, dead=True),
    ),
    _case("kept_and_never_sold", [P, HERE], UNSOLD),
    _case("sold", [P, HERE, *SALE], SOLD),
    _case(
        "sold_without_stock",
        [P, *SALE],
        _row(0, 3, "0.4286", "0.00", "out_of_stock", YESTERDAY, 6, "immediate", YESTERDAY, 2),
    ),
    _case(
        "more_left_than_came",
        [P, stock("M1", "P", 2), stock("M2", "P", -7, kind="sale"), *SALE],
        _row(-5, 3, "0.4286", "0.00", "out_of_stock", YESTERDAY, 6, "immediate", YESTERDAY, 4),
    ),
    _sold("enough_for_three_days", 3, 7, "1.0000", "3.00", "critical", 11, "high"),
    _sold("for_hardly_more_than_three_days", 300001, 700000, "100000.0000", "3.00", "low", 1099999, "medium"),
    _sold("enough_for_seven_days", 7, 7, "1.0000", "7.00", "low", 7, "medium"),
    _sold("enough_for_eight_days", 8, 7, "1.0000", "8.00", "healthy", 6, "none"),
    _case(
        "sold_exactly_seven_days_ago",
        [P, HERE, *_sale(1, NOW - WEEK, 3)],
        _row(9, 3, "0.4286", "21.00", "healthy", NOW - WEEK, 0, "none", NOW - WEEK, 3),
    ),
    _case(
        "sold_more_than_seven_days_ago",
        [P, HERE, *_sale(1, NOW - WEEK - TICK, 3)],
        _row(9, 0, "0.0000", None, "healthy", NOW - WEEK - TICK, 0, "none", NOW, 3),
    ),
    _case(
        "sold_exactly_thirty_days_ago",
        [P, HERE, *_sale(1, NOW - 30 * DAY, 3)],
        _row(9, 0, "0.0000", None, "healthy", NOW - 30 * DAY, 0, "none", NOW, 3, dead=True),
    ),
    _case(
        "sold_less_than_thirty_days_ago",
        [P, HERE, *_sale(1, NOW - 30 * DAY + TICK, 3)],
        _row(9, 0, "0.0000", None, "healthy", NOW - 30 * DAY + TICK, 0, "none", NOW - 23 * DAY + 2 * TICK, 3),
    ),
    _case(
        "the_last_sale_keeps_stock_alive",
        [P, HERE, *_sale(1, NOW - 80 * DAY, 3), *_sale(2, NOW - 8 * DAY, 1)],
        _row(9, 0, "0.0000", None, "healthy", NOW - 8 * DAY, 0, "none", NOW - DAY + TICK, 4),
    ),
    _case(
        "two_lines_of_one_order",
        [P, HERE, *SALE, line("I2", "O1", "P", 4)],
        _row(9, 7, "1.0000", "9.00", "healthy", YESTERDAY, 5, "none", YESTERDAY, 4),
    ),
    _case("a_line_of_another_product", [P, HERE, *SALE, line("I2", "O1", "Q", 4)], SOLD),
    _case("a_line_before_its_order", [P, HERE, *SALE[::-1]], SOLD),
    _case("a_line_without_an_order", [P, HERE, SALE[1]], UNSOLD),
    _case("a_product_after_all_else", [*SALE, HERE, P], SOLD),
    _case("only_sold_and_stocked", [*SALE, HERE]),
    _case(
        "sent_back_is_not_sold_anew", [P, HERE, *SALE, changed(SALE[1], YESTERDAY + MINUTE, returned_quantity=3)], SOLD
    ),
    _case(
        "a_deleted_line_was_sold",
        [P, HERE, *SALE, deleted(SALE[1], YESTERDAY + MINUTE), deleted(SALE[0], YESTERDAY + MINUTE)],
        SOLD,
    ),
    _case("a_deletion_before_its_line", [P, HERE, SALE[0], deleted(SALE[1], YESTERDAY + MINUTE), SALE[1]], SOLD),
    _case("a_deletion_that_tells_nothing", [P, HERE, SALE[0], bare(deleted(SALE[1], YESTERDAY + MINUTE))], UNSOLD),
    _case(
        "a_line_known_by_an_update_alone",
        [P, HERE, SALE[0], bare(changed(SALE[1], YESTERDAY + MINUTE, returned_quantity=1))],
        SOLD,
    ),
    _case(
        "status_updates_sell_nothing",
        [
            P,
            HERE,
            *SALE,
            *(
                changed(SALE[0], YESTERDAY + n * MINUTE, status=s)
                for n, s in ((1, "paid"), (2, "shipped"), (3, "completed"), (4, "returned"))
            ),
        ],
        SOLD,
    ),
    _case("all_read_anew", [P, HERE, *SALE, *(read(each, NOW) for each in (P, HERE, *SALE))], SOLD),
    _case("told_twice", [replace(each, lsn=n) for n, each in [*enumerate((P, HERE, *SALE))] * 2], SOLD),
    _case("cancelled", [P, HERE, *SALE, OFF], TAKEN_OUT),
    _case("cancelled_before_it_was_told", [P, HERE, SALE[1], OFF, SALE[0]], TAKEN_OUT),
    _case("cancelled_again", [P, HERE, *SALE, OFF, changed(OFF, YESTERDAY + 90 * MINUTE)], TAKEN_OUT),
    _case("cancelled_and_deleted", [P, HERE, *SALE, deleted(OFF, YESTERDAY + 90 * MINUTE)], TAKEN_OUT),
    _case("not_cancelled_yet", [P, HERE, *SALE, OFF], SOLD, as_of=OFF.at - TICK),
    _case("cancelled_now", [P, HERE, *SALE, OFF], TAKEN_OUT, as_of=OFF.at),
    _case(
        "the_sale_before_a_cancelled_one_was_the_last",
        [P, HERE, *_sale(2, NOW - 5 * DAY, 1), *SALE, OFF],
        _row(9, 1, "0.1429", "63.00", "healthy", NOW - 5 * DAY, 0, "none", OFF.at, 5),
    ),
    _case(
        "a_product_that_changed",
        [
            P,
            HERE,
            changed(P, NOW - 50 * DAY, category="Games"),
            changed(P, NOW - 40 * DAY, category="Games", status="discontinued"),
        ],
        _row(
            9,
            0,
            "0.0000",
            None,
            "healthy",
            None,
            0,
            "none",
            NOW - 40 * DAY,
            4,
            dead=True,
            category="Games",
            product_status="discontinued",
        ),
    ),
    _case(
        "a_product_as_it_was",
        [P, HERE, changed(P, NOW + TICK, category="Games")],
        UNSOLD,
    ),
    _case(
        "changes_of_a_product_out_of_order",
        [changed(P, NOW - 40 * DAY, category="Games"), P],
        _row(0, 0, "0.0000", None, "out_of_stock", None, 0, "none", NOW - 40 * DAY, 2, dead=True, category="Games"),
    ),
    _case("a_deleted_product_stays", [P, HERE, deleted(P, NOW - DAY)], UNSOLD),
    _case("a_product_of_the_future", [product("P", NOW + TICK), HERE]),
    _case("a_movement_of_the_future", [P, HERE, stock("M2", "P", 5, NOW + TICK)], UNSOLD),
    _case("a_sale_of_the_future", [P, HERE, *_sale(1, NOW + TICK, 1)], UNSOLD),
    _case(
        "a_movement_of_this_moment",
        [P, HERE, stock("M2", "P", -5, NOW, kind="sale")],
        _row(4, 0, "0.0000", None, "healthy", None, 0, "none", NOW, 3, dead=True),
    ),
    _case(
        "a_late_sale",
        [P, HERE, *SALE, *(replace(each, at=NOW) for each in _sale(2, NOW - 2 * DAY, 4))],
        _row(9, 7, "1.0000", "9.00", "healthy", YESTERDAY, 5, "none", YESTERDAY, 4),
    ),
    _case(
        "seven_days_over_a_leap_day",
        [
            product("P", at("2024-01-01")),
            stock("M1", "P", 9, at("2024-01-02")),
            *_sale(1, at("2024-02-25T08:00:00"), 3),
        ],
        _row(9, 3, "0.4286", "21.00", "healthy", at("2024-02-25T08:00:00"), 0, "none", at("2024-02-25T08:00:00"), 3),
        as_of=at("2024-03-03T08:00:00"),
    ),
    _case(
        "seven_days_of_which_one_is_short",
        [P, HERE, *_sale(1, at("2025-03-08T08:00:00-05:00"), 3)],
        _row(
            9,
            0,
            "0.0000",
            None,
            "out_of_stock",
            at("2025-03-08T13:00:00"),
            0,
            "none",
            at("2025-03-15T13:00:00") + TICK,
            2,
        )
        | {"stock_on_hand": 0},
        as_of=at("2025-03-15T09:00:00-04:00") + TICK,
    ),
)
