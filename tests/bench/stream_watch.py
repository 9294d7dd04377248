"""Watches a reader of the stream benchmark from outside: how far its tables are and what it cost until then."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from c360.contracts.loader import get_contract
from c360.streams.job import METRICS, REFUSED, get_job
from tests.bench.meter import Meter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from c360.lakehouse import Lakehouse

LOOK_S = 0.25
STALLED_S = 120.0
STEADY_FROM = 0.2
JOB = get_job("events")
BRONZE, SILVER = JOB.bronze.name, JOB.silver.name


@dataclass(frozen=True)
class Wanted:
    """Rows that must be there at the end: messages, distinct valid events, refused messages."""

    messages: int
    distinct: int
    refused: int


def fresh_tables(lake: Lakehouse) -> None:
    """The tables of the job, empty."""
    for table in JOB.outputs:
        if lake.exists(table):
            lake.catalog.drop_table(table)
        lake.ensure(get_contract(table))


def watch(lake: Lakehouse, pids: Iterable[int], wanted: Wanted, *, closed_only: bool) -> dict[str, float]:
    """Wait until all tables are complete and say what that took; SystemExit where a table is wrong or stands still.

    With ``closed_only`` the counts of those windows are awaited that the watermark has closed, else of all. ``steady``
    figures are between the commit that first shows a fifth of bronze and silver, and their last.
    """
    due: int | None = None
    history = [(0.0, 0.0, 0.0)]
    with Meter(pids) as meter:
        start = moved = time.perf_counter()
        before: tuple[int, ...] = ()
        while True:
            rows = lake.row_count(BRONZE), lake.row_count(SILVER), lake.row_count(REFUSED), lake.row_count(METRICS)
            if rows != before:
                before, moved = rows, time.perf_counter()
                part = min(rows[0] / wanted.messages, rows[1] / wanted.distinct)
                if part > history[-1][1]:
                    history.append((moved - start, part, meter.engine_cpu()))
                if part >= 1.0:
                    due = _due(lake) if closed_only and due is None else due or wanted.distinct
                if part >= 1.0 and rows[2] >= wanted.refused and _counted(lake) >= (due or 0):
                    break
            if time.perf_counter() - moved > STALLED_S:
                raise SystemExit(f"nothing new for {STALLED_S:.0f} s: rows {rows}, wanted {wanted}, counted {due}")
            time.sleep(LOOK_S)
    found = _verified(lake, wanted, due or 0)
    cost, first = meter.cost, next(each for each in history if each[1] >= STEADY_FROM)
    figures = {
        **found,
        "seconds": round(cost.wall, 1),
        "events_per_s": round(wanted.messages / cost.wall),
        "cpu_us_per_event": round(cost.engine_cpu / wanted.messages * 1e6, 2),
        "cpu_s": round(cost.engine_cpu, 1),
        "peak_mb": round(cost.engine_mb),
    }
    last = history[-1]
    if last[1] > first[1]:
        steady = wanted.messages * (last[1] - first[1])
        figures["steady_events_per_s"] = round(steady / (last[0] - first[0]))
        figures["steady_cpu_us_per_event"] = round((last[2] - first[2]) / steady * 1e6, 2)
    return figures


def _due(lake: Lakehouse) -> int:
    """Events of the windows that the watermark, the slowest partition's, has closed."""
    seen = lake.read(BRONZE, columns=["kafka_partition", "kafka_timestamp"])
    newest = seen.group_by("kafka_partition").aggregate([("kafka_timestamp", "max")])["kafka_timestamp_max"]
    watermark = pc.min(newest).as_py().timestamp() - JOB.topic.lateness
    end_us = math.floor(watermark / JOB.window_seconds) * JOB.window_seconds * 1_000_000
    happened = lake.read(SILVER, columns=["event_timestamp"]).column(0)
    return int(pc.sum(pc.less(happened.cast(pa.int64()), end_us).cast(pa.int64())).as_py())


def _counted(lake: Lakehouse) -> int:
    return pc.sum(lake.read(METRICS, columns=["event_count"]).column(0)).as_py() or 0


def _verified(lake: Lakehouse, wanted: Wanted, due: int) -> dict[str, float]:
    found = {
        "bronze": lake.row_count(BRONZE),
        "silver": pc.count_distinct(lake.read(SILVER, columns=["event_id"]).column(0)).as_py(),
        "refused": lake.row_count(REFUSED),
        "counted": _counted(lake),
    }
    right = {"bronze": wanted.messages, "silver": wanted.distinct, "refused": wanted.refused, "counted": due}
    if found != right or lake.row_count(SILVER) != wanted.distinct:
        raise SystemExit(f"wrong rows: {found}, but {right}, and {lake.row_count(SILVER)} rows in silver")
    return {**found, "windows": lake.row_count(METRICS)}
