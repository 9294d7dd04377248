"""What the SDK tells Prometheus: events by outcome, and how long the broker took to acknowledge them."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import defaultdict
from typing import TYPE_CHECKING

from prometheus_client import REGISTRY, CollectorRegistry, Counter
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds in seconds."""


class Latencies(Collector):
    """A histogram by topic, filled a batch at a time: the client's own takes a microsecond for each value."""

    def __init__(self, name: str, documentation: str) -> None:
        self._name, self._documentation = name, documentation
        self._lock = threading.Lock()
        self._counts: dict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS) + 1))
        self._sums: dict[str, float] = defaultdict(float)

    def observe(self, topic: str, seconds: Iterable[float]) -> None:
        """Count these durations."""
        with self._lock:
            counts = self._counts[topic]
            total = 0.0
            for value in seconds:
                counts[bisect_left(BUCKETS, value)] += 1
                total += value
            self._sums[topic] += total

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """What Prometheus scrapes."""
        family = HistogramMetricFamily(self._name, self._documentation, labels=["topic"])
        with self._lock:
            for topic, counts in self._counts.items():
                running, buckets = 0, []
                for bound, count in zip((*map(str, BUCKETS), "+Inf"), counts, strict=True):
                    running += count
                    buckets.append((bound, float(running)))
                family.add_metric([topic], buckets, self._sums[topic])
        yield family


class EventMetrics:
    """The metrics of the producers and consumers of one process; one per Prometheus registry.

    ``outcome`` is ``ok``, ``dead_letter`` or the name of the error.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.published = Counter(
            "c360_events_published", "Events given to a producer, by outcome.", ["topic", "outcome"], registry=registry
        )
        self.consumed = Counter(
            "c360_events_consumed", "Messages read by a consumer, by outcome.", ["topic", "outcome"], registry=registry
        )
        self.published_bytes = Counter(
            "c360_events_published_bytes",
            "Bytes of acknowledged events before compression.",
            ["topic"],
            registry=registry,
        )
        self.latency = Latencies(
            "c360_event_delivery_seconds", "Time from handing an event over to the broker's acknowledgement."
        )
        registry.register(self.latency)


_shared: list[EventMetrics] = []


def shared_metrics() -> EventMetrics:
    """The metrics in Prometheus' default registry, made at the first call."""
    if not _shared:
        _shared.append(EventMetrics())
    return _shared[0]
