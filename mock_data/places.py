"""Addresses: a location for every home a customer has had, corrected now and then."""

from __future__ import annotations

import numpy as np
import polars as pl

from mock_data.atlas import atlas, patterned
from mock_data.vectors import Company, Ints, ids, masked, moment


def locations(company: Company, country: Ints, since: Ints) -> pl.DataFrame:
    """Versions of the locations, in the clean form, by location then moment.

    ``country`` and ``since`` (the moment a location becomes known) are by location index.
    """
    rng = company.rng("places")
    n = len(country)
    fixed = rng.random(n) < 0.06 * company.days / 365
    fixed[0] = True
    corrected = np.flatnonzero(fixed)
    owner = np.concatenate([np.arange(n), corrected])
    again = since[corrected] + 1 + (rng.random(len(corrected)) * (company.end - since[corrected])).astype(np.int64)
    when = np.concatenate([since, again])
    order = np.lexsort((when, owner))
    owner, when, is_fix = owner[order], when[order], order >= n

    world = atlas()
    city = world.cities.offset[country] + (world.cities.size[country] * rng.random(n)).astype(np.int64)
    postal = patterned(rng, world.cities.postal, city)
    spread = rng.normal(0, 0.05, (n, 2))
    place = pl.DataFrame(
        {
            "location_id": ids("L", np.arange(n), 7),
            "street": _streets(rng, country),
            "city": world.cities.name.gather(city),
            "postal_code": postal,
            "region": masked(world.cities.region.gather(city), rng.random(n) > 0.05),
            "country_code": pl.Series(world.codes).gather(country),
            "latitude": np.round(world.cities.latitude[city] + spread[:, 0], 5),
            "longitude": np.round(world.cities.longitude[city] + spread[:, 1], 5),
            "geocoded": rng.random(n) > 0.08,
            "extra": rng.integers(1, 40, n),
        }
    )[owner]
    known = pl.col("geocoded") | pl.col("is_fix")
    return place.with_columns(is_fix=is_fix, updated_at=moment(when)).select(
        "location_id",
        # a correction adds what the first entry left out
        pl.when("is_fix").then(pl.col("street") + pl.format(", Apt {}", "extra")).otherwise("street").alias("street"),
        "city",
        "postal_code",
        "region",
        "country_code",
        pl.when(known).then("latitude").alias("latitude"),
        pl.when(known).then("longitude").alias("longitude"),
        "updated_at",
    )


def _streets(rng: np.random.Generator, country: Ints) -> pl.Series:
    world = atlas()
    n = len(country)
    frame = pl.DataFrame(
        {
            "street": world.streets.native.gather(world.streets.draw(rng, country)),
            "number": rng.integers(1, 220, n),
            "flat": rng.integers(1, 60, n),
            "front": np.array(world.number_first)[country],
            "kind": rng.random(n),
        }
    )
    kind, number = pl.col("kind"), pl.col("number")
    plain = pl.when("front").then(pl.format("{} {}", number, "street")).otherwise(pl.format("{} {}", "street", number))
    return frame.select(
        pl.when(kind < 0.10).then(plain + pl.format(", Apt {}", "flat"))
        .when(kind < 0.13).then(pl.lit('"Rose Cottage", ') + plain)
        .when(kind < 0.14).then(pl.lit('The "Old" Mill; ') + plain)
        .otherwise(plain)
    ).to_series()  # fmt: skip
