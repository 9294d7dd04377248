"""Products: what they are, and their prices and status over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from mock_data.atlas import load
from mock_data.vectors import (
    DAY,
    Company,
    Floats,
    History,
    Ints,
    choice,
    fill_forward,
    ids,
    masked,
    moment,
    money,
    weighted,
)


@dataclass(frozen=True)
class Catalog:
    """The clean product versions, and what sales needs (by product index, or by version where said)."""

    products: pl.DataFrame
    product_ids: pl.Series
    popularity: Floats
    sold_from: Ints
    sold_until: Ints
    weight_grams: Ints
    history: History
    cents: Ints
    """Unit price by version."""

    def draw(self, rng: np.random.Generator, at: Ints) -> Ints:
        """A product on sale at each moment; the popular ones more often."""
        picked = weighted(rng, self.popularity, len(at))
        for _ in range(4):
            wrong = np.flatnonzero((self.sold_from[picked] > at) | (self.sold_until[picked] <= at))
            if not len(wrong):
                return picked
            picked[wrong] = weighted(rng, self.popularity, len(wrong))
        wrong = np.flatnonzero((self.sold_from[picked] > at) | (self.sold_until[picked] <= at))
        steady = np.flatnonzero((self.sold_from <= at.min(initial=0)) | (np.arange(len(self.popularity)) == 0))
        picked[wrong] = steady[rng.integers(0, len(steady), len(wrong))]
        return picked

    def price(self, product: Ints, at: Ints) -> Ints:
        """Unit price in cents of each product at each moment."""
        return self.cents[self.history.at(product, at)]


def catalog(company: Company) -> Catalog:
    """The products of a company. Product 0 is on sale on every day."""
    rng = company.rng("catalog")
    n = company.fixed(1000, 10)
    goods = load("catalog.toml")
    kinds = [(c["name"], *kind, c["price"], c["weight"]) for c in goods["category"] for kind in c["kinds"]]
    kind = rng.integers(0, len(kinds), n)
    base = np.array([k[3] for k in kinds])[kind] * np.exp(rng.normal(0, 0.55, n))
    first_cents = np.maximum(np.round(base), 1).astype(np.int64) * 100 - 1

    fresh = rng.random(n) < 0.15
    fresh[0], fresh[-1] = False, True
    introduced = np.where(
        fresh,
        company.start + (rng.random(n) * company.days * 0.8).astype(np.int64) * DAY + rng.integers(0, 6 * 3600, n),
        company.start - rng.integers(30, 1500, n) * DAY,
    )
    ended = rng.random(n) < 0.07
    ended[0], ended[1] = False, True
    since = np.where(fresh, introduced, company.start + rng.integers(0, 2 * 3600, n))
    last = np.where(
        ended, since + DAY + (rng.random(n) * (company.end - since - DAY)).astype(np.int64), np.int64(1) << 33
    )
    last = np.where(last <= since, np.int64(1) << 33, last)

    k = max(3, round(3 * n * company.days / 365))
    product = rng.integers(0, n, k)
    night = company.start + rng.integers(0, company.days, k) * DAY + rng.integers(7200, 5 * 3600, k)
    keep = (night > since[product]) & (night < last[product])
    gone = np.flatnonzero(last < (1 << 33))
    owner = np.concatenate([np.arange(n), product[keep], gone])
    when = np.concatenate([since, night[keep], last[gone]])
    change = np.concatenate([np.zeros(n, int), np.ones(int(keep.sum()), int), np.full(len(gone), 2)])
    order = np.lexsort((change, when, owner))
    owner, when, change = owner[order], when[order], change[order]
    distinct = np.append(True, (np.diff(owner) != 0) | (np.diff(when) != 0))
    owner, when, change = owner[distinct], when[distinct], change[distinct]

    m = len(owner)
    factor = np.where(rng.random(m) < 0.4, 0.85, 1.0 + rng.random(m) * 0.15)
    repriced = np.maximum(np.round(first_cents[owner] * factor / 100), 1).astype(np.int64) * 100 - 1
    cents = fill_forward(np.where(change == 0, first_cents[owner], repriced), change < 2)
    cost = fill_forward(np.round(cents * (0.45 + 0.3 * rng.random(m))).astype(np.int64), change == 0)
    brand, quality = rng.integers(0, len(goods["brands"]), n), rng.integers(0, len(goods["qualities"]), n)
    grams = np.maximum(np.round(np.array([k[4] for k in kinds])[kind] * 1000 * np.exp(rng.normal(0, 0.3, n))), 20)
    grams = grams.astype(np.int64)
    title = pl.DataFrame(
        {
            "b": choice(goods["brands"], brand),
            "q": choice(goods["qualities"], quality),
            "k": choice([k[1] for k in kinds], kind),
        }
    )
    gaps = rng.random((n, 3))
    table = pl.DataFrame(
        {
            "product_id": ids("P", owner, 6),
            "product_name": title.select(pl.concat_str("b", "q", "k", separator=" ")).to_series().gather(owner),
            "category": choice([k[0] for k in kinds], kind[owner]),
            "subcategory": masked(choice([k[2] for k in kinds], kind[owner]), gaps[owner, 0] > 0.03),
            "brand": masked(choice(goods["brands"], brand[owner]), gaps[owner, 1] > 0.03),
            "unit_price": money(cents),
            "unit_cost": masked(money(cost), gaps[owner, 2] > 0.01),
            "weight_kg": np.round(grams[owner] / 1000, 3),
            "status": choice(["active", "discontinued"], (change == 2).astype(np.int64)),
            "introduced_at": moment(introduced[owner]),
            "updated_at": moment(when),
        }
    )
    rank = rng.permutation(n) + 4.0
    return Catalog(
        products=table,
        product_ids=ids("P", np.arange(n), 6),
        popularity=np.asarray(rank**-0.8, dtype=np.float64),
        sold_from=introduced,
        sold_until=last,
        weight_grams=grams,
        history=History(owner, when),
        cents=cents,
    )
