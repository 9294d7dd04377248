"""The API beside its peers: the same customers asked of each by the same generator, in turn, several times.

One round asks every service once, so that whatever else the machine does meets all alike. Before the first round some
answers of each are compared with the rows, value by value.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.bench.api_load import LOOPBACK, closed, opened
from tests.bench.api_wrk import PLACE, closed_by_wrk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import polars as pl

    from tests.bench.api_server import Server

    Ask = Callable[[Sequence[str]], bytes]

STEADY_MS = 50
"""A rate is sustained if 99 of 100 answers come within this, counted from when their requests were due."""
STEPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
BATCH = 100
CHECKED = 20
"""How many customers of each service are compared with the rows."""
COLUMNS = {
    "closed: /s": ("closed", "per_s"),
    "CPU µs": ("closed", "cpu_us"),
    "by wrk: /s": ("wrk", "per_s"),
    "fixed rate: p50 ms": ("fixed", "p50"),
    "p99 ms": ("fixed", "p99"),
    "fixed rate: CPU µs": ("fixed", "cpu_us"),
    "sustained: /s": ("steady", "per_s"),
    "batch: p50 ms": ("batch", "p50"),
    "batch: p99 ms": ("batch", "p99"),
    "batch: CPU µs": ("batch", "cpu_us"),
    "own MB": ("batch", "own_mb"),
}
"""Heading → measurement and its figure."""


@dataclass(frozen=True)
class Service:
    """``one`` and ``many`` make requests for customers, ``rows`` reads the customers out of an answer to them.

    ``whole`` says that an answer shows every value, so that it can be compared with the rows.
    """

    name: str
    server: Server
    one: Ask
    many: Ask
    rows: Callable[[Any], list[dict[str, Any]]]
    whole: bool = True


@dataclass(frozen=True)
class Plan:
    """How to measure: ``rate`` is that of the open loop; ``customers`` is how many of them are asked for."""

    customers: int
    seconds: float
    rate: float
    rounds: int
    wrk: bool
    folder: Path


def compare(services: Sequence[Service], plan: Plan, rows: pl.DataFrame, show: Callable[[str, object], None]) -> str:
    """Measure all, showing each figure; the table of medians in Markdown."""
    known = rows.sample(CHECKED, seed=1).to_dicts()
    for service in services:
        if service.whole:
            check(service, known)
        show(f"{service.name}, cores", {"server": service.server.cores(), "load": sorted(os.sched_getaffinity(0))})
    found: dict[str, dict[str, list[dict[str, float]]]] = {service.name: {} for service in services}
    for number in range(1, plan.rounds + 1):
        for service in services:
            for what, figures in _round(service, plan):
                show(f"{service.name}, {what}, round {number}", figures)
                found[service.name].setdefault(what, []).append(figures)
    return table(found)


def table(found: dict[str, dict[str, list[dict[str, float]]]]) -> str:
    """Medians over the rounds, one line for each service."""
    columns = [(name, *where) for name, where in COLUMNS.items() if any(where[0] in each for each in found.values())]
    lines = ["| service | " + " | ".join(name for name, *_ in columns) + " |"]
    lines.append("| --- " * (len(columns) + 1) + "|")
    for service, rounds in found.items():
        cells = [_median(rounds.get(what, []), figure) for _, what, figure in columns]
        lines.append(f"| {service} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def check(service: Service, rows: Sequence[dict[str, Any]]) -> None:
    """Compare the answers about some customers with their rows. Raises SystemExit naming a column that differs."""
    ids = [row["customer_id"] for row in rows]
    for ask, wanted in [(service.one(ids[:1]), rows[:1]), (service.many(ids), rows)]:
        got = {row["customer_id"]: row for row in service.rows(_ask(service.server.port, ask))}
        for row in wanted:
            seen = got.get(row["customer_id"], {})
            wrong = [name for name, value in row.items() if name not in seen or seen[name] != value]
            if wrong:
                raise SystemExit(f"{service.name} answers otherwise: {wrong[0]} of {row['customer_id']}")


def _ask(port: int, request: bytes) -> Any:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines if not line.startswith("host"))
    asked = urllib.request.Request(f"http://{LOOPBACK}:{port}{first.split()[1]}", body or None, headers)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.load(answer)


def _round(service: Service, plan: Plan) -> Iterator[tuple[str, dict[str, float]]]:
    server, port, singles = service.server, service.server.port, drawn(service.one, plan.customers, 1)
    closed(port, singles, 1)
    figures = server.measure(lambda: closed(port, singles, plan.seconds))
    yield "closed", figures
    if plan.wrk:
        yield "wrk", closed_by_wrk(port, service.one([PLACE]), plan.customers, plan.folder, plan.seconds)
    # A server that is slower only adds to its queue: the longer, the worse.
    seconds = plan.seconds if figures["per_s"] > plan.rate else min(plan.seconds, 2)
    yield "fixed", server.measure(lambda: opened(port, singles, seconds, plan.rate))
    yield "steady", _steady(service, singles, figures["per_s"], plan)
    batches = drawn(service.many, plan.customers, BATCH)
    yield "batch", server.measure(lambda: closed(port, batches, plan.seconds, 1))


def _steady(service: Service, singles: Iterator[bytes], most: float, plan: Plan) -> dict[str, float]:
    """The highest rate that it sustains, by steps down from the rate of the closed loop."""
    for step in STEPS:
        rate = round(most * step)
        found = opened(service.server.port, singles, plan.seconds, rate).figures()
        if found["p99"] <= STEADY_MS and not found["failed"]:
            return found | {"per_s": rate}
    return {"per_s": 0.0}


def drawn(ask: Ask, customers: int, count: int) -> Iterator[bytes]:
    """Requests for ``count`` customers each, drawn at random, without end."""
    of = random.Random(count)
    while True:
        yield ask([f"C{of.randrange(customers):07}" for _ in range(count)])


def _median(rounds: list[dict[str, float]], figure: str) -> str:
    values = [each[figure] for each in rounds if figure in each]
    if not values:
        return "–"
    middle = statistics.median(values)
    return f"{middle:,.0f}" if middle >= 100 else f"{middle:.3g}"
