"""When a call is tried again: by what went wrong, how often it did, and how much time is left."""

from __future__ import annotations

import time
from dataclasses import dataclass
from secrets import SystemRandom

from api.client.errors import ApiError, ClientError

RETRIED = frozenset({429, 502, 503, 504})
FIRST_S, MOST_S = 0.2, 10.0
"""Bounds of the pause after the first failure, and after any."""
_RANDOM = SystemRandom()


@dataclass(frozen=True)
class Patience:
    """``timeout_s`` is for each wait on the network, ``total_s`` for a call with all its attempts and pauses."""

    timeout_s: float
    retries: int
    total_s: float

    def __post_init__(self) -> None:
        if self.timeout_s <= 0 or self.total_s <= 0 or self.retries < 0:
            raise ValueError("timeout and total are seconds greater than 0, retries is 0 or more")


class Attempts:
    """The attempts of one call, which begins now."""

    def __init__(self, patience: Patience, *, repeatable: bool) -> None:
        self._patience, self._repeatable, self._failed = patience, repeatable, 0
        self._end = time.monotonic() + patience.total_s

    @property
    def left_s(self) -> float:
        """Seconds until the call has taken too long in total."""
        return self._end - time.monotonic()

    @property
    def timeout_s(self) -> float:
        """How long the next attempt may wait for the network."""
        return max(0.001, min(self._patience.timeout_s, self.left_s))

    def pause_s(self, error: ClientError) -> float:
        """How long to wait before the next attempt. Raises ``error`` where there shall be none."""
        self._failed += 1
        hopeless = isinstance(error, ApiError) and error.status not in RETRIED
        if hopeless or not self._repeatable or self._failed > self._patience.retries:
            raise error
        # Anything between nothing and the bound, so that those who failed together do not come back together.
        pause = _RANDOM.uniform(0, min(MOST_S, FIRST_S * 2.0 ** (self._failed - 1)))
        if isinstance(error, ApiError) and error.retry_after_s is not None:
            pause = error.retry_after_s + min(pause, FIRST_S)
        if pause >= self.left_s:
            raise error
        return pause
