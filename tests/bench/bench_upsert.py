"""Upsert by key: ``Lakehouse`` merge against PyIceberg's own ``Table.upsert``, on the same rows, in the same run.

    python -m tests.bench.bench_upsert                          # 1M changed rows into 10M; the peer at 100K into 1M
    python -m tests.bench.bench_upsert --peer-rows 10000000 --peer-changed 1000000     # the peer alone takes 10 minutes

One changed row in ten is new, the others replace existing ones (``--new``).
``spread`` keys are drawn from the whole table, so that every file must be rewritten: the worst case of copy-on-write.
``recent`` keys lie in the newest tenth of the table, as a day's changes do. Each measurement is a process of its own:
CPU seconds are user + system of that process, peak memory its largest resident set.
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

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from c360.contracts import Column, Contract, to_arrow
from c360.lakehouse import Commit, Lakehouse
from c360.settings import Settings

NAME = "silver.bench"
CONTRACT = Contract(
    name=NAME,
    layer="silver",
    table="bench",
    version="1.0.0",
    domain="bench",
    owner="bench",
    description="rows of an upsert benchmark",
    columns=(
        Column("id", "string", required=True),
        Column("customer", "long"),
        Column("status", "string"),
        Column("amount", "double"),
        Column("note", "string"),
        Column("updated_at", "timestamp"),
    ),
    primary_key=("id",),
)
STATUS = pa.array(["placed", "paid", "shipped", "completed", "cancelled", "returned"])


def rows(numbers: np.ndarray, seed: int) -> pa.Table:
    """One row per number; the key sorts like the number, the rest is random."""
    random = np.random.default_rng(seed)
    size = len(numbers)
    return pa.table(
        {
            "id": pc.binary_join_element_wise("ord-", pc.utf8_lpad(pa.array(numbers).cast(pa.string()), 12, "0"), ""),
            "customer": pa.array(random.integers(0, 1_000_000, size)),
            "status": STATUS.take(random.integers(0, len(STATUS), size)),
            "amount": pa.array(random.random(size).round(4) * 1000),
            "note": pc.binary_join_element_wise(  # type: ignore[call-overload]
                "note ", pa.array(random.integers(0, 10**9, size)).cast(pa.string()), ""
            ),
            "updated_at": pa.array(
                random.integers(1_600_000_000, 1_700_000_000, size) * 1_000_000, pa.timestamp("us", "UTC")
            ),
        },
        schema=to_arrow(CONTRACT),
    )


def fill(home: Path, size: int) -> None:
    """A table of ``size`` rows with ascending keys, in files of a million rows."""
    with Lakehouse(Settings(home=home)) as lake:
        lake.ensure(CONTRACT)
        with lake.stage(NAME, Commit("fill")) as staged:
            for start in range(0, size, 1_000_000):
                staged.append(rows(np.arange(start, min(size, start + 1_000_000)), start))
            staged.publish()


def changed(size: int, count: int, new: float, keys: str) -> pa.Table:
    """The rows to upsert, in random order."""
    random = np.random.default_rng(7)
    fresh = int(count * new)
    first = 0 if keys == "spread" else int(size * 0.9)
    old = random.choice(np.arange(first, size), min(count - fresh, size - first), replace=False)
    numbers = np.concatenate([old, np.arange(size, size + count - len(old))])
    return rows(random.permutation(numbers), 99)


def measure(how: str, home: Path, size: int, count: int, new: float, keys: str) -> dict[str, float]:
    """Upsert once by ``how`` (``merge`` or ``upsert``) and return what it cost, without making the rows."""
    incoming = changed(size, count, new, keys)
    with Lakehouse(Settings(home=home)) as lake:
        lake.table(NAME)
        before = peak_mb()
        started, cpu = time.perf_counter(), time.process_time()
        if how == "merge":
            with lake.stage(NAME, Commit("merge")) as staged:
                staged.merge(incoming, ["id"])
                staged.publish()
        else:
            lake.table(NAME).upsert(incoming, join_cols=["id"])
        cpu, wall = time.process_time() - cpu, time.perf_counter() - started
    return {"cpu_s": cpu, "wall_s": wall, "peak_mb": peak_mb(), "before_mb": before, "rows": incoming.num_rows}


def peak_mb() -> float:
    """Largest resident set of this process so far; ``ru_maxrss`` would include its parent's at the fork."""
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def fingerprint(home: Path) -> tuple[int, str]:
    """Row count and a digest of all rows in key order."""
    import hashlib

    import polars as pl

    with Lakehouse(Settings(home=home)) as lake:
        frame = pl.from_arrow(lake.read(NAME))
    assert isinstance(frame, pl.DataFrame)
    hashes = frame.sort("id").hash_rows(seed=1).to_numpy()
    return frame.height, hashlib.sha256(hashes.tobytes()).hexdigest()


