"""Kafka to bronze, silver, dead letters and five-minute windows, exactly once: the job ``events`` on real engines.

    python -m tests.bench.bench_streams --events 5000000 --peers

Messages are published first, then the job starts: what is measured is from its first task running to the last row
visible in Iceberg, and the CPU seconds of Flink within. A first run over a tenth of them warms the JVM.

With ``--peers`` Spark Structured Streaming and a script by hand then read the same topic into the same tables, each in
a process of its own. Rows and sums are compared with what was sent. Engines run in a temporary home of their own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import psutil

from c360.contracts.topic import load_topics
from c360.engines.flink_sql import sql_session
from c360.engines.stack import Stack
from c360.events import KafkaAdminManager
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from c360.streams.flink import FlinkClient
from c360.streams.job import StreamJob
from c360.streams.sql import statements
from tests.bench.stream_messages import SPAN_MS, Sent, publish
from tests.bench.stream_watch import JOB, Wanted, fresh_tables, watch
from tests.conftest import free_ports


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--parallelism", type=int, default=2)
    parser.add_argument("--checkpoint", type=float, default=10.0, help="seconds between checkpoints")
    parser.add_argument("--memory", type=int, default=4096, help="MB of the TaskManager")
    parser.add_argument("--cold", action="store_true", help="without the warming run")
    parser.add_argument("--peers", action="store_true", help="measure the two peers too")
    parser.add_argument("--only", choices=["ours", "spark", "python"], help="one contestant")
    parser.add_argument("--spark-batch", type=int, default=1_000_000, help="messages of a batch of the Spark peer")
    options = parser.parse_args()
    ports = free_ports()
    job = replace(JOB, parallelism=options.parallelism, checkpoint_seconds=options.checkpoint)
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as folder:
        home = {"home": folder, "kafka_port": ports["kafka_port"]}
        settings = Settings.model_validate(
            {**home, "flink_slots": options.parallelism, "flink_memory_mb": options.memory, **ports}
        )
        stack = Stack(settings)
        chosen = {options.only} if options.only else {"ours", "spark", "python"} if options.peers else {"ours"}
        with stack.running("kafka"), Lakehouse(settings) as lake:
            admin = KafkaAdminManager(settings.kafka_servers)
            admin.apply(admin.plan(load_topics().values()))
            parts = [] if options.cold else [_publish(settings, options.events // 10, warming=True)]
            found: dict[str, dict[str, float]] = {}
            if "ours" in chosen:
                with stack.running("flink"):
                    if parts:
                        _show("warming", run(stack, settings, lake, job, _wanted(parts)))
                    parts.append(_publish(settings, options.events))
                    found["ours"] = _show("ours", run(stack, settings, lake, job, _wanted(parts)))
            else:
                parts.append(_publish(settings, options.events))
            for name, batch in (("spark", options.spark_batch), ("python", 200_000)):
                if name in chosen:
                    fresh_tables(lake)
                    with peer(name, home, batch) as process:
                        cost = watch(lake, _family(process.pid), _wanted(parts), closed_only=False)
                    found[name] = _show(name, cost)
        ours = found.pop("ours", {})
        for name, cost in found.items() if ours else ():
            compared = ours.keys() & cost.keys() & {"seconds", "cpu_us_per_event", "steady_cpu_us_per_event"}
            _show(f"{name} / ours", {key: round(cost[key] / ours[key], 2) for key in sorted(compared)})
        _show("options", vars(options))


def run(stack: Stack, settings: Settings, lake: Lakehouse, job: StreamJob, wanted: Wanted) -> dict[str, float]:
    """Run the job from the first message on until all are visible, then cancel it."""
    engines = [engine.pid for engine in stack.status() if engine.name in ("flink-jobmanager", "flink-taskmanager")]
    flink = FlinkClient(settings)
    fresh_tables(lake)
    with sql_session(settings) as sql:
        for statement in statements(job, settings):
            started = sql.execute(statement)
    assert started.job_id
    while not all(each.state == "RUNNING" and each.settled for each in flink.jobs() if each.id == started.job_id):
        time.sleep(0.1)
    try:
        return watch(lake, engines, wanted, closed_only=True)
    finally:
        flink.cancel(started.job_id)


@contextmanager
def peer(name: str, home: dict[str, object], batch: int) -> Iterator[subprocess.Popen[str]]:
    """A peer that has just been told to start; its processes end with the block."""
    command = [sys.executable, "-m", f"tests.bench.streams_in_{name}", json.dumps(home), str(batch)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        while (line := process.stdout.readline()) != "ready\n":
            if not line:
                raise SystemExit(f"the peer {name} ended with {process.wait()}")
        process.stdin.write("start\n")
        process.stdin.flush()
        yield process  # it ends when its input does


def _family(pid: int) -> list[int]:
    """The process and those that it started, a JVM of its own above all."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def _publish(settings: Settings, count: int, *, warming: bool = False) -> Sent:
    # Without a start before that of the others, all later messages would be late.
    sent = publish(settings, count, int(time.time() * 1000) - 2 * SPAN_MS if warming else None)
    _show("published", asdict(sent))
    return sent


def _wanted(parts: list[Sent]) -> Wanted:
    return Wanted(sum(s.messages for s in parts), sum(s.distinct for s in parts), sum(s.broken for s in parts))


def _show(what: str, figures: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps({what: figures}, default=str), flush=True)
    return figures


if __name__ == "__main__":
    main()
