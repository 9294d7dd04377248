"""Kafka to the tables and topics of jobs of features: throughput, CPU, state and checkpoints, on real engines.

    python -m tests.bench.bench_feature_jobs --job inventory-optimizer --orders 200000
    python -m tests.bench.bench_feature_jobs --job all --orders 200000
    python -m tests.bench.bench_feature_jobs --job sales-aggregations --orders 400000 --peers

A tenth of the orders warms the JVM and the state. The rest is one transaction of Kafka's: the jobs run and see none of
it until all is there. Measured is from its commit to the last row in a topic of the jobs, and the CPU seconds of the
TaskManager within. Windows of sales are compared with the shop's own sums. ``--hot 0.9`` puts nine of ten lines on one
product, and orders on one customer. ``--peers`` lets two others make the windows of sales of the same messages, each in
a process of its own, from the first one on. Engines run in a temporary home.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from c360.contracts.loader import load_stream_contracts
from c360.engines.stack import Stack
from c360.settings import Settings
from c360.streams.features import load_features, topic_of
from c360.streams.flink import FlinkClient
from c360.streams.job import get_job
from c360.streams.runner import Streams
from tests.bench.feature_messages import BusyShop
from tests.bench.feature_peers import LAG_MS, PEERS, Plan, measure_peer
from tests.bench.feature_watch import Watch, agree, has_read, told_windows
from tests.conftest import free_ports

if TYPE_CHECKING:
    from c360.streams.job import StreamJob
    from tests.bench.feature_watch import Spent

ALL = ("sales-aggregations", "customer-segmentation", "anomaly-detection", "inventory-optimizer")
SALES = "sales-aggregations"
LATER_MS = 3_600_000
"""Windows that ended so long before the last order are told by then."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", default=SALES, help="the name of one, or all")
    parser.add_argument("--orders", type=int, default=200_000)
    parser.add_argument("--customers", type=int, default=0, help="default: a fifth of the orders")
    parser.add_argument("--products", type=int, default=1_000)
    parser.add_argument("--days", type=float, default=30.0)
    parser.add_argument(
        "--hot", type=float, default=0.0, help="share of the lines of one product and orders of one customer"
    )
    parser.add_argument("--parallelism", type=int, default=2)
    parser.add_argument("--checkpoint", type=float, default=10.0, help="seconds between checkpoints")
    parser.add_argument("--memory", type=int, default=4096, help="MB of the TaskManager")
    parser.add_argument("--peers", action="store_true", help="the windows of sales by others, too")
    parser.add_argument("--only", nargs="*", default=list(PEERS), choices=PEERS, help="with --peers: which")
    options = parser.parse_args()
    names = ALL if options.job == "all" else (options.job,)
    jobs = {
        name: replace(get_job(name), parallelism=options.parallelism, checkpoint_seconds=options.checkpoint)
        for name in names
    }
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as folder:
        slots = {"flink_slots": options.parallelism * len(jobs), "flink_memory_mb": options.memory}
        settings = Settings.model_validate({"home": folder, **slots, **free_ports()})
        stack = Stack(settings)
        with stack.running("kafka"):
            with stack.running("flink"):
                shop, figures = ours(settings, stack, jobs, options)
            _show("ours", figures)
            for peer in options.only if options.peers and SALES in jobs else ():
                plan = Plan(settings, Path(folder), shop.windows(LAG_MS), shop.order_changes)
                found = measure_peer(peer, plan)
                ratio = found["cpu_us_per_order_change"] / figures["cpu_us_per_order_change"]
                _show(peer, found | {"cpu / ours": round(ratio, 2)})
            shop.close()
        _show("options", vars(options))


def ours(
    settings: Settings, stack: Stack, jobs: dict[str, StreamJob], options: argparse.Namespace
) -> tuple[BusyShop, dict[str, Any]]:
    """Run the jobs over a shop; the shop and the figures."""
    [worker] = [engine.pid for engine in stack.status() if engine.name == "flink-taskmanager"]
    streams, flink = Streams(settings, jobs), FlinkClient(settings)
    ids = {name: streams.start(name, wait=120) for name in jobs}
    inputs = tuple({topic for job in jobs.values() for topic in job.inputs})
    written = {table for job in jobs.values() for table in job.outputs} & load_features().keys()
    outputs = [topic_of(load_stream_contracts()[table]) for table in written]
    shop = BusyShop(
        settings, inputs, options.orders, products=options.products, days=options.days, hot=options.hot,
        customers=options.customers,
    )  # fmt: skip
    shares = options.orders // 10, options.orders - options.orders // 10
    for share in shares:
        messages, changes = shop.messages, shop.order_changes
        shop.send(share)
        load = round(os.getloadavg()[0], 1)
        watch = Watch(settings, outputs, [worker], flink, ids)
        shop.release()
        spent = watch.until(lambda: all(has_read(settings, job) for job in jobs.values()))
    if SALES in jobs and not agree(told_windows(settings, "features-sales-metrics"), shop.windows(LATER_MS)):
        raise SystemExit("not all hours were told")
    streams.close()
    figures = _figures(spent, shop.messages - messages, shop.order_changes - changes, load)
    return shop, {"customers": len(shop.customers), **figures}


def _figures(spent: Spent, messages: int, changes: int, load: float) -> dict[str, Any]:
    return {
        "load_before": load,
        "load_after": round(os.getloadavg()[0], 1),
        "messages": messages,
        "order_changes": changes,
        "rows": spent.rows,
        "seconds": round(spent.seconds, 1),
        "order_changes_per_s": round(changes / spent.seconds),
        "messages_per_s": round(messages / spent.seconds),
        "cpu_us_per_order_change": round(spent.cpu / changes * 1e6, 1),
        "cpu_us_per_message": round(spent.cpu / messages * 1e6, 1),
        "jobs": {
            name: {
                "state_mb": round(taken[-1].state_bytes / 2**20, 1),
                "checkpoints": len(taken),
                "median_s": round(median(each.seconds for each in taken), 2),
                "longest_s": round(max(each.seconds for each in taken), 2),
                "last_s": round(taken[-1].seconds, 2),
            }
            for name, taken in spent.checkpoints.items()
            if taken
        },
    }


def _show(what: str, figures: dict[str, Any]) -> None:
    print(json.dumps({what: figures}), flush=True)


if __name__ == "__main__":
    main()
