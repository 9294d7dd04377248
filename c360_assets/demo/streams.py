"""The demo's second half: the company's events into Kafka, through the streams, and against their ledger."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from c360.contracts.topic import load_topics
from c360.errors import C360Error
from c360.lakehouse import Lakehouse
from c360.streams import parity, repair
from c360.streams.job import LATE, REFUSED, StreamJob, event_jobs
from c360.streams.reconcile import reconcile
from c360.streams.runner import Streams

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from c360.engines.stack import Stack
    from c360.settings import Settings

ENGINES = ("kafka", "flink")
EVENTS = 30_000
START_S, ARRIVE_S = 240.0, 240.0
_POLL_S = 1.0


@dataclass(frozen=True)
class Balance:
    """Messages of one stream by what became of them, and where batch differs (0: nowhere)."""

    messages: int
    accepted: int
    refused: int
    late: int
    silver_differs: int
    windows_differ: int

    @property
    def repeated(self) -> int:
        """Messages that brought nothing new."""
        return self.messages - self.accepted - self.refused


def show_streams(settings: Settings, stack: Stack, console: Console) -> bool:
    """Play, wait until every message is in Iceberg, and print the balance; True if it agrees with the ledger."""
    console.rule("Streams")
    console.print("Starting Kafka and Flink")
    stack.up(*ENGINES, exist_ok=True)
    _apply_topics(settings)
    streams = Streams(settings, event_jobs())
    try:
        console.print(f"Playing {EVENTS:,} events of the company, repeated, late and broken ones among them")
        player = _player(settings)
        try:
            start_wanted(streams)
            failed = player.wait()
        finally:
            player.terminate()
        if failed:
            raise C360Error("The events could not be played", "read the message above")
        truth = _truth(settings.home / "truth" / "stream")
        with Lakehouse(settings) as lake:
            _await(streams, lake, truth)
            balances = {name: _balance(lake, job) for name, job in streams.jobs.items()}
            return _print(streams, balances, truth, console)
    finally:
        streams.close()


def _apply_topics(settings: Settings) -> None:
    from c360.events import KafkaAdminManager

    admin = KafkaAdminManager(settings.kafka_servers)
    admin.apply(admin.plan(load_topics().values()))


def _player(settings: Settings) -> subprocess.Popen[bytes]:
    # Without the registry: the contracts themselves decide what may be published.
    command = [sys.executable, "-m", "mock_data.stream", "--no-registry", "--json", "--limit", str(EVENTS)]
    command += ["--scale", str(settings.scale), "--seed", str(settings.seed)]
    command += ["--start", settings.start_date.isoformat(), "--days", str(settings.days)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def start_wanted(streams: Streams) -> None:
    """What the reconciling sensor does, without waiting for its ticks; leaves alone what a person has stopped."""
    deadline = time.monotonic() + START_S
    while True:
        outcomes = [reconcile(streams, name) for name in streams.jobs]
        if all(outcome.action.kind == "leave" for outcome in outcomes):
            return
        if time.monotonic() > deadline:
            waiting = next(outcome for outcome in outcomes if outcome.action.kind != "leave")
            raise C360Error(
                f"Stream {waiting.stream} does not run: {waiting.error or waiting.action.reason}",
                "see `c360 streams status`",
            )
        time.sleep(_POLL_S)


def _truth(folder: Path) -> dict[str, Counter[str]]:
    """Counts by topic of every play into this home."""
    found: dict[str, Counter[str]] = {}
    for path in sorted(folder.glob("*/counts.json")):
        for topic, counts in json.loads(path.read_text(encoding="utf-8"))["topics"].items():
            found.setdefault(topic, Counter()).update(counts)
    return found


def _await(streams: Streams, lake: Lakehouse, truth: dict[str, Counter[str]]) -> None:
    deadline = time.monotonic() + ARRIVE_S
    while True:
        short = {
            name: truth[job.inputs[0]]["sent"] - lake.row_count(job.bronze.name)
            for name, job in streams.jobs.items()
            if job.inputs[0] in truth and lake.row_count(job.bronze.name) < truth[job.inputs[0]]["sent"]
        }
        if not short:
            break
        if time.monotonic() > deadline:
            raise C360Error(f"Messages are missing in bronze: {short}", "see `c360 streams status`")
        for name in streams.jobs:
            reconcile(streams, name)
        time.sleep(_POLL_S)
    # Tables of one checkpoint are committed one after another, the windows with the next one.
    time.sleep(max(job.checkpoint_seconds for job in streams.jobs.values()) + 2 * _POLL_S)


def _balance(lake: Lakehouse, job: StreamJob) -> Balance:
    repair.fold(lake, job, "demo")
    where = f"source_topic = '{job.inputs[0]}'"
    refused, late = (lake.read(table, columns=["kafka_offset"], where=where).num_rows for table in (REFUSED, LATE))
    return Balance(
        lake.row_count(job.bronze.name),
        lake.row_count(job.silver.name),
        refused,
        late,
        parity.silver_parity(lake, job).total,
        parity.metrics_parity(lake, job).total,
    )


def _print(streams: Streams, balances: dict[str, Balance], truth: dict[str, Counter[str]], console: Console) -> bool:
    table = Table(title="Streams: messages = accepted + repeated + refused; batch computes the same again")
    for name in ("stream", "state", "lag", "messages", "accepted", "late", "repeated", "refused", "ledger", "batch"):
        table.add_column(name, justify="left" if name in ("stream", "state", "ledger", "batch") else "right")
    fine = True
    for name, found in balances.items():
        topic = streams.jobs[name].inputs[0]
        stated = truth.get(topic, Counter[str]())
        wanted = tuple(stated[key] for key in ("sent", "accepted", "deduplicated", "rejected", "late"))
        agrees = wanted == (found.messages, found.accepted, found.repeated, found.refused, found.late)
        equal = not found.silver_differs and not found.windows_differ
        fine = fine and agrees and equal
        jobs = streams.look(name).active
        lag = streams.flink.lag(jobs[0].id).pending if jobs else None
        table.add_row(
            name,
            jobs[0].state if jobs else "stopped",
            "-" if lag is None else f"{lag:,}",
            *(f"{n:,}" for n in (found.messages, found.accepted, found.late, found.repeated, found.refused)),
            "[green]agrees[/green]" if agrees else "[red]DIFFERS[/red]",
            "[green]equal[/green]" if equal else f"[red]{found.silver_differs + found.windows_differ} differ[/red]",
        )
    console.print(table)
    return fine
