"""Shipments of orders, and the stock movements that sales, returns and deliveries cause."""

from __future__ import annotations

import numpy as np
import polars as pl

from mock_data.atlas import atlas
from mock_data.catalog import Catalog
from mock_data.people import People
from mock_data.sales import NEVER, PROMISED_DAYS, SERVICES, Sales
from mock_data.vectors import DAY, MICRO, Company, Ints, choice, ids, masked, moment, money, weighted

CARRIERS = ["Swift Parcel", "Polar Post", "Bluebird Express", "Ōkami Logistics", "Correo Andén"]
WAREHOUSES = ["newark", "leipzig", "dubai", "singapore"]
STATES = ["created", "in_transit", "delivered", "lost", "returned"]
MOVEMENTS = ["receipt", "sale", "return", "adjustment"]
RESTOCK_DAYS = 28


def warehouse_of(who: People, sold: Sales) -> Ints:
    """The warehouse that serves each order's customer."""
    serving = np.array([WAREHOUSES.index(w) for w in atlas().warehouses])
    return serving[who.country[sold.customer]]


def shipments(company: Company, who: People, sold: Sales, goods: Catalog) -> pl.DataFrame:
    """Clean versions of all shipments, by moment; an order has at most one."""
    rng = company.rng("shipments")
    n = len(sold.ordered)
    sent = sold.shipped < NEVER
    created = np.where(
        sent, sold.shipped - np.minimum(rng.integers(600, 9000, n), (sold.shipped - sold.paid) // 2), NEVER
    )
    lost = np.where(sold.lost, sold.cancelled - 3600, NEVER)
    reached = np.stack([created, sold.shipped, sold.delivered, lost, sold.returned])
    state, order = np.nonzero(reached < company.end)
    at = reached[state, order]
    by_time = np.argsort(at, kind="stable")
    state, order, at = state[by_time], order[by_time], at[by_time]

    grams = np.bincount(sold.item_order, goods.weight_grams[sold.item_product] * sold.item_quantity, n).astype(np.int64)
    carrier = weighted(rng, np.array([4.0, 2.5, 2, 1.5, 1]), n)
    cost = 180 + (grams * 35) // 1000 + np.array([150, 620, 60, 900])[sold.service] + rng.integers(0, 120, n)
    promised = (sold.shipped // DAY + PROMISED_DAYS[sold.service]) * DAY + 20 * 3600
    gaps = rng.random((n, 2))
    left, arrived = (state >= 1), (state == 2) | (state == 4)
    return pl.DataFrame(
        {
            "shipment_id": ids("S", order, 9),
            "order_id": sold.order_ids.gather(order),
            "carrier": choice(CARRIERS, carrier[order]),
            "service_level": masked(choice(SERVICES, sold.service[order]), gaps[order, 0] > 0.01),
            "warehouse": choice(WAREHOUSES, warehouse_of(who, sold)[order]),
            "location_id": who.location_ids.gather(sold.location[order]),
            "status": choice(STATES, state),
            "shipped_at": moment(np.where(left, sold.shipped[order], 0)).set(pl.Series(~left), None),
            "promised_at": moment(promised[order]),
            "delivered_at": moment(np.where(arrived, sold.delivered[order], 0)).set(pl.Series(~arrived), None),
            "shipping_cost": money(cost[order]),
            "weight_kg": masked(pl.Series(np.round(grams[order] / 1000, 3)), gaps[order, 1] > 0.01),
            "updated_at": moment(at),
        }
    )


def stock(company: Company, who: People, sold: Sales, goods: Catalog) -> pl.DataFrame:
    """Clean stock movements, by moment: receipts that cover the coming weeks, sales, returns, adjustments.

    A sale leaves its warehouse when the order is shipped; a return comes back to it.
    """
    rng = company.rng("stock")
    n = len(goods.product_ids)
    place = warehouse_of(who, sold)[sold.item_order]
    out, back = sold.shipped[sold.item_order], sold.returned[sold.item_order]
    left = np.flatnonzero(out < company.end)
    came = np.flatnonzero((sold.item_returned > 0) & (back < company.end))

    periods = -(-company.days // RESTOCK_DAYS)
    period = (out[left] - company.start) // (RESTOCK_DAYS * DAY)
    cell = (period * len(WAREHOUSES) + place[left]) * n + sold.item_product[left]
    demand = np.bincount(cell, sold.item_quantity[left], periods * len(WAREHOUSES) * n).astype(np.int64)
    opening = np.arange(len(demand)) < len(WAREHOUSES) * n
    supply = demand + np.where(opening, rng.integers(0, 40, len(demand)), 0) + rng.binomial(6, 0.04, len(demand))
    into = np.flatnonzero(supply)
    arrival = company.start + (into // (len(WAREHOUSES) * n)) * RESTOCK_DAYS * DAY + rng.integers(0, 1800, len(into))

    k = max(1, round(2 * n * company.days / 365))
    fix_at = company.start + (rng.random(k) * company.days * DAY).astype(np.int64)
    fix = rng.choice(np.array([-3, -2, -1, -1, 1, 2]), k)

    parts = [
        (into % n, into // n % len(WAREHOUSES), supply[into], arrival),
        (sold.item_product[left], place[left], -sold.item_quantity[left], out[left]),
        (sold.item_product[came], place[came], sold.item_returned[came], back[came]),
        (rng.integers(0, n, k), rng.integers(0, len(WAREHOUSES), k), fix, fix_at),
    ]
    kind = np.repeat(np.arange(4), [len(p[0]) for p in parts])
    product, house, quantity, at = (np.concatenate([p[i] for p in parts]) for i in range(4))
    by_time = np.argsort(at, kind="stable")
    return pl.DataFrame(
        {
            "movement_id": ids("M", np.arange(len(at)), 10),
            "product_id": goods.product_ids.gather(product[by_time]),
            "warehouse": choice(WAREHOUSES, house[by_time]),
            "movement_type": choice(MOVEMENTS, kind[by_time]),
            "quantity": quantity[by_time].astype(np.int64),
            "moved_at": moment(at[by_time], MICRO),
        }
    )
