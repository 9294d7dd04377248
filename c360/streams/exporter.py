"""Streams and engines of one home for Prometheus: ``python -m c360.streams.exporter``, which ``c360 up metrics`` runs.

Figures are taken when they are asked for, from Flink, the records of the streams and the snapshots of their tables; the
answer to a scrape is never older than the scrape. Units and names follow Prometheus' naming practices.
"""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from c360.engines.ports import LOOPBACK
from c360.errors import C360Error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from c360.streams.runner import Streams
    from c360.streams.sight import Sight
    from c360.streams.status import Status

PREFIX = "c360_stream"
_GAUGES = {
    "running": "1 where Flink runs a job of the stream.",
    "wanted": "1 where the stream is wanted running.",
    "as_wanted": "1 where the stream is as it is wanted.",
    "lag_records": "Records that wait in the topic.",
    "checkpoint_age_seconds": "Time since the last completed checkpoint.",
    "event_time_lag_seconds": "How far the event time up to which the stream is complete is behind the clock.",
    "failed_starts": "Starts in a row that came to nothing.",
}


@dataclass(frozen=True)
class Look:
    """One stream as it was seen by a scrape."""

    sight: Sight
    status: Status

    def gauges(self, now: datetime) -> dict[str, float]:
        """Values by the names of ``_GAUGES``; what Flink does not say is left out."""
        seen = self.status
        behind = (now - seen.watermark).total_seconds() if seen.watermark else None
        found = {
            "running": float(seen.state == "RUNNING"),
            "wanted": float(seen.wanted == "running"),
            "as_wanted": float(seen.as_wanted),
            "lag_records": seen.pending,
            "checkpoint_age_seconds": seen.checkpoint_age_s,
            "event_time_lag_seconds": behind,
            "failed_starts": seen.failures,
        }
        return {name: float(value) for name, value in found.items() if value is not None}


class StreamCollector(Collector):
    """Looks at all streams and engines, one scrape at a time. What cannot be seen is told as an error of its stream."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._lock = threading.Lock()

    def describe(self) -> list[Metric]:
        """Nothing: registering must not ask Flink."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metric families."""
        with self._lock:
            yield from self._collect()

    def _collect(self) -> Iterator[Metric]:
        from c360.engines.stack import Stack
        from c360.streams.status import describe

        began, now = time.monotonic(), datetime.now(UTC)
        errors = GaugeMetricFamily(
            f"{PREFIX}_scrape_error", "1 where the stream could not be looked at.", labels=["stream"]
        )
        seen: list[Look] = []
        for name in self._streams.jobs:
            try:
                sight = self._streams.look(name)
                seen.append(Look(sight, describe(self._streams, sight)))
            except C360Error:
                errors.add_metric([name], 1.0)
            else:
                errors.add_metric([name], 0.0)
        yield errors
        yield from _of_streams(seen, now)
        up = GaugeMetricFamily(
            "c360_engine_up", "1 where a process of the local stack runs and answers.", labels=["engine"]
        )
        for engine in Stack(self._streams.settings).status():
            up.add_metric([engine.name], float(engine.state == "running"))
        yield up
        yield GaugeMetricFamily("c360_scrape_duration_seconds", "What this took.", value=time.monotonic() - began)


def _of_streams(seen: list[Look], now: datetime) -> Iterator[Metric]:
    for name, text in _GAUGES.items():
        family = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=["stream"])
        for look in seen:
            value = look.gauges(now).get(name)
            if value is not None:
                family.add_metric([look.status.stream], value)
        yield family
    restarts = CounterMetricFamily(f"{PREFIX}_restarts", "Restarts by Flink of the job that runs.", labels=["stream"])
    ages = GaugeMetricFamily(
        f"{PREFIX}_commit_age_seconds", "Time since the stream last committed to the table.", labels=["stream", "table"]
    )
    for look in seen:
        if look.status.restarts is not None:
            restarts.add_metric([look.status.stream], float(look.status.restarts))
        for commit in look.sight.commits:
            if commit.known:
                ages.add_metric([look.status.stream, commit.table], (now - commit.committed_at).total_seconds())
    yield restarts
    yield ages


def main() -> None:
    """Serve on the loopback address until told to end."""
    from prometheus_client import CollectorRegistry, start_http_server

    from c360.settings import Settings
    from c360.streams.runner import Streams

    settings = Settings()
    registry = CollectorRegistry()
    registry.register(StreamCollector(Streams(settings)))
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server, thread = start_http_server(settings.metrics_port, addr=LOOPBACK, registry=registry)
    ended.wait()
    server.shutdown()
    thread.join()


if __name__ == "__main__":
    main()
