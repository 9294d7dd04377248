"""Generation, then landing files → bronze → silver, against the same work written by hand in Polars.

    python -m tests.bench.bench_ingest --scale 1

Ours reads the files of every day, keeps each record as received in bronze with its position, audits, publishes,
conforms to silver, audits, publishes: 20 Iceberg tables. The peer (``ingest_in_polars``) reads the same files, writes
all columns as text with file and row number to Parquet, types, trims and checks them, splits off what breaks a rule,
keeps one record per key and version, and writes Parquet: no catalog, no audit, no ledger. Both must end with the same
keys. Each is a process of its own; CPU seconds are user + system from after the imports to the end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench import ingest_in_polars
from tests.bench.meter import Meter

ENTITIES = tuple(name.split("/")[1] for name in ingest_in_polars.EXPORTS)


def costs(meter: Meter, rows: int) -> dict[str, Any]:
    """For the parent process."""
    cost = meter.cost
    return {"rows": rows, "cpu_s": cost.cpu, "wall_s": cost.wall, "peak_mb": cost.peak_mb}


def generate(out: Path, scale: float) -> dict[str, Any]:
    """The company without defects, as the demonstration lands it."""
    import mock_data

    with Meter() as meter:
        made = mock_data.generate(out, scale, defects=False, daily_batches=30)
    return costs(meter, made.records)


def ours(landing: Path, home: Path) -> dict[str, Any]:
    """Every file through bronze and silver of a new lakehouse."""
    from datetime import UTC, date, datetime

    from c360.lakehouse import Lakehouse
    from c360.settings import Settings
    from c360_assets.pipeline import bronze, silver
    from c360_assets.quality.audit import audit  # noqa: F401 - imports are not what is measured

    days = sorted({date.fromisoformat(p.name) for p in landing.glob("*/*/*")})
    with Lakehouse(Settings(home=home)) as lake, Meter() as meter:
        rows = 0
        for name in ENTITIES:
            now = datetime.now(UTC)
            rows += bronze.ingest(lake, f"bronze.{name}", landing, days, run_id="bench", ingested_at=now).rows
            silver.refine(lake, f"silver.{name}", run_id="bench")
    return costs(meter, rows)


def theirs(landing: Path, home: Path) -> dict[str, Any]:
    """The same by hand."""
    with Meter() as meter:
        rows = ingest_in_polars.run(landing, home)
    return costs(meter, rows)


def assert_same_keys(ours_home: Path, theirs_home: Path) -> None:
    """Fail unless both hold the same keys and versions."""
    import polars as pl

    from c360.contracts import get_contract
    from c360.lakehouse import Lakehouse
    from c360.settings import Settings

    with Lakehouse(Settings(home=ours_home)) as lake:
        for name in ENTITIES:
            key = list(get_contract(f"silver.{name}").primary_key)
            left = pl.DataFrame(lake.read(f"silver.{name}", columns=key)).select(key).sort(key)
            right = pl.read_parquet(theirs_home / f"silver/{name}.parquet", columns=key).select(key).sort(key)
            if not left.equals(right.cast(left.schema)):
                sys.exit(f"{name}: the keys differ ({left.height} and {right.height} rows)")


def in_process(how: str, *arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.bench.bench_ingest", "--measure", how, *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def report(title: str, cost: dict[str, Any]) -> None:
    rows = cost["rows"]
    print(
        f"{title:<32} {rows:>12,} rows {cost['cpu_s']:7.1f} CPU s {cost['wall_s']:7.1f} s "
        f"{1e6 * cost['cpu_s'] / rows:6.2f} CPU µs/row {rows / cost['wall_s']:>11,.0f} rows/s "
        f"{cost['peak_mb']:6,.0f} MB peak",
        flush=True,
    )


def compare(scale: float, runs: int) -> None:
    """Generate once, then both ``runs`` times in turn."""
    print(f"{os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} at the start; scale {scale:g}")
    with tempfile.TemporaryDirectory() as folder:
        company = Path(folder) / "company"
        for run in range(runs):
            report("generate", in_process("generate", company if run == runs - 1 else Path(folder) / f"c{run}", scale))
        for run in range(runs):
            found = {}
            for how in ("ours", "theirs"):
                home = Path(folder) / f"{how}{run}"
                found[how] = in_process(how, company / "landing", home)
                report("bronze + silver" if how == "ours" else "Polars by hand", found[how])
            assert_same_keys(Path(folder) / f"ours{run}", Path(folder) / f"theirs{run}")
            print(
                f"same keys; {found['ours']['cpu_s'] / found['theirs']['cpu_s']:.2f} times the peer's CPU, "
                f"{found['ours']['wall_s'] / found['theirs']['wall_s']:.2f} times its wall clock",
                flush=True,
            )
            time.sleep(1)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--measure", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not arguments.measure:
        compare(arguments.scale, arguments.runs)
        return
    how, *rest = arguments.measure
    if how == "generate":
        cost = generate(Path(rest[0]), float(rest[1]))
    else:
        cost = {"ours": ours, "theirs": theirs}[how](Path(rest[0]), Path(rest[1]))
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
