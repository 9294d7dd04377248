"""Generates a company: its landing files and the truth about them, all or nothing."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from filelock import FileLock, Timeout

from c360.errors import C360Error
from mock_data.catalog import catalog
from mock_data.defects import estrange, plan, resolve
from mock_data.entities import ENTITIES, Entity
from mock_data.landing import chunks, write_days
from mock_data.logistics import shipments, stock
from mock_data.payments import transactions
from mock_data.people import people
from mock_data.sales import sales
from mock_data.truth import counts, ledger, write_clean, write_ledger
from mock_data.vectors import DAY, MICRO, Company
from mock_data.web import events

RELEASE = 1
"""Raised when the same arguments begin to give other bytes."""
_ARGUMENTS = "arguments.json"
_COUNTS = "counts.json"


@dataclass(frozen=True)
class Generated:
    """What lies in the folder now. ``counts`` is as in counts.json; ``changed`` is False if it was there before."""

    landing: Path
    truth: Path
    counts: Mapping[str, Any]
    seconds: float
    changed: bool

    @property
    def records(self) -> int:
        """Landed records of all entities."""
        return sum(int(entity["generated"]) for entity in self.counts.values())


def generate(
    out: Path,
    scale: float = 0.1,
    seed: int = 360,
    start: date = date(2025, 1, 1),
    days: int = 365,
    defects: bool | Mapping[str, float] = True,
    daily_batches: int | None = None,
) -> Generated:
    """Write ``<out>/landing`` and ``<out>/truth``; with the same arguments again, change nothing.

    Scale 1 is 10,000 customers, 1,000 products and, in 365 days, 100,000 orders and a million web events; orders and
    events follow the days, customers and products do not. ``daily_batches`` is the number of last days that land one by
    one: what is older lands with the first of them, as when a company hands over its history; by default every day
    lands by itself. ``defects`` may name the share of each defect (see
    ``mock_data.RATES``). Raises C360Error if an argument is impossible, if the folder holds other data, cannot be
    written, or is being written by another process; then nothing is left behind.
    """
    company, rates = company_of(scale, seed, start, days), resolve(defects)
    batches = days if daily_batches is None else daily_batches
    if not 1 <= batches <= days:
        raise C360Error(f"{batches} daily batches are not possible", f"give 1 to {days} --daily-batches")
    arguments = {
        "release": RELEASE, "scale": company.scale, "seed": seed, "start": start.isoformat(), "days": days,
        "daily_batches": batches, "defects": dict(rates),
    }  # fmt: skip
    began = time.perf_counter()
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()  # the lock would take a read-only folder for one that is locked
        with FileLock(out / ".generate.lock", timeout=0):
            found = _existing(out, arguments)
            if found is not None:
                return Generated(out / "landing", out / "truth", found, time.perf_counter() - began, changed=False)
            work = out / ".generate"
            shutil.rmtree(work, ignore_errors=True)  # of a run that was killed
            try:
                written = _write(company, rates, work, days - batches)
                _save(work / "truth" / _ARGUMENTS, arguments)
                shutil.rmtree(out / "truth", ignore_errors=True)
                (work / "truth").rename(out / "truth")
                (work / "landing").rename(out / "landing")
            finally:
                shutil.rmtree(work, ignore_errors=True)
    except Timeout:
        raise C360Error(f"Another process is generating into {out}", "wait for it, or choose another --out") from None
    except OSError as error:
        raise C360Error(
            f"Cannot write to {out}: {error.strerror or error}",
            "choose with --out a folder that you may write to and that has space, or a lower --scale",
        ) from error
    return Generated(out / "landing", out / "truth", written, time.perf_counter() - began, changed=True)


def company_of(scale: float, seed: int, start: date, days: int) -> Company:
    """What a company is made from; C360Error for an impossible argument."""
    if not (math.isfinite(scale) and 0 < scale <= 1000):
        raise C360Error(f"Scale {scale} is not possible", "give a --scale above 0 and up to 1000")
    if not 0 <= seed < 2**63:
        raise C360Error(f"Seed {seed} is not possible", "give a --seed from 0 to 9223372036854775807")
    if not 1 <= days <= 3650:
        raise C360Error(f"{days} days are not possible", "give 1 to 3650 --days")
    if start.year < 1990 or start.year > 2080:
        raise C360Error(f"A start on {start} is not possible", "give a --start from 1990-01-01 to 2080-12-31")
    return Company(float(scale), int(seed), start, int(days))


def _existing(out: Path, arguments: Mapping[str, Any]) -> dict[str, Any] | None:
    landing, truth = out / "landing", out / "truth"
    if not landing.exists() or not any(landing.iterdir()):
        if truth.exists() and not (truth / _ARGUMENTS).is_file():
            raise C360Error(f"{truth} is not a truth folder of this generator", "move it away, or choose another --out")
        return None
    if not (truth / _ARGUMENTS).is_file():
        raise C360Error(
            f"{landing} holds files that were not generated here", "move them away, or choose another --out"
        )
    before = json.loads((truth / _ARGUMENTS).read_text(encoding="utf-8"))
    if before != arguments:
        differing = sorted(k for k in arguments if before.get(k) != arguments[k])
        told = ", ".join(f"{k} {before.get(k)} instead of {arguments[k]}" for k in differing if k != "defects")
        raise C360Error(
            f"{out} holds another company's data ({told or 'other shares of defects'})",
            f"give the same arguments, choose another --out, or remove {landing} and {truth}",
        )
    found: dict[str, Any] = json.loads((truth / _COUNTS).read_text(encoding="utf-8"))
    return found


def _write(company: Company, rates: Mapping[str, float], work: Path, first_batch: int) -> dict[str, Any]:
    (work / "truth" / "clean").mkdir(parents=True)
    (work / "landing").mkdir()
    who, goods = people(company), catalog(company)
    sold = sales(company, who, goods)
    # the largest first, so that both threads end at about the same time
    makers: dict[str, Callable[[], pl.DataFrame]] = {
        "events": lambda: events(company, who, sold, goods),
        "orders": lambda: sold.orders,
        "shipments": lambda: shipments(company, who, sold, goods),
        "stock": lambda: stock(company, who, sold, goods),
        "order_items": lambda: sold.items,
        "transactions": lambda: transactions(company, sold),
        "customers": lambda: who.customers,
        "locations": lambda: who.locations,
        "consents": lambda: who.consents,
        "products": lambda: goods.products,
    }
    with ThreadPoolExecutor(2) as pool:
        jobs: list[Future[Any]] = []

        def one(name: str, make: Callable[[], pl.DataFrame]) -> tuple[dict[str, Any], pl.DataFrame]:
            entity = ENTITIES[name]
            clean, days = _landed(company, entity, make())
            days = np.maximum(days, first_batch)
            clean, mask, way = estrange(company, entity, clean, rates["orphan"])
            placed = plan(company, entity, days, (mask, way), rates)
            jobs.extend(
                pool.submit(write_days, work / "landing", entity, clean, placed, company.dates, run)
                for run in chunks(placed, company.days)
            )
            path = work / "truth" / "clean" / f"{name}.parquet"
            jobs.append(pool.submit(write_clean, path, entity, clean))
            return counts(placed, company.dates), ledger(entity, clean, placed, company.dates)

        made = {name: pool.submit(one, name, make) for name, make in makers.items()}
        results = {name: made[name].result() for name in ENTITIES}
        for job in jobs:
            job.result()
    write_ledger(work / "truth" / "ledger.parquet", [results[name][1] for name in ENTITIES])
    totals = {name: results[name][0] for name in ENTITIES}
    _save(work / "truth" / _COUNTS, totals)
    return totals


def _landed(company: Company, entity: Entity, table: pl.DataFrame) -> tuple[pl.DataFrame, Any]:
    """The records whose moment lies within the days, by day (within a day in the given order), and their days."""
    micros = table.get_column(entity.moment).to_physical().to_numpy()
    day = (micros // MICRO - company.start) // DAY
    within = day < company.days
    if not within.all():
        table, day = table.filter(pl.Series(within)), day[within]
    if (np.diff(day) < 0).any():
        order = np.argsort(table.get_column(entity.moment).to_physical().to_numpy(), kind="stable")
        table, day = table[order], day[order]
    return table, day.astype(np.int64)


def _save(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
