"""Which records of an export are defective, how, and where in the files they land."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from c360.errors import C360Error
from mock_data.entities import Entity
from mock_data.spoil import BROKEN
from mock_data.vectors import Bools, Company, Floats, Ints

RATES: Mapping[str, float] = {
    "messy": 0.03,
    "late": 0.01,
    "orphan": 0.002,
    "duplicate_exact": 0.012,
    "duplicate_formatting": 0.008,
    "contradictory": 0.003,
    "malformed_line": 0.005,
    "bad_encoding": 0.001,
    "bad_type": 0.004,
    "out_of_range": 0.002,
    "not_allowed": 0.002,
    "missing_required": 0.002,
}
"""Share of each defect among an entity's clean records; each that can occur occurs at least once."""

KINDS = ["", *RATES]
MESSY, LATE, ORPHAN, EXACT, FORMATTING, CONTRADICTORY, MALFORMED, ENCODING, *_ = range(1, len(KINDS))
WRITINGS = 4
"""Number of ways to write a clean value differently."""
MALFORMED_WAYS = 3
BLANK = 2
"""The malformed line of CSV files that is empty."""
_MOST_LATE = 30


Kinds = NDArray[np.int8]


@dataclass(frozen=True)
class Plan:
    """The landed records of one entity, in landing order (day, then place in the file).

    base: row of the clean table a record comes from; kind: index into ``KINDS``; way: variant of the defect;
    day: index of the batch; row: ordinal in the file, from 1.
    """

    base: Ints
    kind: Kinds
    way: Ints
    day: Ints
    row: Ints

    def bounds(self, days: int) -> Ints:
        """First landed record of each day, and the total as the last element."""
        return np.searchsorted(self.day, np.arange(days + 1))


def resolve(defects: bool | Mapping[str, float]) -> Mapping[str, float]:
    """The share of each defect. Raises C360Error for an unknown defect or a share outside 0 to 0.2."""
    if isinstance(defects, bool):
        return RATES if defects else dict.fromkeys(RATES, 0.0)
    unknown = sorted(set(defects) - set(RATES))
    if unknown:
        raise C360Error(f"There is no defect '{unknown[0]}'", f"use some of {', '.join(RATES)}")
    for name, share in defects.items():
        if not 0 <= share <= 0.2:
            raise C360Error(f"The share {share} of defect '{name}' is not possible", "give a share from 0 to 0.2")
    return {name: float(defects.get(name, 0.0)) for name in RATES}


def estrange(company: Company, entity: Entity, clean: pl.DataFrame, share: float) -> tuple[pl.DataFrame, Bools, Ints]:
    """Let some records point at parents that nobody knows (all versions of a record alike).

    Returns the clean table, the mask of its orphans, and the index of the broken foreign key by row.
    """
    n = clean.height
    way = np.zeros(n, dtype=np.int64)
    if not share or not entity.parents or not n:
        return clean, np.zeros(n, dtype=np.bool_), way
    rng = company.rng(f"orphans {entity.name}")
    keys = clean.get_column(entity.key[0])
    some = rng.choice(n, min(max(len(entity.parents), round(share * n)), n), replace=False)
    if entity.versioned:
        chosen = keys.gather(np.sort(some)).unique(maintain_order=True)
        mask = keys.is_in(chosen.implode()).to_numpy()
        place = pl.DataFrame({"key": keys}).join(
            pl.DataFrame({"key": chosen, "place": np.arange(len(chosen))}), on="key", how="left", maintain_order="left"
        )
        way = place.get_column("place").fill_null(0).to_numpy() % len(entity.parents)
    else:
        mask = np.zeros(n, dtype=np.bool_)
        mask[some] = True
    for number, (column, unknown) in enumerate(entity.parents.items()):
        lost = pl.lit(pl.Series(mask & (way == number)))
        clean = clean.with_columns(pl.when(lost).then(pl.lit(unknown)).otherwise(column).alias(column))
    return clean, mask, way


def plan(company: Company, entity: Entity, day: Ints, orphans: tuple[Bools, Ints], rates: Mapping[str, float]) -> Plan:
    """Place all records of an entity; ``day`` is the batch each clean record (ascending) would land in on time."""
    n, rng = len(day), company.rng(f"defects {entity.name}")
    orphan, orphan_way = orphans
    kind = np.where(orphan, ORPHAN, 0).astype(np.int8)
    way = np.where(orphan, orphan_way, 0)
    landing = day.copy()
    pool = rng.permutation(np.flatnonzero(~orphan))

    def take(name: str, allowed: Bools | None = None) -> Ints:
        """Records of the pool for one defect; no record is taken twice."""
        nonlocal pool
        fitting = pool if allowed is None else pool[allowed[pool]]
        share = rates[name]
        taken = fitting[: max(1, round(share * n))] if share else fitting[:0]
        pool = pool[~np.isin(pool, taken, kind="table")] if allowed is not None else pool[len(taken) :]
        return taken

    late = take("late", day + 1 < company.days)
    landing[late] += 1 + rng.integers(0, np.minimum(_MOST_LATE, company.days - 1 - day[late]), len(late))
    kind[late] = LATE
    messy = take("messy")
    kind[messy], way[messy] = MESSY, rng.integers(0, WRITINGS, len(messy))

    first = np.searchsorted(day, np.arange(company.days + 1))
    extras: list[tuple[Ints, int, Ints, Ints, Floats]] = []
    for name in ("duplicate_exact", "duplicate_formatting", "contradictory"):
        of = take(name)
        again = day[of] + np.where(rng.random(len(of)) < 0.5, rng.integers(1, 11, len(of)), 0)
        again = np.where(again < company.days, again, day[of])
        # in the same file: after the original; in a later one: anywhere
        low = np.where(again == day[of], of + 0.5, first[again].astype(np.float64))
        place: Floats = low + rng.random(len(of)) * np.maximum(first[again + 1] - low, 0)
        extras.append((of, KINDS.index(name), rng.integers(0, WRITINGS, len(of)), again, place))
    for name in ("malformed_line", "bad_encoding", *BROKEN[entity.name]):
        ways = MALFORMED_WAYS if name in {"malformed_line", "bad_encoding"} else len(BROKEN[entity.name][name])
        if not ways or (entity.format == "parquet" and name in {"malformed_line", "bad_encoding"}):
            continue
        of = take(name)
        place = first[day[of]].astype(np.float64) + rng.random(len(of)) * (first[day[of] + 1] - first[day[of]])
        extras.append((of, KINDS.index(name), np.arange(len(of)) % ways, day[of], place))

    base = np.concatenate([np.arange(n), *(e[0] for e in extras)])
    kind = np.concatenate([kind, *(np.full(len(e[0]), e[1], np.int8) for e in extras)])
    way = np.concatenate([way, *(e[2] for e in extras)])
    landing = np.concatenate([landing, *(e[3] for e in extras)])
    place = np.concatenate([np.arange(n, dtype=np.float64), *(e[4] for e in extras)])
    order = np.lexsort((place, landing)) if len(base) > n or len(late) else np.arange(n)
    landing = landing[order]
    row = np.arange(len(base)) - np.searchsorted(landing, np.arange(company.days))[landing] + 1
    kind, way = kind[order], way[order]
    # a blank line is a record only inside a file: at its end it is no more than an end of line
    way[(kind == MALFORMED) & (way == BLANK) & (np.append(row[1:], 1) == 1)] = 0
    return Plan(base[order].astype(np.int64), kind, way.astype(np.int64), landing, row)
