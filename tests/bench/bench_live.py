"""How long after it was sent an event can be read in the API's live part, while many others come.

    python -m tests.bench.bench_live --rate 10000 --probes 300

Sent is the moment before the event is handed to the producer, read the moment at which an answer of the API holds it,
asked again every few milliseconds: the whole way through producer, broker, follower, file and API. The follower's and
the API's CPU seconds are those of the time in which the probes were sent.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
import uuid
from typing import TYPE_CHECKING

import httpx
import numpy as np
import psutil

from api.security.keys import KeyStore, key_path
from api.security.principal import Role
from c360.contracts.topic import load_topics
from c360.engines.stack import Stack
from c360.events import KafkaAdminManager
from c360.lakehouse import Lakehouse
from c360.privacy.keyed import hash_key
from c360.serving.model import TABLES
from c360.serving.release import release
from c360.serving.store import Store
from c360.settings import Settings
from tests.bench.bench_stream_latency import flow
from tests.bench.stream_messages import TOPIC, message
from tests.conftest import free_ports
from tests.unit.serving.company import Company

if TYPE_CHECKING:
    from confluent_kafka import Producer

CUSTOMERS = 30
ASK_AGAIN_S = 0.003
BETWEEN_S = 0.1
WARM_S = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=10_000, help="other events a second")
    parser.add_argument("--probes", type=int, default=300)
    options = parser.parse_args()
    ports = free_ports()
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as folder:
        settings = Settings.model_validate({"home": folder, **ports})
        with Lakehouse(settings) as lake:
            Company(lake, customers=CUSTOMERS).publish()
            store = Store(settings.serving_dir)
            store.serve(store.build(lake, release(lake, TABLES), hash_key(settings)).release)
        with Stack(settings).running("kafka", "api", "live") as stack:
            admin = KafkaAdminManager(settings.kafka_servers)
            admin.apply(admin.plan(load_topics().values()))
            print(json.dumps(measure(settings, stack, options.rate, options.probes)), flush=True)


def measure(settings: Settings, stack: Stack, rate: int, probes: int) -> dict[str, object]:
    """Milliseconds from sending to reading, and CPU microseconds of the follower for each event."""
    from confluent_kafka import Producer

    keys = KeyStore(key_path(settings.home))
    key = keys.create("bench", [Role.SUPPORT])
    keys.close()
    over = threading.Event()
    others = threading.Thread(target=flow, args=(settings, rate, 1e6, over))
    others.start()
    try:
        producer = Producer({"bootstrap.servers": settings.kafka_servers, "linger.ms": 0})
        time.sleep(WARM_S)
        follower, api = (psutil.Process(next(e.pid for e in stack.status() if e.name == n)) for n in ("live", "api"))
        before, read, began = sum(follower.cpu_times()[:2]), _read(settings), time.monotonic()
        address = f"http://127.0.0.1:{settings.api_port}"
        with httpx.Client(base_url=address, headers={"x-api-key": key}, timeout=20) as client:
            waited = [_probe(producer, client, number) for number in range(probes)]
        spent, events = sum(follower.cpu_times()[:2]) - before, _read(settings) - read
        seconds = time.monotonic() - began
    finally:
        over.set()
        others.join()
    p50, p99, longest = (round(float(each), 1) for each in np.percentile(waited, (50, 99, 100)))
    return {
        "rate": round(events / seconds),
        "probes": probes,
        "p50_ms": p50,
        "p99_ms": p99,
        "max_ms": longest,
        "follower_us_per_event": round(spent / events * 1e6, 1),
        "follower_rss_mb": round(follower.memory_info().rss / 2**20),
        "api_rss_mb": round(api.memory_info().rss / 2**20),
    }


def _probe(producer: Producer, client: httpx.Client, number: int) -> float:
    event_id = str(uuid.uuid4())
    customer = f"C{number % CUSTOMERS:07}"
    start = time.time()
    # A little ahead of the others, among which are some of the same customer.
    _, value = message(number, event_id, int(start * 1000) + 1000)
    event = json.loads(value)
    event["payload"]["user_id"] = customer
    producer.produce(TOPIC, json.dumps(event).encode(), customer)
    producer.poll(0)
    deadline = start + 30
    while time.time() < deadline:
        part = client.get(f"/v1/customers/{customer}/live").json()["data"]["parts"]["last_event"]
        if part and (part["record"]["event_id"] == event_id or part["event_time"] > event["event_timestamp"]):
            waited = (time.time() - start) * 1000
            time.sleep(BETWEEN_S)
            return waited
        time.sleep(ASK_AGAIN_S)
    raise SystemExit("an event was not visible within 30 s")


def _read(settings: Settings) -> float:
    text = httpx.get(f"http://127.0.0.1:{settings.live_port}/metrics", timeout=10).text
    return float(next(line.split()[1] for line in text.splitlines() if line.startswith("c360_live_read ")))


if __name__ == "__main__":
    main()
