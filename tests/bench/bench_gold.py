"""Gold at scale: full build, refresh after one new day, a hand-written PySpark script and DuckDB doing the same.

    python -m tests.bench.bench_gold --scale 1                         # a minute of generation and landing first
    python -m tests.bench.bench_gold --scale 10 --keep /tmp/bench      # a second run begins from what was landed
    python -m tests.bench.bench_gold --scale 1 --verify                # rows against a full rebuild and the script

CPU seconds are user + system of this process and of the Spark server together. Imports and the start of the server are
measured apart. The full build and the refresh are what a run of all gold assets does without Dagster: build, audit and
publish, table by table, on one server that has done nothing before the full build.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c360.contracts import get_contract, load_contracts, to_arrow
from c360.engines.spark import session
from c360.engines.stack import Stack
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from c360_assets.gold import GOLD, build_gold
from c360_assets.specs import is_conformed
from tests.bench.meter import Cost, Meter

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from pyspark.sql import SparkSession

START = date(2024, 1, 1)
GOAL = 20


class Bench:
    """A generated company, its lake, and the states of the catalog to come back to."""

    def __init__(self, folder: Path, scale: float, days: int) -> None:
        from tests.conftest import free_port

        self.folder, self.scale, self.days = folder, scale, days
        self.settings = Settings(home=folder / "home", spark_port=free_port(), landing=folder / "company" / "landing")
        self.lake = Lakehouse(self.settings)
        self.last = START + timedelta(days=days - 1)

    def as_of(self, *, complete: bool) -> datetime:
        """Midnight after the last landed day: with or without the new one."""
        return datetime.combine(self.last + timedelta(days=1 if complete else 0), time(), UTC)

    def state(self, name: str) -> Path:
        """A copy of the catalog; data files are never changed, so it is all that a state needs."""
        return self.folder / f"{name}.db"

    def save(self, name: str) -> None:
        _copy_database(self.folder / "home" / "catalog.db", self.state(name))

    def restore(self, name: str) -> None:
        _copy_database(self.state(name), self.folder / "home" / "catalog.db")

    def generate(self) -> None:
        import mock_data

        mock_data.generate(
            self.folder / "company", self.scale, start=START, days=self.days, defects=False, daily_batches=2
        )

    def land(self, *, new_day: bool) -> None:
        """Bronze and silver of the history, or of the new day after it."""
        from c360_assets.pipeline import bronze, silver

        days = [self.last] if new_day else [self.last - timedelta(days=1)]
        for name, contract in load_contracts().items():
            if is_conformed(contract):
                [source] = contract.upstream
                landing = self.settings.landing_dir
                bronze.ingest(self.lake, source, landing, days, run_id="bench", ingested_at=datetime.now(UTC))
                silver.refine(self.lake, name, run_id="bench")

    def build(self, spark: SparkSession, pid: int, *, complete: bool, full: bool = False) -> dict[str, Cost]:
        """All gold tables, audited and published; the cost of each and of ``all``."""
        from c360_assets.pipeline.publication import audit_and_publish

        costs = {}
        with Meter([pid]) as whole:
            for name in GOLD:
                with (
                    Meter([pid]) as meter,
                    build_gold(
                        self.lake,
                        spark,
                        name,
                        as_of=self.as_of(complete=complete),
                        full_refresh=full,
                        commit_run_id="bench",
                    ) as build,
                ):
                    if build.staged is not None:
                        audit_and_publish(build.staged, get_contract(name))
                costs[name] = meter.cost
                phases = " ".join(f"{phase} {seconds:.1f}" for phase, seconds in build.seconds.items())
                line(f"  {name} ({build.mode}, {build.rows:,} rows)", meter.cost, phases)
        return {**costs, "all": whole.cost}

    def rows(self) -> dict[str, pa.Table]:
        """Every gold table, sorted by its key."""
        found = {}
        for name in GOLD:
            contract = get_contract(name)
            rows = self.lake.read(name).cast(to_arrow(contract))
            found[name] = rows.sort_by([(column, "ascending") for column in contract.primary_key])
        return found

    @contextmanager
    def spark(self) -> Iterator[tuple[SparkSession, int]]:
        """A fresh server, and a session on it."""
        import psutil

        stack = Stack(self.settings)
        with ExitStack() as running:
            with Meter() as meter:
                running.enter_context(stack.running("spark"))
            [engine] = [status for status in stack.status() if status.name == "spark"]
            times = psutil.Process(engine.pid).cpu_times()
            print(f"spark server started: {times.user + times.system:.1f} CPU s, {meter.cost.wall:.1f} s", flush=True)
            with session(self.settings) as spark:
                yield spark, engine.pid


def _copy_database(source: Path, target: Path) -> None:
    """Through SQLite, because the server keeps the file open."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def line(title: str, cost: Cost, more: str = "") -> None:
    """One measurement."""
    print(
        f"{title:<62} {cost.cpu:7.1f} CPU s (engine {cost.engine_cpu:6.1f}) {cost.wall:7.1f} s "
        f"{cost.peak_mb:6,.0f} MB peak (engine {cost.engine_mb:5,.0f}) {more}",
        flush=True,
    )


def ratio(slow: Cost, fast: Cost) -> str:
    """How many times faster."""
    return f"{slow.cpu / fast.cpu:.1f}x by CPU, {slow.wall / fast.wall:.1f}x by the clock"


