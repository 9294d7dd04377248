"""Customers, their changes over time and their consents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from mock_data.atlas import atlas, patterned
from mock_data.places import locations
from mock_data.vectors import (
    DAY,
    Bools,
    Company,
    Floats,
    History,
    Ints,
    choice,
    fill_forward,
    ids,
    masked,
    moment,
    weighted,
)

TIERS = ["none", "silver", "gold", "platinum"]
CHANNELS = ["organic", "search", "social", "referral", "email", "store"]
PURPOSES = ["marketing_email", "marketing_sms", "profiling", "third_party"]
SOURCES = ["web", "app", "store", "call_center"]
DOMAINS = ["@example.com", "@example.org", "@example.net", "@mail.example.com"]
# Kind of change → how many a customer makes in a year.
CHANGES = {"tier": 0.45, "email": 0.08, "phone": 0.06, "home": 0.12, "name": 0.015, "language": 0.01, "touch": 0.06}


@dataclass(frozen=True)
class People:
    """The customers' clean tables, and what sales and web need to know of them (by customer index)."""

    customers: pl.DataFrame
    locations: pl.DataFrame
    consents: pl.DataFrame
    customer_ids: pl.Series
    location_ids: pl.Series
    country: Ints
    known_since: Ints
    """Moment from which the customer may act; those from before the first day: the first second of it."""
    weight: Floats
    """How much a customer buys; zero for those who never order."""
    homes: History
    home: Ints
    """Location index by version of the customer."""


def people(company: Company) -> People:
    """The customers of a company."""
    rng = company.rng("people")
    n = company.fixed(10_000, 20)
    old = max(1, round(0.7 * n))  # customers the company had before the first day: their records arrive on that day
    seen = np.concatenate(
        [company.start + rng.integers(60, 3 * 3600, old), np.sort(rng.integers(company.start, company.end, n - old))]
    )
    registered = seen.copy()
    registered[:old] = np.sort(company.start - rng.integers(DAY, 3 * 365 * DAY, old))
    weight = np.minimum(rng.pareto(1.35, n) + 0.05, 60.0) * (rng.random(n) > 0.18)
    weight[0] = max(weight[0], 1.0)
    country = weighted(rng, atlas().share, n)

    owner, when, kind = _changes(company, rng, seen, weight)
    home, home_country, home_since = _homes(rng, owner, when, kind, country)
    table = _versions(rng, owner, when, kind, country)
    table = table.with_columns(
        location_id=masked(ids("L", home, 7), rng.random(n)[owner] > 0.02), registered_at=moment(registered[owner])
    ).select(
        "customer_id", "first_name", "last_name", "email", "phone", "birth_date", "location_id", "language",
        "loyalty_tier", "acquisition_channel", "registered_at", "updated_at",
    )  # fmt: skip
    return People(
        customers=table,
        locations=locations(company, home_country, home_since),
        consents=_consents(company, seen),
        customer_ids=ids("C", np.arange(n), 7),
        location_ids=ids("L", np.arange(len(home_country)), 7),
        country=country,
        known_since=np.where(np.arange(n) < old, company.start, seen),
        weight=weight,
        homes=History(owner, when),
        home=home,
    )


def _changes(company: Company, rng: np.random.Generator, seen: Ints, weight: Floats) -> tuple[Ints, Ints, Ints]:
    """Versions by customer then moment: customer index, moment, kind of change (-1: the first version)."""
    n = len(seen)
    owners, kinds = [np.arange(n)], [np.full(n, -1)]
    for code, (name, rate) in enumerate(CHANGES.items()):
        k = max(1, round(n * rate * company.days / 365))
        # busy customers climb the tiers
        owners.append(weighted(rng, weight + 0.2, k) if name == "tier" else rng.integers(0, n, k))
        kinds.append(np.full(k, code))
    owner, kind = np.concatenate(owners), np.concatenate(kinds)
    later = seen[owner] + 60 + (rng.random(len(owner)) * np.maximum(company.end - seen[owner] - 60, 1)).astype(np.int64)
    when = np.where(kind < 0, seen[owner], later)
    order = np.lexsort((kind, when, owner))
    owner, when, kind = owner[order], when[order], kind[order]
    distinct = np.append(True, (np.diff(owner) != 0) | (np.diff(when) != 0))
    return owner[distinct], when[distinct], kind[distinct]


def _homes(rng: np.random.Generator, owner: Ints, when: Ints, kind: Ints, country: Ints) -> tuple[Ints, Ints, Ints]:
    """Location index by version, and country and first moment by location."""
    new = (kind == -1) | (kind == _code("home"))
    place_country = country[owner[new]]
    abroad = (kind[new] >= 0) & (rng.random(int(new.sum())) < 0.05)
    place_country = np.where(abroad, weighted(rng, atlas().share, len(place_country)), place_country)
    # a location is entered a moment before the customer's record names it
    return np.cumsum(new) - 1, place_country, np.maximum(when[new] - 5, 0)


