"""``python -m c360_assets.demo``: what ``make demo`` runs. Exit code 0 only if every asset and check passed."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from rich.console import Console

from c360.engines.exclusive import exclusive
from c360.engines.stack import Stack
from c360.errors import C360Error
from c360.settings import Settings
from c360_assets.demo.api import show_api
from c360_assets.demo.faults import storage_named
from c360_assets.demo.features import show_parity, start_features
from c360_assets.demo.report import show
from c360_assets.demo.run import build, landed_days
from c360_assets.demo.streams import show_streams

DAILY_BATCHES = 30


def main() -> int:
    """Start the stack, generate, build, report."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--no-ui", action="store_true", help="do not start the Dagster UI; stop Spark at the end")
    arguments.add_argument("--no-streams", action="store_true", help="leave out Kafka, Flink and what they do")
    arguments.add_argument("--daily-batches", type=int, default=DAILY_BATCHES, help="days that land one by one")
    options = arguments.parse_args()
    console = Console()
    try:
        settings = Settings()
        # Two at once would stop each other's Spark and wait for each other's tables until both give up.
        with exclusive(settings.home, "demo", "demo", patience=0.5), storage_named(settings.home):
            return _demo(
                settings,
                console,
                with_ui=not options.no_ui,
                with_streams=not options.no_streams,
                daily_batches=options.daily_batches,
            )
    except C360Error as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped. What was published stays; `make demo` goes on from there, `make down` ends it.")
        return 130


def _demo(settings: Settings, console: Console, *, with_ui: bool, with_streams: bool, daily_batches: int) -> int:
    began = time.monotonic()
    stack = Stack(settings)
    console.rule("Customer 360")
    console.print(f"Generating a company: scale {settings.scale:g}, {settings.days} days, seed {settings.seed}")
    console.print("Starting Spark" + (" and the Dagster UI" if with_ui else ""))
    with ExitStack() as ends:
        # Most of a start is waiting for Spark: the time is enough for the generator and for slow imports.
        with _generator(settings, daily_batches) as generated, ThreadPoolExecutor(1) as aside:
            aside.submit(_preload)
            stack.up("spark", *(("dagster",) if with_ui else ()), exist_ok=True)
            if not with_ui:
                ends.callback(stack.down)
            console.print(generated(), highlight=False, end="")
        first, last = landed_days(settings.landing_dir)
        outcome = build(settings, first, last, console)
        streamed = not with_streams or show_streams(settings, stack, console)
        passed = show(settings, outcome, console, seconds=time.monotonic() - began, with_ui=with_ui) and streamed
        if with_streams:
            start_features(settings, stack, console)
        passed = outcome.succeeded and show_api(settings, stack, console, with_streams=with_streams) and passed
        passed = (not with_streams or show_parity(settings, console)) and passed
    return 0 if passed else 1


def _preload() -> None:
    """Imports that the first assets would otherwise wait for."""
    import great_expectations  # noqa: F401
    import pyspark.sql.connect.session  # noqa: F401

    import c360_assets.definitions
    import c360_assets.pipeline.bronze
    import c360_assets.pipeline.silver  # noqa: F401


@contextmanager
def _generator(settings: Settings, daily_batches: int) -> Iterator[Callable[[], str]]:
    """The generator at work; the function waits for it and returns what it says. Leaving the block ends it."""
    # As a process of its own: the generator is a room beside this one, and its memory goes with it.
    command = [
        *(sys.executable, "-m", "mock_data", "--out", str(settings.home)),
        *("--scale", str(settings.scale), "--seed", str(settings.seed)),
        *("--start", settings.start_date.isoformat(), "--days", str(settings.days)),
        *("--daily-batches", str(daily_batches)),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:

        def finish() -> str:
            said, _ = process.communicate()
            if process.returncode:
                raise C360Error("The mock data could not be generated", "read the message above")
            return said

        try:
            yield finish
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.exit(main())
