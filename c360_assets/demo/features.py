"""The demo's third part: the shop's database through capture, streams of features and store, and one order followed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.table import Table

from c360.cdc import manage
from c360.engines.postgres import connect
from c360.errors import C360Error
from c360.features.manage import install as install_features
from c360.features.reading import FeatureReader
from c360.streams.job import load_jobs
from c360.streams.runner import Streams
from c360_assets.demo.run import run_job
from c360_assets.demo.streams import start_wanted

if TYPE_CHECKING:
    from rich.console import Console

    from c360.engines.stack import Stack
    from c360.settings import Settings

JOB = "feature_parity"
ARRIVE_S, SEEN_S = 240.0, 30.0
ORDERS = 3
"""Orders that are placed and followed, one after another."""

WITHIN_S = 1.0
_POLL_S = 0.5


@dataclass(frozen=True)
class Followed:
    """An order that was placed: what the API said of the customer before and after, and how long that took."""

    order_id: str
    before: dict[str, Any] | None
    after: dict[str, Any]
    seconds: float


def start_features(settings: Settings, stack: Stack, console: Console) -> None:
    """Bring up capture, store and the jobs, and the company into an empty shop; returns when all of it has arrived."""
    console.rule("Features")
    console.print("Starting PostgreSQL, Kafka Connect with Debezium, DynamoDB Local and the sink")
    stack.up("cdc", "features", exist_ok=True)
    install_features(settings)
    manage.install(settings)
    if _empty(settings):
        console.print("Loading the company into the shop's database; the streams begin with all that is there")
        _command(settings, "mock_data.shop", "--load")
    jobs = {name: job for name, job in load_jobs().items() if not job.events}
    streams = Streams(settings, jobs)
    try:
        start_wanted(streams)
        _await(settings, streams)
    finally:
        streams.close()


def follow_orders(settings: Settings, address: str, key: str, customer: str, console: Console) -> bool:
    """Place orders of one customer, and time how long each takes from commit to the API; True if all were seen."""
    table = Table(title=f"Orders of {customer}: committed in PostgreSQL → features in the API")
    for name in ("order", "orders", "spend", "segment", "seen after"):
        table.add_column(name, justify="left" if name in ("order", "segment") else "right")
    for _ in range(ORDERS):
        found = _follow(settings, address, key, customer)
        if found is None:
            console.print(f"[red]No feature changed within {SEEN_S:.0f} s: see `c360 streams status`[/red]")
            return False
        before = found.before or {"orders": 0, "spend": "0.00", "segment": "none"}
        colour = "green" if found.seconds < WITHIN_S else "yellow"
        table.add_row(
            found.order_id,
            *(f"{before[name]} → {found.after[name]}" for name in ("orders", "spend", "segment")),
            f"[{colour}]{found.seconds * 1000:,.0f} ms[/{colour}]",
        )
    console.print(table)
    return True


def _follow(settings: Settings, address: str, key: str, customer: str) -> Followed | None:
    import httpx

    with httpx.Client(headers={"x-api-key": key}, timeout=10) as client:

        def now() -> dict[str, Any] | None:
            answer = client.get(address)
            found = answer.json()["data"]["features"]["segment"] if answer.is_success else None
            return found if isinstance(found, dict) else None

        before = now()
        known = int(before["orders"]) if before else 0
        placed: dict[str, Any] = {}
        placing = threading.Thread(target=lambda: placed.update(_command(settings, "mock_data.shop_order", customer)))
        placing.start()
        deadline, after = time.monotonic() + SEEN_S, before
        while time.monotonic() < deadline:
            after = now()
            if after is not None and int(after["orders"]) > known:
                break
            time.sleep(0.01)
        seen = time.time()
        placing.join(SEEN_S)
    if not placed or after is None or int(after["orders"]) <= known:
        return None
    committed = datetime.fromisoformat(placed["committed_at"]).timestamp()
    return Followed(str(placed["order_id"]), before, after, max(0.0, seen - committed))


def _empty(settings: Settings) -> bool:
    with closing(connect(settings)) as session, session.cursor() as cursor:
        cursor.execute("SELECT NOT EXISTS (SELECT 1 FROM public.orders) AND NOT EXISTS (SELECT 1 FROM public.products)")
        row = cursor.fetchone()
    return bool(row and row[0])


def _command(settings: Settings, module: str, *arguments: str) -> dict[str, Any]:
    """What a command of the generator says as JSON: it is a room beside this one."""
    command = [sys.executable, "-m", module, *arguments, "--json"]
    if module == "mock_data.shop":
        command += ["--scale", str(settings.scale), "--seed", str(settings.seed)]
        command += ["--start", settings.start_date.isoformat(), "--days", str(settings.days)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise C360Error(f"{module} failed ({done.stderr.strip()[-500:]})", "read that")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _await(settings: Settings, streams: Streams) -> None:
    """Until capture, jobs and sink have nothing left to read."""
    deadline, quiet = time.monotonic() + ARRIVE_S, 0
    reader = FeatureReader(settings)
    try:
        while quiet < 3:
            if time.monotonic() > deadline:
                raise C360Error("The features have not come up to the shop", "see `c360 streams status`")
            looks = [streams.look(name) for name in streams.jobs]
            wanted = [look.active for look in looks if look.wanted == "running"]
            pending = [streams.flink.lag(jobs[0].id).pending if jobs else None for jobs in wanted]
            capture = manage.observe(settings)
            live, _ = reader.ask(lambda: None, None)
            done = capture.healthy and all(count == 0 for count in pending) and live.state == "live" and not live.unread
            quiet = quiet + 1 if done else 0
            time.sleep(_POLL_S)
    finally:
        reader.close()


def show_parity(settings: Settings, console: Console) -> bool:
    """Bring silver up to the shop and compare every feature with batch; True if all of it is equal."""
    outcome = run_job(settings, JOB, console)
    table = Table("table", "check", "verdict", title="The shop in silver, and features compared with batch")
    for (asset, check), passed in sorted(outcome.checks.items()):
        table.add_row(asset.replace("/", "."), check, "[green]passed[/green]" if passed else "[red]FAILED[/red]")
    console.print(table)
    for step, message in outcome.failures.items():
        console.print(f"[red]{step.replace('__', '.')}: {message.strip()}[/red]", highlight=False)
    good = sum(outcome.checks.values())
    console.print(f"{good} of {len(outcome.checks)} checks of the shop and its features passed")
    return outcome.succeeded and good == len(outcome.checks) > 0
