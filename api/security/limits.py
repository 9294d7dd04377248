"""How often a principal may ask: a token bucket each, in memory that does not grow with their number."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 10_000


class RateLimit:
    """``rate`` requests a second in the long run, up to ``burst`` at once, for each principal and process.

    Of at most ``most`` principals the last requests are remembered; who is forgotten starts with a full bucket.
    """

    def __init__(self, rate: float, burst: int, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._most, self._clock = rate, burst, most, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, subject: str, cost: float = 1) -> float:
        """Seconds to wait before asking again, 0 if the request may pass and was counted.

        ``cost`` is how many requests this one counts as; one that exceeds the burst never passes.
        """
        with self._lock:
            now = self._clock()
            left, at = self._buckets.pop(subject, (float(self._burst), now))
            left = min(self._burst, left + (now - at) * self._rate)
            wait = 0.0 if left >= cost else (cost - left) / self._rate
            self._buckets[subject] = (left if wait else left - cost, now)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
            return wait

    @property
    def remembered(self) -> int:
        """How many principals are remembered."""
        return len(self._buckets)
