"""Kafka to the tables and topics of a job of features: throughput and CPU of one job alone, on real engines.

    python -m tests.bench.bench_feature_jobs --job inventory-optimizer --orders 200000

A tenth of the orders warms the JVM and the state; the job is stopped with a savepoint, the rest is published, and the
job goes on. Measured is from its first task running to the last row in its topic, and the CPU seconds of the
TaskManager within. ``--hot 0.9`` puts nine of ten lines on one product, and orders on one customer.
Engines run in a temporary home.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
from confluent_kafka import Consumer, TopicPartition

from c360.contracts.loader import load_stream_contracts
from c360.engines.stack import Stack
from c360.settings import Settings
from c360.streams.features import load_features, topic_of
from c360.streams.job import get_job
from c360.streams.runner import Streams
from tests.bench.feature_messages import BusyShop
from tests.conftest import free_ports

if TYPE_CHECKING:
    from c360.streams.job import StreamJob

LOOK_S = 0.25
QUIET_S = 8.0
PATIENCE_S = 1200.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", default="sales-aggregations")
    parser.add_argument("--orders", type=int, default=200_000)
    parser.add_argument("--products", type=int, default=1_000)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument(
        "--hot", type=float, default=0.0, help="share of the lines of one product and orders of one customer"
    )
    parser.add_argument("--parallelism", type=int, default=2)
    parser.add_argument("--checkpoint", type=float, default=10.0, help="seconds between checkpoints")
    parser.add_argument("--memory", type=int, default=4096, help="MB of the TaskManager")
    options = parser.parse_args()
    job = replace(get_job(options.job), parallelism=options.parallelism, checkpoint_seconds=options.checkpoint)
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as folder:
        slots = {"flink_slots": options.parallelism, "flink_memory_mb": options.memory}
        settings = Settings.model_validate({"home": folder, **slots, **free_ports()})
        stack, streams = Stack(settings), Streams(settings, {job.name: job})
        with stack.running("kafka", "flink"):
            [worker] = [engine.pid for engine in stack.status() if engine.name == "flink-taskmanager"]
            streams.start(job.name, wait=120)
            shop = BusyShop(
                settings, job.inputs, options.orders, products=options.products, days=options.days, hot=options.hot
            )
            shop.send(options.orders // 10)
            watch(settings, job, worker)
            streams.stop(job.name)
            before, orders = shop.messages, shop.order_changes
            shop.send(options.orders - options.orders // 10)
            streams.start(job.name, wait=120)
            seconds, cpu, rows = watch(settings, job, worker)
            streams.close()
            shop.close()
    messages, orders = shop.messages - before, shop.order_changes - orders
    figures = {
        "messages": messages,
        "order_changes": orders,
        "rows": rows,
        "seconds": round(seconds, 1),
        "order_changes_per_s": round(orders / seconds),
        "messages_per_s": round(messages / seconds),
        "cpu_us_per_order_change": round(cpu / orders * 1e6, 1),
        "cpu_us_per_message": round(cpu / messages * 1e6, 1),
    }
    print(json.dumps({"options": vars(options), "figures": figures}), flush=True)


def watch(settings: Settings, job: StreamJob, worker: int) -> tuple[float, float, int]:
    """Seconds, CPU seconds and rows until all is read and the last row is in the topics of the job.

    SystemExit if it takes too long.
    """
    process = psutil.Process(worker)
    outputs = [topic_of(load_stream_contracts()[name]) for name in job.outputs if name in load_features()]
    consumer = Consumer({"bootstrap.servers": settings.kafka_servers, "group.id": f"c360-{job.name}"})
    try:
        began, spent = time.perf_counter(), _cpu(process)
        first = rows = _end(consumer, *outputs)
        moved, used = began, spent
        while True:
            time.sleep(LOOK_S)
            now, cpu, found = time.perf_counter(), _cpu(process), _end(consumer, *outputs)
            if found != rows:
                rows, moved, used = found, now, cpu
            elif now - moved > QUIET_S and _read(consumer, job):
                return moved - began, used - spent, rows - first
            if now - began > PATIENCE_S:
                raise SystemExit(f"not done after {PATIENCE_S:.0f} s: {rows - first} rows")
    finally:
        consumer.close()


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _partitions(consumer: Consumer, *topics: str) -> list[TopicPartition]:
    return [
        TopicPartition(name, number) for name in topics for number in consumer.list_topics(name).topics[name].partitions
    ]


def _end(consumer: Consumer, *topics: str) -> int:
    return sum(int(consumer.get_watermark_offsets(p, timeout=10)[1]) for p in _partitions(consumer, *topics))


def _read(consumer: Consumer, job: StreamJob) -> bool:
    """Whether a checkpoint has seen the end of all that was sent."""
    committed = consumer.committed(_partitions(consumer, *job.inputs), timeout=10)
    return all(max(p.offset, 0) == int(consumer.get_watermark_offsets(p, timeout=10)[1]) for p in committed)


if __name__ == "__main__":
    main()