def in_process(how: str, home: Path, size: int, count: int, new: float, keys: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", how, "--home", str(home), "--rows", str(size)]
    command += ["--changed", str(count), "--new", str(new), "--keys", keys]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=3600)
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def report(title: str, cost: dict[str, float]) -> None:
    """One line per measurement."""
    per_cpu, per_s = cost["rows"] / cost["cpu_s"], cost["rows"] / cost["wall_s"]
    print(
        f"{title:<44} {cost['cpu_s']:7.1f} CPU s {cost['wall_s']:7.1f} s {per_cpu:10,.0f} rows/CPU s "
        f"{per_s:10,.0f} rows/s {cost['peak_mb']:6,.0f} MB peak ({cost['before_mb']:,.0f} before)",
        flush=True,
    )


def ratio(ours: dict[str, float], theirs: dict[str, float]) -> str:
    """How many times the peer's rate ours is, by CPU and by wall clock."""
    cpu, wall = (ours["rows"] / ours[c] / (theirs["rows"] / theirs[c]) for c in ("cpu_s", "wall_s"))
    return f"{cpu:.1f}x by CPU, {wall:.1f}x by the clock"


def compare(arguments: argparse.Namespace) -> None:
    """Fill, upsert by both, compare results and rates."""
    print(
        f"{os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} at the start; {arguments.new:.0%} of the rows are new"
    )
    size, count = arguments.peer_rows, arguments.peer_changed
    for keys in arguments.keys.split(","):
        with tempfile.TemporaryDirectory() as folder:
            costs, found = {}, {}
            for how in ("merge", "upsert"):
                home = Path(folder) / how
                fill(home, size)
                costs[how] = in_process(how, home, size, count, arguments.new, keys)
                found[how] = fingerprint(home)
                report(f"{keys}: {how} {count:,} into {size:,}", costs[how])
            if found["merge"] != found["upsert"]:
                sys.exit("the two upserts differ")
            print(
                f"{keys}: same {found['merge'][0]:,} rows; merge is {ratio(costs['merge'], costs['upsert'])}",
                flush=True,
            )
            if (arguments.rows, arguments.changed) != (size, count):
                home = Path(folder) / "large"
                fill(home, arguments.rows)
                cost = in_process("merge", home, arguments.rows, arguments.changed, arguments.new, keys)
                report(f"{keys}: merge {arguments.changed:,} into {arguments.rows:,}", cost)
                print(
                    f"{keys}: against the peer's rate at its smaller size: {ratio(cost, costs['upsert'])}", flush=True
                )


def main() -> None:
    """Run the comparison, or one measurement for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--changed", type=int, default=1_000_000)
    parser.add_argument("--peer-rows", type=int, default=1_000_000)
    parser.add_argument("--peer-changed", type=int, default=100_000)
    parser.add_argument("--new", type=float, default=0.1)
    parser.add_argument("--keys", default="spread,recent")
    parser.add_argument("--measure", choices=["merge", "upsert"])
    parser.add_argument("--home", type=Path)
    arguments = parser.parse_args()
    if arguments.measure:
        cost = measure(
            arguments.measure, arguments.home, arguments.rows, arguments.changed, arguments.new, arguments.keys
        )
        print(json.dumps(cost))
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
