"""How fast the sink stores rows of features, what that costs, and how soon after sending a row can be read.

    python -m tests.bench.bench_features --rows 50000 --rate 1000 --seconds 30

As fast as possible: the rows lie in the topic before the sink starts. At a rate: other rows are sent evenly; a probe
twenty times a second is read from DynamoDB, asked again every two milliseconds, until it is there. CPU is that of the
sink's process and of DynamoDB Local; Kafka and the sender have their share of the machine, too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import psutil

from c360.engines.stack import Stack
from c360.features.client import CONNECTIONS, client_of
from c360.features.manage import install
from c360.features.rows import Rows
from c360.features.writing import IS_NEWER, NAMES
from c360.settings import Settings
from tests.conftest import free_ports
from tests.unit.features.feature_tables import TABLES, moment

if TYPE_CHECKING:
    from confluent_kafka import Producer

    from c360.features.rows import Row

TABLE = TABLES["inventory_insights"]
KEYS = 20_000
PROBES_PER_S = 20
ASK_AGAIN_S = 0.002
ROOT = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000, help="rows that wait for the sink")
    parser.add_argument("--rate", type=int, default=1000, help="rows a second afterwards")
    parser.add_argument("--seconds", type=int, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as folder:
        settings = Settings.model_validate({"home": folder, **free_ports()})
        with Stack(settings).running("kafka", "dynamodb") as stack:
            install(settings)
            print(json.dumps(measure(settings, stack, options.rows, options.rate, options.seconds)), flush=True)


def measure(settings: Settings, stack: Stack, rows: int, rate: int, seconds: int) -> dict[str, object]:
    """Rows a second and CPU microseconds per row when rows wait; milliseconds until readable at the rate."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": settings.kafka_servers, "linger.ms": 2, "acks": "all"})
    for number in range(rows):
        send(producer, number % KEYS, number // KEYS + 1)
    producer.flush(60)
    dynamodb = psutil.Process(next(engine.pid for engine in stack.status() if engine.name == "dynamodb"))
    names = [name for name in Settings.model_fields if name.endswith("_port") or name == "home"]
    env = {**os.environ, **{f"C360_{name.upper()}": str(getattr(settings, name)) for name in names}}
    command = [sys.executable, "-m", "c360.features"]
    with subprocess.Popen(command, env=env, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            sink = psutil.Process(process.pid)
            began, first = until(settings, 1), cpu(sink, dynamodb)
            already = read(settings)
            ended, last = until(settings, rows), cpu(sink, dynamodb)
            done = rows - already
            waited = probe(settings, producer, rate, seconds, rows // KEYS + 1)
            memory = sink.memory_info().rss
        finally:
            process.terminate()
    p50, p99, longest = (round(float(each), 1) for each in np.percentile(waited, (50, 99, 100)))
    return {
        "load": round(os.getloadavg()[0], 1),
        "rows_per_s": round(done / (ended - began)),
        "one_by_one_rows_per_s": round(one_by_one(settings)),
        "sink_us_per_row": round((last[0] - first[0]) / done * 1e6),
        "dynamodb_us_per_row": round((last[1] - first[1]) / done * 1e6),
        "sink_rss_mb": round(memory / 2**20),
        "rate": rate, "probes": len(waited), "p50_ms": p50, "p99_ms": p99, "max_ms": longest,
    }  # fmt: skip


def send(producer: Producer, key: int, version: int, name: str = "") -> None:
    key_of, value = message(key, version, name)
    producer.produce(TABLE.topic, value, key_of)
    producer.poll(0)


def message(key: int, version: int, name: str = "") -> tuple[bytes, bytes]:
    product = name or f"P{key:07}"
    row = {
        "product_id": product, "category": "Electronics", "product_status": "active", "stock_on_hand": key % 90,
        "units_sold_7d": version, "units_per_day": f"{version / 7:.4f}", "days_until_stock_out": None,
        "status": "healthy", "dead_stock": False, "last_sold_at": moment(version % 10**6), "restock_quantity": 12,
        "restock_urgency": "low", "effective_at": moment(version % 10**6), "version": version,
    }  # fmt: skip
    return product.encode(), json.dumps(row).encode()


def probe(settings: Settings, producer: Producer, rate: int, seconds: int, version: int) -> list[float]:
    """Milliseconds from before the sending of each probe until it was read."""
    over, client, waited = threading.Event(), client_of(settings, "writer"), list[float]()
    others = threading.Thread(target=flow, args=(producer, rate, version + 1, over))
    others.start()
    try:
        time.sleep(5)
        until_then = time.monotonic() + seconds
        while time.monotonic() < until_then:
            name = f"probe-{len(waited)}"
            start = time.perf_counter()
            send(producer, 0, 1, name)
            key: dict[str, Any] = {"TableName": TABLE.store, "Key": {TABLE.key: {"S": name}}, "ConsistentRead": True}
            while "Item" not in client.get_item(**key):
                time.sleep(ASK_AGAIN_S)
            waited.append((time.perf_counter() - start) * 1000)
            time.sleep(max(0.0, 1 / PROBES_PER_S - waited[-1] / 1000))
    finally:
        over.set()
        others.join()
        client.close()
    return waited


def flow(producer: Producer, rate: int, version: int, over: threading.Event) -> None:
    began, sent = time.monotonic(), 0
    while not over.wait(0.01):
        due = int((time.monotonic() - began) * rate)
        for number in range(sent, due):
            send(producer, number % KEYS, version + number // KEYS)
        sent = due


def one_by_one(settings: Settings) -> float:
    """Rows a second with a conditional request for each, a thread for each connection: the way that was not taken."""
    client, rows = client_of(settings, "writer"), [Rows(TABLE).of(*message(key, 10**6)) for key in range(1000)]
    began = time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for done in [pool.submit(put, client, row) for row in rows]:
            done.result()
    taken = time.monotonic() - began
    client.close()
    return len(rows) / taken


def put(client: Any, row: Row) -> None:
    version, effective = row.newest
    client.put_item(
        TableName=TABLE.store, Item=row.item, ConditionExpression=IS_NEWER, ExpressionAttributeNames=NAMES,
        ExpressionAttributeValues={":v": {"N": str(version)}, ":e": {"S": effective}},
    )  # fmt: skip


def cpu(*processes: psutil.Process) -> list[float]:
    return [sum(process.cpu_times()[:2]) for process in processes]


def until(settings: Settings, rows: int) -> float:
    while read(settings) < rows:
        time.sleep(0.05)
    return time.monotonic()


def read(settings: Settings) -> int:
    try:
        text = httpx.get(f"http://127.0.0.1:{settings.sink_port}/metrics", timeout=10).text
    except httpx.HTTPError:
        return 0
    return int(
        float(next(line.split()[1] for line in text.splitlines() if line.startswith("c360_features_read_total ")))
    )


if __name__ == "__main__":
    main()
