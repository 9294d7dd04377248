"""Small vectorised building blocks: seeded streams, calendars, identifiers, look-ups as of a moment."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

DAY = 86_400
MICRO = 1_000_000
HOURS = np.array(
    [4, 2, 1, 1, 1, 2, 4, 8, 12, 15, 17, 18, 20, 18, 16, 16, 17, 19, 23, 27, 28, 24, 16, 8], dtype=np.float64
)
WEEK = np.array([0.95, 0.9, 0.92, 0.98, 1.1, 1.2, 1.05])


def stream(seed: int, purpose: str) -> np.random.Generator:
    """A random stream of its own for each purpose, so that one part's changes leave the others' draws alone."""
    return np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence([seed, zlib.crc32(purpose.encode())])))


@dataclass(frozen=True)
class Company:
    """What a company is made from; moments are seconds since the epoch, UTC."""

    scale: float
    seed: int
    first_day: date
    days: int

    def rng(self, purpose: str) -> np.random.Generator:
        """The random stream of that purpose."""
        return stream(self.seed, purpose)

    @property
    def start(self) -> int:
        """First second of the first day."""
        return int(datetime(self.first_day.year, self.first_day.month, self.first_day.day, tzinfo=UTC).timestamp())

    @property
    def end(self) -> int:
        """First second after the last day."""
        return self.start + self.days * DAY

    @property
    def dates(self) -> list[str]:
        """The days in ISO form."""
        return [(self.first_day + timedelta(days=i)).isoformat() for i in range(self.days)]

    def fixed(self, at_scale_one: int, least: int) -> int:
        """A size that follows the scale only (customers, products)."""
        return max(least, round(at_scale_one * self.scale))

    def volume(self, at_scale_one: int, least: int) -> int:
        """A size that follows scale and days, given for 365 days (orders, events)."""
        return max(least, round(at_scale_one * self.scale * self.days / 365))

    @cached_property
    def season(self) -> Floats:
        """Share of a year's business by day: weekly and yearly seasons, a November to December peak, slow growth."""
        dates = np.datetime64(self.first_day) + np.arange(self.days)
        weekday = (dates.astype("datetime64[D]").astype(np.int64) + 3) % 7
        year_day = (dates - dates.astype("datetime64[Y]").astype("datetime64[D]")).astype(np.int64)
        yearly = 1 + 0.12 * np.cos(2 * np.pi * (year_day - 350) / 365) + 0.7 * np.exp(-(((year_day - 335) / 14.0) ** 2))
        weights = WEEK[weekday] * yearly * (1 + 0.3 * np.arange(self.days) / 365)
        return np.asarray(weights / weights.sum(), dtype=np.float64)

    def moments(self, rng: np.random.Generator, n: int) -> Ints:
        """``n`` moments of business in ascending order, following the seasons and the hours of the day."""
        day = np.repeat(np.arange(self.days, dtype=np.int64), rng.multinomial(n, self.season))
        return np.sort(self.start + day * DAY + second_of_day(rng, n))


def second_of_day(rng: np.random.Generator, n: int) -> Ints:
    """Seconds after midnight, following the hours in which people buy."""
    return weighted(rng, HOURS, n) * 3600 + rng.integers(0, 3600, n)


def weighted(rng: np.random.Generator, weights: Floats, n: int) -> Ints:
    """``n`` indexes drawn with the given weights (not necessarily normalised)."""
    cumulated = np.cumsum(weights)
    drawn: Ints = np.searchsorted(cumulated, rng.random(n) * cumulated[-1], side="right").astype(np.int64)
    return np.minimum(drawn, len(weights) - 1)


def seconds(rng: np.random.Generator, n: int, low: float, high: float) -> Ints:
    """``n`` durations between ``low`` and ``high`` hours, in whole seconds."""
    return rng.integers(round(low * 3600), round(high * 3600), n, dtype=np.int64)


def fill_forward(values: Ints, known: Bools) -> Ints:
    """Each value, or the last known one before it; the first must be known."""
    return values[np.maximum.accumulate(np.where(known, np.arange(len(values)), 0))]


class History:
    """Versions of things in time, for look-ups as of a moment."""

    def __init__(self, owner: Ints, moment: Ints) -> None:
        """Versions sorted by owner (0, 1, …; each has at least one) and moment."""
        self._keys = (owner << 34) | moment
        self._first = np.searchsorted(owner, np.arange(owner[-1] + 1))

    def at(self, owner: Ints, moment: Ints) -> Ints:
        """Index of the version that holds at the moment; before the first version, the first."""
        found = np.searchsorted(self._keys, (owner << 34) | moment, side="right") - 1
        return np.maximum(found, self._first[owner]).astype(np.int64)


def ids(prefix: str, numbers: Ints, width: int) -> pl.Series:
    """Identifiers such as ``C0000042``."""
    return pl.select(pl.lit(prefix) + pl.lit(pl.Series(numbers)).cast(pl.String).str.zfill(width)).to_series()


def moment(values: Ints, unit: int = MICRO) -> pl.Series:
    """Timestamps in UTC from whole seconds (or other units, given as microseconds each)."""
    return pl.Series(values * unit).cast(pl.Datetime("us", "UTC"))


def money(cents: Ints) -> pl.Series:
    """Decimals with two places from whole cents."""
    return pl.Series(cents / 100).round(2).cast(pl.Decimal(12, 2))


def choice(values: list[str], codes: Ints) -> pl.Series:
    """Texts by code; a code of -1 is null."""
    pool = pl.Series([*values, None], dtype=pl.String)
    return pool.gather(np.where(codes < 0, len(values), codes))


def masked(values: pl.Series, present: Bools) -> pl.Series:
    """The values, null where not present."""
    frame = pl.DataFrame({"value": values, "present": present})
    return frame.select(pl.when(pl.col("present")).then(pl.col("value"))).to_series()