def compare(bench: Bench, arguments: argparse.Namespace) -> None:
    """Prepare what is missing, then measure."""
    state = {"scale": bench.scale, "days": bench.days}
    print(f"{json.dumps(state)}; {os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} at the start", flush=True)
    if not bench.state("landed").exists():
        child("generate", arguments)
        child("history", arguments)
    _import_all()
    with bench.spark() as (spark, pid):
        if arguments.refresh_only:
            bench.restore("built")
            full = None
        else:
            bench.restore("landed")
            full = bench.build(spark, pid, complete=False)["all"]
            line("gold full build, on a fresh server", full)
            child("day", arguments)
            bench.save("built")
        for _ in range(1 + arguments.again):
            bench.restore("built")
            refresh = bench.build(spark, pid, complete=True)["all"]
            line("gold refresh after one day", refresh, ratio(full, refresh) if full else "")
        if arguments.verify:
            verify(bench, spark, pid)
        if arguments.again and full:
            bench.restore("landed")
            warm = bench.build(spark, pid, complete=False)["all"]
            line("gold full build, once more on the same server", warm, ratio(warm, refresh))
    if full:
        print(f"refresh: {ratio(full, refresh)}; goal {GOAL}x", flush=True)
    if arguments.peers:
        peers(bench, full, verify=arguments.verify)


def verify(bench: Bench, spark: SparkSession, pid: int) -> None:
    """A refresh must give the rows of a full rebuild."""
    refreshed = bench.rows()
    print("full rebuild of the same state, to compare rows:", flush=True)
    bench.build(spark, pid, complete=True, full=True)
    differing = [name for name, rows in bench.rows().items() if not rows.equals(refreshed[name])]
    if differing:
        sys.exit(f"refresh and full rebuild differ in {', '.join(differing)}")
    print(f"refresh = full rebuild, row for row: {sum(r.num_rows for r in refreshed.values()):,} rows", flush=True)


def peers(bench: Bench, full: Cost | None, *, verify: bool) -> None:
    """The script by hand, and DuckDB, on what the full build read."""
    from tests.bench import gold_in_duckdb, gold_in_pyspark
    from tests.oracle.compare import assert_same_rows
    from tests.oracle.gold import KEYS

    bench.restore("landed")
    as_of = bench.as_of(complete=False)
    files = {
        name.partition(".")[2]: [task.file.file_path for task in bench.lake.table(name).scan().plan_files()]
        for name, contract in load_contracts().items()
        if is_conformed(contract)
    }
    with tempfile.TemporaryDirectory(dir=bench.folder) as scratch:
        with bench.spark() as (spark, pid), Meter([pid]) as meter:
            gold_in_pyspark.build(spark, Path(scratch) / "spark", as_of)
        line("one PySpark script, on a fresh server", meter.cost, f"ours: {ratio(meter.cost, full)}" if full else "")
        with Meter() as meter:
            gold_in_duckdb.build(files, Path(scratch) / "duckdb", as_of, bench.settings.spark_cores)
        line("DuckDB", meter.cost)
        if verify:
            import pyarrow.parquet as pq

            if full is None:
                return
            bench.restore("built")
            for name in gold_in_pyspark.TABLES:
                key = KEYS[name]
                theirs = pq.read_table(Path(scratch) / "spark" / name, coerce_int96_timestamp_unit="us")
                ours = bench.lake.read(f"gold.{name}")
                theirs = theirs.select(ours.column_names)
                assert_same_rows(ours, theirs, list(key), name=name)
            print("the script's rows = the full build's", flush=True)


def _import_all() -> None:
    """What a step imports once per process, so that no table pays for it."""
    with Meter() as meter:
        for name in ("great_expectations", "duckdb", "tests.oracle.gold"):
            importlib.import_module(name)
    line("imports", meter.cost)


def child(what: str, arguments: argparse.Namespace) -> None:
    """Preparation in a process of its own, which gives its memory back."""
    command = [sys.executable, "-m", "tests.bench.bench_gold", "--step", what, "--keep", str(arguments.keep)]
    command += ["--scale", str(arguments.scale), "--days", str(arguments.days)]
    subprocess.run(command, check=True, timeout=3600)


def step(bench: Bench, what: str) -> None:
    """One preparation."""
    steps: dict[str, Any] = {
        "generate": bench.generate,
        "history": lambda: bench.land(new_day=False),
        "day": lambda: bench.land(new_day=True),
    }
    with Meter() as meter:
        steps[what]()
    if what == "history":
        bench.save("landed")
    line({"generate": "generation", "history": "landing the history", "day": "landing the new day"}[what], meter.cost)


def main() -> None:
    """Run the comparison, or one preparation for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=10)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--keep", type=Path, help="folder for data that later runs use again")
    parser.add_argument("--again", type=int, default=0, help="repeat the refresh so often")
    parser.add_argument("--verify", action="store_true", help="compare rows with a full rebuild and with the script")
    parser.add_argument("--refresh-only", action="store_true", help="begin from the state that an earlier run kept")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    parser.add_argument("--step", choices=["generate", "history", "day"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        arguments.keep = (arguments.keep or Path(scratch)).resolve()
        bench = Bench(arguments.keep, arguments.scale, arguments.days)
        if arguments.step:
            step(bench, arguments.step)
        else:
            compare(bench, arguments)


if __name__ == "__main__":
    main()
