"""``python -m c360_assets.demo``: what ``make demo`` runs. Exit code 0 only if every asset and check passed."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from rich.console import Console

from c360.engines.exclusive import exclusive
from c360.engines.stack import Stack
from c360.errors import C360Error
from c360.settings import Settings
from c360_assets.demo.faults import storage_named
from c360_assets.demo.report import show
from c360_assets.demo.run import build, landed_days

DAILY_BATCHES = 30


def main() -> int:
    """Start the stack, generate, build, report."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--no-ui", action="store_true", help="do not start the Dagster UI; stop Spark at the end")
    arguments.add_argument("--daily-batches", type=int, default=DAILY_BATCHES, help="days that land one by one")
    options = arguments.parse_args()
    console = Console()
    try:
        settings = Settings()
        # Two at once would stop each other's Spark and wait for each other's tables until both give up.
        with exclusive(settings.home, "demo", "demo", patience=0.5), storage_named(settings.home):
            return _demo(settings, console, with_ui=not options.no_ui, daily_batches=options.daily_batches)
    except C360Error as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped. What was published stays; `make demo` goes on from there, `make down` ends it.")
        return 130


def _demo(settings: Settings, console: Console, *, with_ui: bool, daily_batches: int) -> int:
    began = time.monotonic()
    stack = Stack(settings)
    console.rule("Customer 360")
    console.print("Starting Spark" + (" and the Dagster UI" if with_ui else ""))
    stack.up("spark", *(("dagster",) if with_ui else ()), exist_ok=True)
    try:
        console.print(f"Generating a company: scale {settings.scale:g}, {settings.days} days, seed {settings.seed}")
        _generate(settings, daily_batches)
        first, last = landed_days(settings.landing_dir)
        outcome = build(settings, first, last, console)
        passed = show(settings, outcome, console, seconds=time.monotonic() - began, with_ui=with_ui)
    finally:
        if not with_ui:
            stack.down()
    return 0 if passed else 1


def _generate(settings: Settings, daily_batches: int) -> None:
    # As a process of its own: the generator is a room beside this one, and its memory goes with it.
    command = [
        *(sys.executable, "-m", "mock_data", "--out", str(settings.home)),
        *("--scale", str(settings.scale), "--seed", str(settings.seed)),
        *("--start", settings.start_date.isoformat(), "--days", str(settings.days)),
        *("--daily-batches", str(daily_batches)),
    ]
    finished = subprocess.run(command, check=False)
    if finished.returncode:
        raise C360Error("The mock data could not be generated", "read the message above")


if __name__ == "__main__":
    sys.exit(main())
