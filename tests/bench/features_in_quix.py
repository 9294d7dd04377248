"""The windows of ``features.sales_metrics`` by Quix Streams, without its unique customers: one process, one thread.

    python features_in_quix.py 127.0.0.1:9092 peer-quix-sales FOLDER

Started by ``bench_feature_jobs --peers`` with a Python of its own, which knows nothing of this project. It prints
``ready``, starts at a line on its input, and stays until it is ended. At least once; state in RocksDB with a topic of
changes, as it is by default. Orders are known for ever; what comes a day late is dropped.
"""

from __future__ import annotations

import base64
import importlib
import sys
from datetime import UTC, datetime, timedelta
from typing import Any


def main() -> None:
    application: Any = importlib.import_module("quixstreams").Application
    total: Any = importlib.import_module("quixstreams.dataframe.windows").Sum
    servers, topic, folder = sys.argv[1:]
    app = application(
        broker_address=servers,
        consumer_group="peer-quix",
        auto_offset_reset="earliest",
        state_dir=f"{folder}/quix",
        commit_interval=10.0,
        loglevel="ERROR",
        # Partitions are then read less far apart; what is more than a day apart would be dropped.
        consumer_extra_config={"max.partition.fetch.bytes": 262_144, "queued.max.messages.kbytes": 1024},
    )
    orders = app.topic("dbserver1.public.orders", value_deserializer="json")
    told = app.topic(topic, key_serializer="str", value_serializer="json")
    stream = app.dataframe(orders)
    stream = stream.apply(facts, stateful=True, expand=True)
    stream = stream.set_timestamp(lambda fact, *_: fact["happened"])
    stream = stream.group_by(lambda _: "shop", name="shop")
    hours = stream.hopping_window(timedelta(hours=1), timedelta(minutes=5), grace_ms=timedelta(days=1))
    sums = hours.agg(**{name: total(name) for name in ("orders", "cancellations", "cents")}).final()
    sums.apply(row).to_topic(told, key=lambda value: value["metric_id"])
    print("ready", flush=True)
    sys.stdin.readline()
    app.run()


def facts(change: dict[str, Any], state: Any) -> list[dict[str, Any]]:
    """Of an order: that it was placed, with the first that is seen of it, and that it was cancelled, once."""
    found: list[dict[str, Any]] = []
    after = change["after"]
    if after is None:
        return found
    if not state.get("placed"):
        state.set("placed", 1)
        cents = int.from_bytes(base64.b64decode(after["total_amount"]), "big", signed=True)
        found.append({"happened": millis(after["ordered_at"]), "orders": 1, "cancellations": 0, "cents": cents})
    if after["status"] == "cancelled" and not state.get("cancelled"):
        state.set("cancelled", 1)
        found.append({"happened": millis(after["updated_at"]), "orders": 0, "cancellations": 1, "cents": 0})
    return found


def millis(text: str) -> int:
    """Milliseconds since 1970 of a moment."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def row(window: dict[str, Any]) -> dict[str, Any]:
    """A window as its topic has it."""
    start = datetime.fromtimestamp(window["start"] / 1000, UTC)
    return {
        "metric_id": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "orders": window["orders"],
        "cancellations": window["cancellations"],
        "revenue": f"{window['cents'] // 100}.{window['cents'] % 100:02}",
    }


if __name__ == "__main__":
    main()
