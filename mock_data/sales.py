"""Orders and their items: who buys what and when, and how each order goes on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from mock_data.catalog import Catalog
from mock_data.people import People
from mock_data.vectors import Bools, Company, Ints, choice, ids, moment, money, seconds, weighted

STATUSES = ["placed", "paid", "shipped", "completed", "returned", "cancelled"]
CHANNELS = ["web", "app", "store", "phone"]
METHODS = ["card", "paypal", "transfer", "wallet", "cash"]
SERVICES = ["standard", "express", "economy", "same_day"]
NEVER = np.int64(1) << 40
# by service: price in cents, hours from dispatch to delivery, promised days
FEES = np.array([499, 1299, 299, 1999])
TRANSIT = np.array([[30.0, 110.0], [14.0, 44.0], [60.0, 200.0], [2.0, 12.0]])
PROMISED_DAYS = np.array([5, 2, 9, 1])


@dataclass(frozen=True)
class Sales:
    """Orders by order index (ascending in time) and items by item index; a moment that never comes is ``NEVER``.

    ``attempt_failed``: first and second failed payment; ``paid`` … ``cancelled``: when the order reached the state.
    """

    orders: pl.DataFrame
    items: pl.DataFrame
    order_ids: pl.Series
    customer: Ints
    location: Ints
    channel: Ints
    method: Ints
    service: Ints
    lost: Bools
    ordered: Ints
    failed: tuple[Ints, Ints]
    paid: Ints
    shipped: Ints
    delivered: Ints
    completed: Ints
    returned: Ints
    cancelled: Ints
    total: Ints
    refund: Ints
    item_order: Ints
    item_product: Ints
    item_quantity: Ints
    item_returned: Ints


def sales(company: Company, who: People, goods: Catalog) -> Sales:
    """All orders of the company, in full; what happens after the last day is cut off when the tables are written."""
    rng = company.rng("sales")
    n = company.volume(100_000, 40)
    ordered = company.moments(rng, n)
    customer = _buyers(rng, who, ordered)
    channel = weighted(rng, np.array([0.5, 0.27, 0.17, 0.06]), n)
    gift = rng.random(n) < 0.04
    location = who.home[who.homes.at(np.where(gift, rng.integers(0, _old(company, who), n), customer), ordered)]

    lines = np.minimum(rng.geometric(1 / 3.0, n), 14)
    item_order = np.repeat(np.arange(n), lines)
    offset = np.cumsum(lines) - lines
    when = ordered[item_order]
    product = goods.draw(rng, when)
    price = goods.price(product, when)
    quantity = np.minimum(rng.geometric(0.68, len(product)), 12)
    gross = price * quantity
    percent = np.where(rng.random(len(product)) < 0.22, rng.integers(1, 6, len(product)) * 5, 0)
    discount = (gross * percent + 50) // 100
    net = gross - discount
    value = np.add.reduceat(net, offset)

    service = weighted(rng, np.array([0.58, 0.2, 0.17, 0.05]), n)
    fee = np.where((service == 0) & (value >= 6000), 0, FEES[service])
    steps = _life(rng, ordered, service)
    picked = rng.random(len(product)) < 0.5
    picked[offset] = True
    back = np.where(
        (steps["returned"] < NEVER)[item_order] & picked, 1 + (quantity * rng.random(len(product))).astype(np.int64), 0
    )
    back = np.minimum(back, quantity)
    # half up, as a till rounds
    refunded = np.add.reduceat((net * back * 2 + quantity) // (2 * quantity), offset)
    total = value + fee
    paid_and_cancelled = (steps["cancelled"] < NEVER) & (steps["paid"] < NEVER)
    order_ids = ids("O", np.arange(n), 9)

    codes = ["placed", "paid", "shipped", "completed", "returned", "cancelled"]
    reached = np.stack([ordered, *(steps[c] for c in codes[1:])])
    state, order = np.nonzero(reached < company.end)
    at = reached[state, order]
    by_time = np.argsort(at, kind="stable")
    state, order, at = state[by_time], order[by_time], at[by_time]
    orders = pl.DataFrame(
        {
            "order_id": order_ids.gather(order),
            "customer_id": who.customer_ids.gather(customer[order]),
            "ordered_at": moment(ordered[order]),
            "status": choice(STATUSES, state),
            "channel": choice(CHANNELS, channel[order]),
            "location_id": who.location_ids.gather(location[order]),
            "currency": pl.repeat("USD", len(order), eager=True),
            "shipping_amount": money(fee[order]),
            "updated_at": moment(at),
        }
    )
    sent_back = np.flatnonzero((back > 0) & (steps["returned"][item_order] < company.end))
    row = np.concatenate([np.arange(len(product)), sent_back])
    at = np.concatenate([when, steps["returned"][item_order[sent_back]]])
    returned = np.concatenate([np.zeros(len(product), np.int64), back[sent_back]])
    by_time = np.argsort(at, kind="stable")
    row, at, returned = row[by_time], at[by_time], returned[by_time]
    items = pl.DataFrame(
        {
            "order_item_id": ids("I", row, 10),
            "order_id": order_ids.gather(item_order[row]),
            "line_number": (np.arange(len(product)) - offset[item_order] + 1)[row],
            "product_id": goods.product_ids.gather(product[row]),
            "quantity": quantity[row],
            "unit_price": money(price[row]),
            "discount_amount": money(discount[row]),
            "returned_quantity": returned,
            "updated_at": moment(at),
        }
    )
    return Sales(
        orders=orders, items=items, order_ids=order_ids, customer=customer, location=location, channel=channel,
        method=weighted(rng, np.array([0.55, 0.2, 0.1, 0.12, 0.03]), n), service=service, lost=steps["lost"] < NEVER,
        ordered=ordered, failed=(steps["failed"], steps["failed_again"]), paid=steps["paid"],
        shipped=steps["shipped"], delivered=steps["delivered"], completed=steps["completed"],
        returned=steps["returned"], cancelled=steps["cancelled"], total=total,
        refund=np.where(paid_and_cancelled, total, refunded), item_order=item_order, item_product=product,
        item_quantity=quantity, item_returned=back,
    )  # fmt: skip


def _old(company: Company, who: People) -> int:
    return int((who.known_since == company.start).sum())


def _buyers(rng: np.random.Generator, who: People, at: Ints) -> Ints:
    picked = weighted(rng, who.weight, len(at))
    for _ in range(3):
        early = np.flatnonzero(who.known_since[picked] >= at)
        picked[early] = weighted(rng, who.weight, len(early))
    early = np.flatnonzero(who.known_since[picked] >= at)
    old = who.weight * (who.known_since == who.known_since.min())
    picked[early] = weighted(rng, old, len(early))
    return picked


def _life(rng: np.random.Generator, ordered: Ints, service: Ints) -> dict[str, Ints]:
    """When each order reaches each state; at least one second lies between two states."""
    n = len(ordered)
    fails = rng.random(n) < 0.06
    fails_again = fails & (rng.random(n) < 0.3)
    unpaid = fails_again & (rng.random(n) < 0.7)
    failed = np.where(fails, ordered + rng.integers(15, 240, n), NEVER)
    failed_again = np.where(fails_again, failed + rng.integers(30, 1800, n), NEVER)
    tries = np.where(fails_again, failed_again, np.where(fails, failed, ordered))
    paid = np.where(unpaid, NEVER, tries + rng.integers(20, 900, n))
    change_of_mind = ~unpaid & (rng.random(n) < 0.025)
    cancelled = np.where(unpaid, tries + seconds(rng, n, 1, 30), NEVER)
    cancelled = np.where(change_of_mind, paid + seconds(rng, n, 0.1, 20), cancelled)
    slow = paid + 86_400 * (rng.random(n) < 0.1)
    shipped = np.where(unpaid | change_of_mind, NEVER, slow + seconds(rng, n, 3, 54))
    goes = shipped < NEVER
    lost = goes & (rng.random(n) < 0.006)
    lost_at = np.where(lost, shipped + seconds(rng, n, 240, 400), NEVER)
    cancelled = np.where(lost, lost_at + seconds(rng, n, 2, 48), cancelled)
    low, high = TRANSIT[service, 0], TRANSIT[service, 1]
    hours = low + (high - low) * rng.beta(2, 4, n) + np.where(rng.random(n) < 0.13, 10 + rng.random(n) * 150, 0)
    delivered = np.where(goes & ~lost, shipped + (hours * 3600).astype(np.int64), NEVER)
    arrives = delivered < NEVER
    completed = np.where(arrives, delivered + seconds(rng, n, 0.2, 26), NEVER)
    comes_back = arrives & (rng.random(n) < 0.08)
    returned = np.where(comes_back, completed + seconds(rng, n, 30, 600), NEVER)
    return {
        "failed": failed, "failed_again": failed_again, "paid": paid, "shipped": shipped, "lost": lost_at,
        "delivered": delivered, "completed": completed, "returned": returned, "cancelled": cancelled,
    }  # fmt: skip
