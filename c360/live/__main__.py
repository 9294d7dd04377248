"""``python -m c360.live``: follow the streams until told to end, and say at ``/metrics`` how it goes."""

from __future__ import annotations

import logging
import signal
import threading

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from c360.live.follow import Follower
from c360.live.store import LiveReader, LiveStore
from c360.settings import LOOPBACK, Settings


def main() -> None:
    """One of them for each home; the store's file is locked by nobody, so it is the stack that sees to it."""
    settings, ended = Settings(), threading.Event()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    store, reader = LiveStore(settings.live_dir), LiveReader(settings.live_dir)
    follower = Follower(settings.kafka_servers, store, settings.live_lookback_hours * 3600)
    server, thread = start_http_server(settings.live_port, addr=LOOPBACK, registry=_metrics(follower, reader))
    try:
        while not ended.is_set():
            follower.step()
    finally:
        follower.close()
        reader.close()
        store.close()
        server.shutdown()
        thread.join()


def _metrics(follower: Follower, reader: LiveReader) -> CollectorRegistry:
    registry = CollectorRegistry()
    for name, says in {
        "read": "Messages read since the start.",
        "passed_over": "Messages of no use here, such as those that the streams refuse.",
        "stored": "Values stored.",
    }.items():
        gauge = Gauge(f"c360_live_{name}", says, registry=registry)
        gauge.set_function(lambda name=name: getattr(follower, name))  # type: ignore[misc]
    unread = Gauge("c360_live_unread_messages", "Messages in the topics that are not read yet.", registry=registry)
    unread.set_function(lambda: reader.liveness().unread)
    up = Gauge("c360_live_up", "1 while everything that has arrived is visible within seconds.", registry=registry)
    up.set_function(lambda: float(reader.liveness().state == "live"))
    return registry


if __name__ == "__main__":
    main()
