"""Kafka to bronze, silver, dead letters and five-minute windows, exactly once: the job ``events`` on real engines.

    python -m tests.bench.bench_streams --events 5000000 --parallelism 2

Messages are published first, then the job starts: what is measured is from its first task running to the last message
visible in Iceberg, and the CPU seconds of the TaskManager within. A first run over a tenth of them warms the JVM.
Counts and sums are compared with what was sent. Engines run in a temporary home of their own.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow.compute as pc

from c360.contracts.loader import get_contract
from c360.contracts.topic import load_topics
from c360.engines.flink_sql import sql_session
from c360.engines.stack import Stack
from c360.events import KafkaAdminManager
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from c360.streams.flink import FlinkClient
from c360.streams.job import METRICS, REFUSED, StreamJob, get_job
from c360.streams.sql import statements
from tests.bench.meter import Meter
from tests.bench.stream_messages import SPAN_MS, Sent, publish
from tests.conftest import free_port


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--parallelism", type=int, default=2)
    parser.add_argument("--checkpoint", type=float, default=10.0, help="seconds between checkpoints")
    parser.add_argument("--memory", type=int, default=4096, help="MB of the TaskManager")
    parser.add_argument("--cold", action="store_true", help="without the warming run")
    options = parser.parse_args()
    ports = {name: free_port() for name in Settings.model_fields if name.endswith("_port")}
    job = replace(get_job("events"), parallelism=options.parallelism, checkpoint_seconds=options.checkpoint)
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as folder:
        settings = Settings.model_validate(
            {
                "home": Path(folder),
                "flink_slots": options.parallelism,
                "flink_memory_mb": options.memory,
                **ports,
            }
        )
        stack = Stack(settings)
        with stack.running("kafka", "flink"):
            admin = KafkaAdminManager(settings.kafka_servers)
            admin.apply(admin.plan(load_topics().values()))
            if not options.cold:
                earlier_ms = int(time.time() * 1000) - 2 * SPAN_MS  # else the later messages would all be late
                warm = publish(settings, options.events // 10, earlier_ms)
                before = run(stack, settings, job, warm, 0)
                print(json.dumps({"warming": before}), flush=True)
            sent = publish(settings, options.events)
            print(json.dumps(asdict(sent)), flush=True)
            earlier = 0 if options.cold else warm.messages
            print(json.dumps({**run(stack, settings, job, sent, earlier), **vars(options)}), flush=True)


def run(stack: Stack, settings: Settings, job: StreamJob, sent: Sent, earlier: int) -> dict[str, float]:
    """Run the job from the first message on until all are visible, then cancel it and drop its tables."""
    worker = next(engine.pid for engine in stack.status() if engine.name == "flink-taskmanager")
    flink, wanted = FlinkClient(settings), sent.messages + earlier
    with Lakehouse(settings) as lake:
        for table in job.outputs:
            lake.ensure(get_contract(table))
        with sql_session(settings) as sql:
            for statement in statements(job, settings):
                started = sql.execute(statement)
        assert started.job_id
        while not all(each.state == "RUNNING" and each.settled for each in flink.jobs() if each.id == started.job_id):
            time.sleep(0.1)
        with Meter([worker]) as meter:
            while lake.row_count(job.bronze.name) < wanted:
                time.sleep(0.25)
        time.sleep(2 * job.checkpoint_seconds)
        flink.cancel(started.job_id)
        found = {
            "bronze": lake.row_count(job.bronze.name),
            "silver": lake.row_count(job.silver.name),
            "refused": lake.row_count(REFUSED),
            "windows": lake.row_count(METRICS),
            "counted": pc.sum(lake.read(METRICS, columns=["event_count"]).column(0)).as_py() or 0,
        }
        for table in job.outputs:
            lake.catalog.drop_table(table)
    cost = meter.cost
    rate = wanted / cost.wall
    return {
        **found,
        "seconds": round(cost.wall, 1),
        "events_per_s": round(rate),
        "cpu_us_per_event": round(cost.engine_cpu / wanted * 1e6, 2),
        "cpu_s": round(cost.engine_cpu, 1),
        "peak_mb": round(cost.engine_mb),
    }


if __name__ == "__main__":
    main()
