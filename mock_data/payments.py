"""Payments of orders: attempts that fail, transfers that take a while, refunds."""

from __future__ import annotations

import numpy as np
import polars as pl

from mock_data.sales import METHODS, NEVER, Sales
from mock_data.vectors import Company, Ints, choice, ids, moment, money

STATUSES = ["captured", "failed", "pending"]
_CAPTURED, _FAILED, _PENDING = range(3)


def transactions(company: Company, sold: Sales) -> pl.DataFrame:
    """Clean versions of all payment transactions, by moment.

    An order's attempts are transactions of their own; a pending transaction is captured later under the same
    identifier. Refunds follow a cancellation of a paid order, a loss or a return.
    """
    rng = company.rng("payments")
    n = len(sold.ordered)
    every = np.arange(n)
    is_transfer = sold.method == METHODS.index("transfer")
    reason = np.minimum(np.where(sold.paid < NEVER, sold.cancelled, NEVER), sold.returned)
    refunded = reason + rng.integers(600, 90_000, n)
    asked = reason + rng.integers(30, 500, n)
    # slot within the order, orders, moment, status, refund?
    parts: list[tuple[int, Ints, Ints, int, bool]] = []

    def add(slot: int, which: Ints, at: Ints, status: int, *, refund: bool = False) -> None:
        which = which[at[which] < company.end]
        parts.append((slot, which, at[which], status, refund))

    for slot, failed in enumerate(sold.failed):
        add(slot, every[failed < NEVER], failed, _FAILED)
    is_paid = sold.paid < NEVER
    add(2, every[is_transfer & is_paid], sold.paid - 15, _PENDING)
    add(2, every[is_paid], sold.paid, _CAPTURED)
    is_refunded = reason < NEVER
    add(3, every[is_refunded & (rng.random(n) < 0.2)], asked, _PENDING, refund=True)
    add(3, every[is_refunded], refunded, _CAPTURED, refund=True)

    order = np.concatenate([p[1] for p in parts])
    at = np.concatenate([p[2] for p in parts])
    by_time = np.argsort(at, kind="stable")
    sizes = [len(p[1]) for p in parts]
    slots = np.repeat([p[0] for p in parts], sizes)[by_time]
    status = np.repeat([p[3] for p in parts], sizes)[by_time]
    refund = np.repeat([int(p[4]) for p in parts], sizes)[by_time]
    order, at = order[by_time], at[by_time]
    return pl.DataFrame(
        {
            "transaction_id": ids("T", order * 4 + slots, 10),
            "order_id": sold.order_ids.gather(order),
            "transaction_type": choice(["payment", "refund"], refund),
            "amount": money(np.where(refund == 1, sold.refund[order], sold.total[order])),
            "currency": pl.repeat("USD", len(order), eager=True),
            "method": choice(METHODS, np.where(order % 211 == 7, -1, sold.method[order])),
            "status": choice(STATUSES, status),
            "occurred_at": moment(at),
        }
    )
