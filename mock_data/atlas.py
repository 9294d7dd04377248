"""Reads the countries and the range of goods, and draws texts from patterns."""

from __future__ import annotations

import tomllib
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import polars as pl

from mock_data.vectors import Floats, Ints

_LETTERS = str.maketrans({"ß": "ss", "ł": "l", "Ł": "L", "ø": "o", "đ": "d", "Đ": "D", "ı": "i", "'": "", " ": ""})


def romanise(name: str) -> str:
    """Lower-case Latin letters without marks, as used in e-mail addresses."""
    plain = unicodedata.normalize("NFKD", name.translate(_LETTERS))
    return "".join(c for c in plain if not unicodedata.combining(c)).lower()


@dataclass(frozen=True)
class Names:
    """All countries' names in one pool: the native spelling and its Latin letters."""

    native: pl.Series
    latin: pl.Series
    offset: Ints
    size: Ints

    def draw(self, rng: np.random.Generator, country: Ints) -> Ints:
        """A position in the pool for each country; the first names of a country are the more frequent."""
        return self.offset[country] + (self.size[country] * rng.random(len(country)) ** 1.4).astype(np.int64)


@dataclass(frozen=True)
class Cities:
    """All countries' cities in one pool."""

    name: pl.Series
    region: pl.Series
    postal: list[str]
    latitude: Floats
    longitude: Floats
    offset: Ints
    size: Ints


@dataclass(frozen=True)
class Atlas:
    """The countries as vectors, by country index."""

    codes: list[str]
    share: Floats
    languages: list[str]
    warehouses: list[str]
    number_first: list[bool]
    phones: list[list[str]]
    first: Names
    last: Names
    streets: Names
    cities: Cities


@cache
def load(name: str) -> dict[str, Any]:
    """The parsed data file of that name."""
    return tomllib.loads(files("mock_data").joinpath("data", name).read_text(encoding="utf-8"))


def _offsets(groups: list[list[Any]]) -> tuple[Ints, Ints]:
    size = np.array([len(g) for g in groups], dtype=np.int64)
    return np.cumsum(size) - size, size


def _names(groups: list[list[str]]) -> Names:
    pairs = [name.partition("|") for group in groups for name in group]
    native = [unicodedata.normalize("NFC", n) for n, _, _ in pairs]
    offset, size = _offsets(groups)
    latin = [latin or romanise(n) for n, _, latin in pairs]
    return Names(pl.Series(native), pl.Series(latin), offset, size)


@cache
def atlas() -> Atlas:
    """The world the company sells to."""
    countries = load("countries.toml")["country"]
    cities = [city for c in countries for city in c["cities"]]
    offset, size = _offsets([c["cities"] for c in countries])
    return Atlas(
        codes=[c["code"] for c in countries],
        share=np.array([c["share"] for c in countries], dtype=np.float64),
        languages=[c["language"] for c in countries],
        warehouses=[c["warehouse"] for c in countries],
        number_first=[c.get("number_first", False) for c in countries],
        phones=[c["phones"] for c in countries],
        first=_names([c["first"] for c in countries]),
        last=_names([c["last"] for c in countries]),
        streets=_names([c["streets"] for c in countries]),
        cities=Cities(
            name=pl.Series([unicodedata.normalize("NFC", c["name"]) for c in cities]),
            region=pl.Series([unicodedata.normalize("NFC", c["region"]) for c in cities]),
            postal=[c["postal"] for c in cities],
            latitude=np.array([c["latitude"] for c in cities]),
            longitude=np.array([c["longitude"] for c in cities]),
            offset=offset,
            size=size,
        ),
    )


def patterned(rng: np.random.Generator, patterns: list[str], which: Ints) -> pl.Series:
    """Texts in the pattern of each row, every ``#`` replaced by a random digit."""
    longest = max(p.count("#") for p in patterns)
    digits = rng.integers(0, 10, (len(which), longest), dtype=np.uint8)
    frame = pl.DataFrame(
        {f"d{i}": digits[:, i] for i in range(longest)} | {"which": which, "row": np.arange(len(which))}
    )
    written = []
    for number, pattern in enumerate(patterns):
        pieces = pattern.split("#")
        parts: list[pl.Expr] = [pl.lit(pieces[0])]
        for i, piece in enumerate(pieces[1:]):
            parts += [pl.col(f"d{i}").cast(pl.String), pl.lit(piece)]
        written.append(frame.filter(pl.col("which") == number).select("row", pl.concat_str(parts).alias("text")))
    return pl.concat(written).sort("row").get_column("text")
