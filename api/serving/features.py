"""The newest features, for an answer of this moment: each part with its state, within a second, and never an error."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from c360.features.reading import AWAY, FeatureReader
from c360.live.parts import TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Callable

    from c360.live.store import Liveness
    from c360.settings import Settings

    T = TypeVar("T")
    Record = dict[str, Any]

WITHIN_S = 1.0
AT_ONCE = 8
"""Requests that may wait for the store at a time, in threads of their own number."""
MOST_ALERTS = 20
SEGMENTS, ALERTS, SALES, INVENTORY = "customer_segments", "anomaly_alerts", "sales_metrics", "inventory_insights"
SLIDE = timedelta(minutes=5)
WINDOW = timedelta(hours=1)


@dataclass(frozen=True)
class CustomerFeatures:
    """The newest segment of a customer, None where there is none, and the active alerts, newest first."""

    segment: Record | None
    alerts: list[Record]


class Features:
    """Asks the feature store. Whatever is the matter with it, there is an answer: ``not_available``."""

    def __init__(self, settings: Settings) -> None:
        self.reader = FeatureReader(settings)
        self._limiter: anyio.CapacityLimiter | None = None
        self._warming = threading.Thread(target=self.reader.warm, name="features", daemon=True)

    def start(self) -> None:
        """Prepare, in a thread of its own, so that no request has to wait for it."""
        self._warming.start()

    async def customer(self, customer_id: str) -> tuple[Liveness, CustomerFeatures]:
        """What is known of a customer."""

        def read() -> CustomerFeatures:
            segments = self._rows(SEGMENTS, [customer_id])
            return CustomerFeatures(segments[0] if segments else None, self._alerts(customer_id))

        return await self._ask(read, CustomerFeatures(None, []))

    async def inventory(self, product_id: str) -> tuple[Liveness, Record | None]:
        """The newest row of a product's stock."""

        def read() -> Record | None:
            return next(iter(self._rows(INVENTORY, [product_id])), None)

        return await self._ask(read, None)

    async def sales(self, hours: int) -> tuple[Liveness, list[Record]]:
        """The sliding windows that ended within the last hours, or still run, newest first."""
        latest = datetime.now(UTC)
        latest -= timedelta(minutes=latest.minute % 5, seconds=latest.second, microseconds=latest.microsecond)
        starts = [latest - number * SLIDE for number in range((timedelta(hours=hours) + WINDOW) // SLIDE)]
        keys = [start.strftime("%Y-%m-%dT%H:%M:%SZ") for start in starts]
        return await self._ask(lambda: self._rows(SALES, keys), [])

    def close(self) -> None:
        """Let go of the store."""
        if self._warming.is_alive():
            self._warming.join()
        self.reader.close()

    def _rows(self, name: str, keys: list[str]) -> list[Record]:
        try:
            return self.reader.rows(name, keys)
        except KeyError:  # this feature has never been stored, others may have been
            return []

    def _alerts(self, customer_id: str) -> list[Record]:
        try:
            return self.reader.of_customer(ALERTS, customer_id, MOST_ALERTS, "is_active")
        except KeyError:
            return []

    async def _ask(self, read: Callable[[], T], nothing: T) -> tuple[Liveness, T]:
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(AT_ONCE)
        # Beyond that time the thread is left to the client's own time limits, and counts until it ends.
        with anyio.move_on_after(WITHIN_S):
            return await anyio.to_thread.run_sync(
                self.reader.ask, read, nothing, abandon_on_cancel=True, limiter=self._limiter
            )
        return AWAY, nothing


def told(liveness: Liveness) -> Record:
    """How live something is, as answers say it."""
    current = liveness.current_s
    at = None if not current else datetime.fromtimestamp(current, UTC).strftime(TIMESTAMP)
    return {"state": liveness.state, "current": at, "unread": liveness.unread}
