"""The windows that the streams have closed lately, read from ``gold.event_metrics`` at most every few seconds."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from c360.errors import C360Error
from c360.lakehouse import Lakehouse
from c360.streams.job import METRICS

if TYPE_CHECKING:
    from c360.settings import Settings

LOG = logging.getLogger("c360.api")
LOOK_EVERY_S = 2.0
MOST_HOURS = 24
COLUMNS = (
    "window_start", "window_end", "source_topic", "event_type", "measure", "event_count", "value_count", "value_sum",
    "value_avg",
)  # fmt: skip
Found = tuple[list[dict[str, Any]], dict[str, Any]]


class StreamWindows:
    """For any thread, but not for the event loop: a look at the catalog takes tens of milliseconds."""

    def __init__(self, settings: Settings) -> None:
        self._lake = Lakehouse(settings, lock_timeout_s=2.0)
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._nothing("absent")

    def newest(self, hours: int) -> Found:
        """The windows of the last hours, newest first, and ``state`` with the snapshot that they are from.

        ``state`` is ``live``, ``absent`` where no stream has ever written, ``not_available`` where the table cannot be
        read; there are no windows then.
        """
        with self._lock:
            if time.monotonic() - self._looked > LOOK_EVERY_S:
                self._look()
            since = datetime.now(UTC) - timedelta(hours=hours)
            return [row for row in self._rows if row["window_start"] >= since], dict(self._live)

    def close(self) -> None:
        """Let go of the catalog."""
        self._lake.close()

    def _look(self) -> None:
        self._looked = time.monotonic()
        try:
            snapshot = self._lake.snapshot(METRICS) if self._lake.exists(METRICS) else None
            if snapshot is None:
                self._nothing("absent")
            elif snapshot != self._snapshot:
                self._read(snapshot)
        except (C360Error, OSError) as error:
            LOG.warning("the windows of the streams cannot be read: %s", error)
            self._nothing("not_available")

    def _nothing(self, state: str) -> None:
        self._snapshot = 0
        self._rows: list[dict[str, Any]] = []
        self._live: dict[str, Any] = {"state": state}

    def _read(self, snapshot: int) -> None:
        import polars as pl

        since = (datetime.now(UTC) - timedelta(hours=MOST_HOURS)).isoformat()
        read = self._lake.read(METRICS, list(COLUMNS), f"window_start >= '{since}'", snapshot_id=snapshot)
        order = ["window_start", "source_topic", "event_type", "measure"]
        rows = pl.DataFrame(pl.from_arrow(read)).sort(order, descending=[True, False, False, False])
        self._rows = rows.with_columns(pl.col("value_sum").cast(pl.String)).to_dicts()
        [commit] = [info for info in self._lake.history(METRICS) if info.snapshot_id == snapshot]
        self._live = {"state": "live", "snapshot": str(snapshot), "committed_at": commit.committed_at}
        self._snapshot = snapshot
