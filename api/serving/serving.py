"""Which release answers: the served one now, or the one that was served at a past moment."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from api.serving.source import IndexSource, ReleaseSource, ScanSource
from c360.errors import C360Error, LakehouseError
from c360.lakehouse import Lakehouse
from c360.serving.index import DamagedIndexError
from c360.serving.model import TABLES
from c360.serving.release import moments, release
from c360.serving.store import Store

if TYPE_CHECKING:
    from c360.serving.release import Release
    from c360.settings import Settings

LOG = logging.getLogger("c360.api")
LOOK_EVERY_S = 0.5
HISTORY_FOR_S = 5.0
ASKED_WITHIN_S = 60.0
"""For how long after a question about the past the history of releases is kept fresh."""
SCANNED, SCANNED_FOR_S = 100, 60.0
"""Releases without an index that are remembered, and for how long: their snapshots may expire."""
OPENED = 4
"""Indexes of past releases that stay open."""


class NoReleaseError(C360Error):
    """There is nothing to answer from: no index yet, or no release as old as the moment asked for."""


class Serving:
    """Follows the served index, in a thread of its own, so that a request never waits for one to be verified.

    A new index replaces the old between two requests; whoever still reads the old one keeps it.
    """

    def __init__(self, settings: Settings) -> None:
        self._store = Store(settings.serving_dir)
        self._lake = Lakehouse(settings, lock_timeout_s=2.0)
        self._now: IndexSource | None = None
        self._past: dict[str, IndexSource] = {}
        self._history: tuple[float, float, list[tuple[datetime, str]]] = (float("-inf"), 0.0, [])
        self._asked = float("-inf")
        self._scanned: dict[str, ScanSource] = {}
        self._scanned_since = float("-inf")
        self._damaged: dict[str, float] = {}
        self._lock, self._looking = threading.Lock(), threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="serving", daemon=True)
        self.refused: str | None = None
        """Why the newest index is not served; None while it is."""

    def start(self) -> None:
        """Open the served index, or the newest whole one, and follow."""
        self._look()
        self._thread.start()

    def close(self) -> None:
        """Stop following. Indexes close with their last reader."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        self._lake.close()

    @property
    def ready(self) -> IndexSource | None:
        """What answers now; None before the first index."""
        return self._now

    @property
    def age_s(self) -> float | None:
        """Seconds since what answers now was published; None before the first index."""
        return None if self._now is None else (datetime.now(UTC) - self._now.published_at).total_seconds()

    def kept(self) -> list[dict[str, str]]:
        """The releases that have an index, newest first."""
        return [
            {"id": each.release, "as_of": each.as_of, "published_at": each.published_at}
            for each in self._store.manifests()
        ]

    def now(self) -> IndexSource:
        """Raises NoReleaseError."""
        if self._now is None:
            raise NoReleaseError("There is no index to answer from", "materialise serving/customer_index")
        return self._now

    def at(self, moment: datetime) -> ReleaseSource:
        """The release served at ``moment`` (aware, not in the future). May read the catalog: not for the event loop.

        Raises:
            NoReleaseError: nothing was published by then, or it has expired.
        """
        with self._looking:
            if time.monotonic() - self._history[0] > HISTORY_FOR_S or moment.timestamp() > self._history[1]:
                self._read_history()
        indexed = self.known(moment)
        if indexed is not None:
            return indexed
        scanned = self._known_scan(self._name_at(moment))
        if scanned is not None:
            return scanned
        try:
            found = release(self._lake, TABLES, as_of=moment)
        except LakehouseError as error:
            raise NoReleaseError(error.problem, error.mend) from error
        return self._indexed(str(found.id)) or self._scan(found)

    def known(self, moment: datetime) -> IndexSource | None:
        """What :meth:`at` gives, if that can be told at once: from an open index, without reading the catalog."""
        self._asked = time.monotonic()
        looked, until, _ = self._history
        if self._asked - looked > HISTORY_FOR_S:
            return None
        name, current = self._name_at(moment), self._now
        if current is not None and current.id == name:
            return current
        # Since the history was read another release may have come.
        return self._past.get(name) if moment.timestamp() <= until else None

    def _name_at(self, moment: datetime) -> str:
        return next((name for since, name in reversed(self._history[2]) if since <= moment), "")

    def _known_scan(self, name: str) -> ScanSource | None:
        """Which snapshots belong to a release takes half of a scan to find out, and stays true for a while."""
        with self._lock:
            if len(self._scanned) >= SCANNED or time.monotonic() - self._scanned_since > SCANNED_FOR_S:
                self._scanned, self._scanned_since = {}, time.monotonic()
            return self._scanned.get(name)

    def _scan(self, found: Release) -> ScanSource:
        source = ScanSource(self._lake, found)
        with self._lock:
            return self._scanned.setdefault(source.id, source)

    def named(self, name: str) -> ReleaseSource:
        """The release of that id, for the pages after the first. Raises NoReleaseError where its index is gone."""
        found = self._indexed(name) if name.isdigit() else None
        if found is None:
            raise NoReleaseError("The release of this list is no longer kept", "begin again without a cursor")
        return found

    def _indexed(self, name: str) -> IndexSource | None:
        if self._now is not None and self._now.id == name:
            return self._now
        with self._lock:
            if time.monotonic() - self._damaged.get(name, float("-inf")) < SCANNED_FOR_S:
                return None
            if name not in self._past:
                try:
                    found = IndexSource(self._store.open(name))
                except DamagedIndexError:
                    # To find that out once more may take a second of reading.
                    self._damaged[name] = time.monotonic()
                    return None
                self._past[name] = found
                self._trim()
                return found
            return self._past[name]

    def _keep(self, former: IndexSource) -> None:
        """What was served until now is what is asked for next: it need not be verified again."""
        with self._lock:
            self._past[former.id] = former
            self._trim()

    def _trim(self) -> None:
        """Forget indexes beyond the most that stay open, and those that have been removed."""
        for name in [name for name, each in self._past.items() if not each.index.folder.exists()]:
            self._past.pop(name)
        while len(self._past) > OPENED:
            self._past.pop(next(iter(self._past)))

    def _read_history(self) -> None:
        now = time.monotonic(), time.time()
        self._history = *now, moments(self._lake)

    def _follow(self) -> None:
        while not self._over.wait(LOOK_EVERY_S):
            self._look()
            with self._lock:
                self._trim()
            now = time.monotonic()
            if now - self._asked < ASKED_WITHIN_S and now - self._history[0] > HISTORY_FOR_S / 2:
                # So that no request has to wait for it.
                try:
                    with self._looking:
                        self._read_history()
                except (C360Error, OSError) as error:
                    LOG.warning("the history of releases cannot be read: %s", error)

    def _look(self) -> None:
        try:
            wanted = self._store.current
            if wanted is not None and (self._now is None or self._now.id != wanted):
                former, self._now, self.refused = self._now, IndexSource(self._store.open(wanted)), None
                if former is not None:
                    self._keep(former)
                LOG.info("serving release %s", wanted)
        except (C360Error, OSError) as error:
            problem = str(error)
            if problem != self.refused:
                LOG.warning("the served index is refused: %s", problem)
            self.refused = problem
            if self._now is None:
                self._fall_back()

    def _fall_back(self) -> None:
        """Before the first answer a damaged index is replaced by the newest whole one."""
        for manifest in self._store.manifests():
            try:
                self._now = IndexSource(self._store.open(manifest.release))
            except DamagedIndexError:
                continue
            LOG.warning("serving release %s instead", manifest.release)
            return


def parse_moment(text: str, now: datetime | None = None) -> datetime:
    """``as_of`` of a request: ISO 8601 with a time zone, not in the future.

    Raises ValueError naming what is wrong with it.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is no ISO 8601 moment, such as 2025-12-31T00:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("has no time zone; write it as 2025-12-31T00:00:00Z")
    if moment > (now or datetime.now(UTC)):
        raise ValueError("is in the future")
    return moment.astimezone(UTC)