def _code(change: str) -> int:
    return list(CHANGES).index(change)


def _versions(rng: np.random.Generator, owner: Ints, when: Ints, kind: Ints, country: Ints) -> pl.DataFrame:
    world, m, n = atlas(), len(owner), len(country)

    def drawn(fresh: Ints, change: str) -> Ints:
        return fill_forward(fresh, (kind == -1) | (kind == _code(change)))

    abode = country[owner]
    first = world.first.draw(rng, country)[owner]
    last = drawn(world.last.draw(rng, abode), "name")
    maiden = last[np.searchsorted(owner, np.arange(n))][owner]  # the address keeps the name it was made with
    tier = drawn(np.where(kind < 0, weighted(rng, np.array([60.0, 25, 11, 4]), m), rng.integers(0, 4, m)), "tier")
    domain = drawn(weighted(rng, np.array([6.0, 2, 2, 1]), m), "email")
    mailbox = fill_forward(np.where(kind < 0, 0, np.arange(m)), (kind == -1) | (kind == _code("email")))
    patterns = [p for ps in world.phones for p in ps]
    offset = np.cumsum([0] + [len(ps) for ps in world.phones])[:-1]
    size = np.array([len(ps) for ps in world.phones])
    dialled = patterned(rng, patterns, offset[abode] + (size[abode] * rng.random(m)).astype(np.int64))
    phone = dialled.gather(fill_forward(np.arange(m), (kind == -1) | (kind == _code("phone"))))
    born = np.datetime64("1940-01-01") + rng.integers(0, 67 * 365, n)
    spoken = choice(world.languages, abode)
    english = drawn((rng.random(m) < 0.15).astype(np.int64), "language")
    gaps = rng.random((n, 5))[owner]
    frame = pl.DataFrame(
        {
            "customer_id": ids("C", owner, 7),
            "first_name": masked(world.first.native.gather(first), gaps[:, 0] > 0.01),
            "last_name": masked(world.last.native.gather(last), gaps[:, 0] > 0.005),
            "latin": world.first.latin.gather(first) + "." + world.last.latin.gather(maiden),
            "owner": owner,
            "mailbox": mailbox,
            "domain": choice(DOMAINS, domain),
            "phone": phone,
            "birth_date": masked(pl.Series(born[owner]).cast(pl.Date), gaps[:, 1] > 0.06),
            "language": spoken,
            "english": english,
            "loyalty_tier": choice(TIERS, tier),
            "acquisition_channel": choice(CHANNELS, weighted(rng, np.array([30.0, 25, 18, 10, 9, 8]), n)[owner]),
            "updated_at": moment(when),
        }
    )
    address = pl.format("{}.{}", "latin", "owner") + (
        pl.when(pl.col("mailbox") > 0).then(pl.format("+{}", "mailbox")).otherwise(pl.lit(""))
    )
    # some telephone numbers were entered without a country code; nothing can complete them
    local = pl.lit("0") + pl.col("phone").str.slice(3).str.strip_chars_start("0")
    return frame.with_columns(
        email=pl.when(pl.lit(pl.Series(gaps[:, 2])) > 0.03).then(address + pl.col("domain")),
        phone=_by(gaps[:, 3] > 0.06, pl.when(pl.lit(pl.Series(gaps[:, 3])) > 0.995).then(local).otherwise("phone")),
        language=pl.when(pl.col("english") == 1).then(pl.lit("en")).otherwise("language"),
    )


def _by(present: Bools, value: pl.Expr) -> pl.Expr:
    return pl.when(pl.lit(pl.Series(present))).then(value)


def _consents(company: Company, seen: Ints) -> pl.DataFrame:
    rng = company.rng("consents")
    n, p = len(seen), len(PURPOSES)
    asked = rng.random((n, p)) < np.array([0.95, 0.6, 0.4, 0.3])
    owner, purpose = np.nonzero(asked)
    granted = rng.random(len(owner)) < np.array([0.62, 0.35, 0.4, 0.15])[purpose]
    when = seen[owner] + 1 + purpose
    rows = [(owner, purpose, granted, when)]
    # withdrawn, and sometimes given again
    for share in (0.18, 0.3):
        turned = rng.random(len(owner)) < share
        owner, purpose, granted, when = owner[turned], purpose[turned], ~granted[turned], when[turned]
        when = when + 60 + (rng.random(len(owner)) * np.maximum(company.end - when, 1)).astype(np.int64)
        rows.append((owner, purpose, granted, when))
    owner, purpose, granted, when = (np.concatenate([r[i] for r in rows]) for i in range(4))
    return pl.DataFrame(
        {
            "customer_id": ids("C", owner, 7),
            "purpose": choice(PURPOSES, purpose),
            "granted": granted,
            "source": masked(
                choice(SOURCES, weighted(rng, np.array([5.0, 3, 1, 1]), len(owner))), rng.random(len(owner)) > 0.02
            ),
            "updated_at": moment(when),
        }
    )
