"""What this folder's stack has started: ``<home>/stack.json``, changed only under ``<home>/stack.lock``.

The file is written before a process exists (its token) and again after (its pid), so that even a ``kill -9`` of the
command between the two leaves nothing that a later command cannot find.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import psutil

from c360.engines.exclusive import exclusive
from c360.engines.identity import Identity
from c360.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION = 1


@dataclass(frozen=True)
class Entry:
    """One started process of the stack; ``pid`` (the guard) is 0 until the process exists."""

    name: str
    token: str
    pid: int = 0
    created: float = 0.0
    engine_pid: int = 0
    port: int | None = None
    address: str = ""
    log: str = ""
    started_at: float = 0.0
    ready: bool = False

    @property
    def identity(self) -> Identity:
        """How to recognise the process."""
        return Identity(self.pid, self.created, self.token)

    def alive(self) -> bool:
        """Whether the engine itself (not only its guard) runs."""
        return (
            self.identity.process() is not None
            and Identity(self.engine_pid, self.started_at, self.token).process() is not None
        )


class StackState:
    """The state file of one home folder."""

    def __init__(self, home: Path) -> None:
        self.path = home / "stack.json"

    def entries(self) -> dict[str, Entry]:
        """Recorded processes by name, alive or not.

        Raises:
            EngineError: the file cannot be read.
        """
        try:
            document: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
            return {name: Entry(**entry) for name, entry in document["engines"].items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise EngineError(
                f"{self.path} cannot be read ({error})", "delete it, then end left-over engines by hand"
            ) from error

    def put(self, entry: Entry) -> Entry:
        """Add or replace one entry (under the lock)."""
        self._write(self.entries() | {entry.name: entry})
        return entry

    def drop(self, name: str) -> None:
        """Forget one entry (under the lock)."""
        entries = self.entries()
        if entries.pop(name, None) is not None:
            self._write(entries)

    @contextmanager
    def exclusive(self, verb: str, patience: float) -> Iterator[None]:
        """Hold the folder's lock; waits ``patience`` seconds for another command to finish.

        Raises:
            EngineError: another command holds it (its pid is named), or the folder cannot be written.
        """
        with exclusive(self.path.parent, "stack", verb, patience):
            yield

    def _write(self, entries: dict[str, Entry]) -> None:
        document = {"version": VERSION, "engines": {name: asdict(entry) for name, entry in entries.items()}}
        partial = self.path.with_name(f"{self.path.name}.{os.getpid()}.part")
        try:
            with partial.open("w", encoding="utf-8") as stream:
                json.dump(document, stream, indent=2)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(self.path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise EngineError(f"{self.path} cannot be written ({error.strerror})", "free some space") from error


def started(entry: Entry, identity: Identity, engine_pid: int) -> Entry:
    """The entry once its process exists."""
    try:
        created = psutil.Process(engine_pid).create_time()
    except psutil.Error:
        created = time.time()
    return replace(entry, pid=identity.pid, created=identity.created, engine_pid=engine_pid, started_at=created)
