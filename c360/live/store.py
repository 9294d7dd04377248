"""Where the live values are kept: one SQLite file, written by one process, read by any number.

The positions up to which the topics were read are written in the same transaction as the values, so that a crash loses
nothing and repeats nothing that would matter.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from c360.live.parts import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from c360.events.places import Place

FILE = "live.sqlite"
FRESH_S = 5.0
"""Seconds after which a follower that has not heard from the broker counts as stopped, and unread messages as delay."""
KEPT_DAYS = 30

_LAYOUT = """
CREATE TABLE IF NOT EXISTS part (
  customer_id TEXT NOT NULL, part TEXT NOT NULL, event_us INTEGER NOT NULL, event_id TEXT NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (customer_id, part)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS position (
  topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
  one INTEGER PRIMARY KEY CHECK (one = 1), broker_s REAL NOT NULL, current_s REAL NOT NULL, unread INTEGER NOT NULL
) STRICT;
"""
_PUT = """
INSERT INTO part VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
SET event_us = excluded.event_us, event_id = excluded.event_id, body = excluded.body
WHERE (excluded.event_us, excluded.event_id) > (part.event_us, part.event_id)
"""


class LiveStore:
    """The writer's side. Raises sqlite3.Error where the file cannot be written."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(folder / FILE, isolation_level=None, timeout=10)
        self._connection.execute("PRAGMA journal_mode = WAL")
        # A crash of the machine may undo the last commits, values and positions alike: they are read once more.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_LAYOUT)

    def positions(self) -> dict[Place, int]:
        """Topic and partition → the offset to go on with."""
        rows = self._connection.execute("SELECT topic, partition, next FROM position")
        return {(topic, partition): offset for topic, partition, offset in rows}

    def put(self, values: Iterable[Value], positions: Mapping[Place, int]) -> None:
        """Values and how far was read, together. An older value does not replace a newer one."""
        with self._connection as transaction:
            transaction.execute("BEGIN IMMEDIATE")
            rows = ((v.customer_id, v.part, v.event_us, v.event_id, v.body) for v in values)
            transaction.executemany(_PUT, rows)
            rows_of_positions = ((*place, offset) for place, offset in positions.items())
            transaction.executemany("INSERT OR REPLACE INTO position VALUES (?, ?, ?)", rows_of_positions)

    def saw(self, current_s: float, unread: int) -> None:
        """The broker has answered just now: what arrived by ``current_s`` has been read, so many messages have not."""
        self._connection.execute("INSERT OR REPLACE INTO seen VALUES (1, ?, ?, ?)", (time.time(), current_s, unread))

    def forget(self, before_us: int) -> int:
        """Remove values of events older than that; how many."""
        return self._connection.execute("DELETE FROM part WHERE event_us < ?", (before_us,)).rowcount

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


@dataclass(frozen=True)
class Liveness:
    """How far reality is ahead.

    ``state``: ``live``; ``behind``: messages wait unread for seconds; ``stopped``: nothing is read; ``absent``: never
    was. ``current_s``: what had arrived by then (seconds since 1970) has been read; None where nothing was.
    """

    state: str
    current_s: float | None
    unread: int


class LiveReader:
    """The reader's side, for any thread; a file that is not there, or cannot be read, is ``absent``."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] = (0, 0)
        self._looked = float("-inf")

    def read(self, customer_id: str) -> tuple[Liveness, dict[str, Value]]:
        """How live it is, and the customer's parts by name."""
        with self._lock:
            try:
                connection = self._open()
                if connection is None:
                    return Liveness("absent", None, 0), {}
                seen = connection.execute("SELECT broker_s, current_s, unread FROM seen").fetchone()
                rows = connection.execute("SELECT * FROM part WHERE customer_id = ?", (customer_id,)).fetchall()
            except sqlite3.Error:
                self._close()
                return Liveness("absent", None, 0), {}
        return liveness_of(seen), {value.part: value for value in (Value(*row) for row in rows)}

    def liveness(self) -> Liveness:
        """How live it is."""
        return self.read("")[0]

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection | None:
        now = time.monotonic()
        if self._connection is not None and now - self._looked < 1:
            return self._connection
        self._looked = now
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._close()
            return None
        # A file in the place of another is another lake's, or a new beginning.
        if self._connection is None or self._opened != (status.st_dev, status.st_ino):
            self._close()
            with closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True)) as probe:
                probe.execute("SELECT 1 FROM seen, part LIMIT 1")
            self._connection = sqlite3.connect(
                f"{self._path.as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False, timeout=1
            )
            self._opened = status.st_dev, status.st_ino
        return self._connection


def liveness_of(seen: tuple[float, float, int] | None) -> Liveness:
    """What a reader of topics wrote down last: when the broker answered, what it had read by then, what it had not."""
    if seen is None:
        return Liveness("absent", None, 0)
    broker_s, current_s, unread = seen
    now = time.time()
    state = "stopped" if now - broker_s > FRESH_S else "behind" if now - current_s > FRESH_S else "live"
    return Liveness(state, current_s, unread)
