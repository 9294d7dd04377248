"""How soon after an order its customer's row, and its alert, can be read in the store, while others order evenly.

    python -m tests.bench.bench_feature_latency --source kafka --rate 10000 --seconds 60
    python -m tests.bench.bench_feature_latency --source postgres --rate 2000 --seconds 60

The jobs customer-segmentation and anomaly-detection, as their folders say, with the sink and DynamoDB Local. A probe is
a first order of a customer, for an amount that is an alert. From ``kafka`` its time begins before the message is handed
to the producer; from ``postgres`` when its commit is answered. Probes are sent when they are due, however late others
are, and asked for until they are there. The others are orders of ``--customers``, in the database without lines and
some in one transaction. CPU is that of each engine while probes were sent.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import psutil

from c360.cdc.manage import install as install_capture
from c360.cdc.manage import install_topics
from c360.engines.stack import Stack
from c360.features.client import client_of
from c360.features.manage import install
from c360.features.tables import feature_tables
from c360.settings import Settings
from c360.streams.job import get_job
from c360.streams.runner import Streams
from tests.bench.feature_orders import KafkaOrders, PostgresOrders, flow
from tests.bench.feature_watch import cpu_of
from tests.conftest import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.feature_orders import Orders

JOBS = ("customer-segmentation", "anomaly-detection")
PROBES_PER_S = 10
ASK_AGAIN_S = 0.005
AT_ONCE = 50
GRACE_S = 30.0
SEGMENTS, ALERTS = feature_tables()["customer_segments"], feature_tables()["anomaly_alerts"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", choices=["kafka", "postgres"], default="kafka")
    parser.add_argument("--rate", type=int, nargs="*", default=[2000], help="orders a second, one run after another")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--warm", type=float, default=60.0, help="seconds of others' orders before the first probe")
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--parallelism", type=int, default=1)
    parser.add_argument("--checkpoint", type=float, default=10.0, help="seconds between checkpoints")
    options = parser.parse_args()
    jobs = {
        name: replace(get_job(name), parallelism=options.parallelism, checkpoint_seconds=options.checkpoint)
        for name in JOBS
    }
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as folder, ExitStack() as ended:
        slots = {"flink_slots": len(JOBS) * options.parallelism}
        settings = Settings.model_validate({"home": folder, **slots, **free_ports()})
        stack = Stack(settings)
        ended.enter_context(stack.running("kafka"))
        install(settings)
        install_topics(settings)
        more = ("postgres", "connect") if options.source == "postgres" else ()
        ended.enter_context(stack.running("dynamodb", "sink", "flink", *more))
        if more:
            install_capture(settings)
        streams = Streams(settings, jobs)
        for name in jobs:
            streams.start(name, wait=120)
        for rate in options.rate:
            make = PostgresOrders if more else KafkaOrders
            figures = measure(settings, stack, make(settings, options.customers), rate, options)
            print(json.dumps({"source": options.source, "rate": rate, **figures}), flush=True)
        streams.close()


def measure(settings: Settings, stack: Stack, orders: Orders, rate: int, options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds until readable at a rate, the rate that was reached, CPU microseconds of each engine per order."""
    over, sent = threading.Event(), [0]
    others = threading.Thread(target=flow, args=(orders, rate, over, sent))
    engines = {engine.name: psutil.Process(engine.pid) for engine in stack.status()}
    others.start()
    try:
        time.sleep(options.warm)
        before, began = sent[0], time.monotonic()
        spent = {name: cpu_of(engine) for name, engine in engines.items()}
        probes = Probes(settings, orders.probe)
        probes.send(options.seconds)
        reached, used = sent[0] - before, {name: cpu_of(each) - spent[name] for name, each in engines.items()}
        lasted = time.monotonic() - began
        unread = _unread(settings)
        load = round(os.getloadavg()[0], 1)
    finally:
        over.set()
        others.join()
    probes.settle(GRACE_S)
    orders.close()
    return {
        "load": load,
        "rate_reached": round(reached / lasted),
        "segments": probes.figures(SEGMENTS.store),
        "alerts": probes.figures(ALERTS.store),
        "sink_unread": unread,
        "cpu_us_per_order": {name: round(cpu / reached * 1e6) for name, cpu in sorted(used.items())},
        "cpu_share": round(sum(used.values()) / lasted / (os.cpu_count() or 1), 2),
    }


class Probes:
    """Orders whose rows are asked for; ``send`` places one for a customer and says when its time began."""

    def __init__(self, settings: Settings, send: Callable[[str, str], float]) -> None:
        self._client, self._place, self._prefix = client_of(settings, "writer"), send, settings.feature_prefix
        self._run = f"{time.time():.0f}"
        self._open: dict[str, dict[str, float]] = {SEGMENTS.store: {}, ALERTS.store: {}}
        self._waited: dict[str, list[float]] = {name: [] for name in self._open}

    def send(self, seconds: float) -> None:
        """Send probes for so long, and ask for those on their way."""
        began, number = time.monotonic(), 0
        while (gone := time.monotonic() - began) < seconds:
            if gone * PROBES_PER_S >= number:
                customer = f"probe-{self._run}-{number}"
                at = self._place(customer, f"of-{customer}")
                self._open[SEGMENTS.store][customer] = at
                self._open[ALERTS.store][f"of-{customer}-large_order"] = at
                number += 1
            self._ask()

    def settle(self, seconds: float) -> None:
        """Ask for those that are left, at most so long."""
        until = time.monotonic() + seconds
        while any(self._open.values()) and time.monotonic() < until:
            self._ask()

    def figures(self, store: str) -> dict[str, float]:
        """Milliseconds, with the time so far of those that were never there."""
        late = [(time.perf_counter() - at) * 1000 for at in self._open[store].values()]
        p50, p99, longest = (round(float(each)) for each in np.percentile(self._waited[store] + late, (50, 99, 100)))
        probes = len(self._waited[store]) + len(late)
        return {"probes": probes, "p50_ms": p50, "p99_ms": p99, "max_ms": longest, "never": len(late)}

    def _ask(self) -> None:
        keys = {SEGMENTS.store: SEGMENTS.key, ALERTS.store: ALERTS.key}
        wanted = {
            f"{self._prefix}{store}": {
                "Keys": [{keys[store]: {"S": name}} for name in list(names)[:AT_ONCE]],
                "ConsistentRead": True,
                "ProjectionExpression": keys[store],
            }
            for store, names in self._open.items()
            if names
        }
        answer = self._client.batch_get_item(RequestItems=wanted) if wanted else {"Responses": {}}
        now = time.perf_counter()
        for table, items in answer["Responses"].items():
            store = table.removeprefix(self._prefix)
            for item in items:
                self._waited[store].append((now - self._open[store].pop(item[keys[store]]["S"])) * 1000)
        time.sleep(ASK_AGAIN_S)


def _unread(settings: Settings) -> int:
    text = httpx.get(f"http://127.0.0.1:{settings.sink_port}/metrics", timeout=10).text
    return int(
        float(next(line.split()[1] for line in text.splitlines() if line.startswith("c360_features_unread_messages ")))
    )


if __name__ == "__main__":
    main()
