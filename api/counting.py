"""Counters for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from api.serving.serving import Serving

BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Counting:
    """Requests by route and outcome, and the age of what is served; a registry of its own for each app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "route")
        self._seconds = Histogram(
            "c360_api_request_seconds", "Time to the last byte.", labels, buckets=BUCKETS, registry=self.registry
        )
        self._requests = Counter("c360_api_requests", "Requests.", (*labels, "status"), registry=self.registry)
        self._denials = Counter(
            "c360_api_denials", "Refused credentials, roles and rates.", ("status",), registry=self.registry
        )
        self._children: dict[tuple[str, str, int], tuple[Histogram, Counter]] = {}
        self._age = Gauge(
            "c360_api_release_age_seconds", "Since the served release was published.", registry=self.registry
        )
        self._refused = Gauge("c360_api_index_refused", "1 if the newest index is damaged.", registry=self.registry)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request."""
        key = method, route, status
        found = self._children.get(key)
        if found is None:
            found = self._seconds.labels(method, route), self._requests.labels(method, route, str(status))
            self._children[key] = found
        found[0].observe(seconds)
        found[1].inc()
        if status in (401, 403, 429):
            self._denials.labels(str(status)).inc()

    def follow(self, serving: Serving) -> None:
        """Take the gauges from what is served."""
        self._age.set_function(lambda: serving.age_s or float("nan"))
        self._refused.set_function(lambda: float(serving.refused is not None))
