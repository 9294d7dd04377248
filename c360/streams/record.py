"""What is known of a stream beyond Flink's memory: ``<home>/streams/<stream>.json``, changed only under its lock.

The id of a job is chosen here and written down before Flink hears of it, so that a command that dies in between leaves
nothing unknown, and the same submission cannot happen twice. The id says whose it is and when it was chosen, so that
checkpoint folders and Iceberg's snapshots tell their stream even when this record is lost.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from c360.engines.exclusive import exclusive
from c360.errors import StreamError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

VERSION = 1
KEPT_LAUNCHES = 50
PLAUSIBLE = (1_577_836_800_000, 4_102_444_800_000)  # 2020 to 2100
Wanted = Literal["running", "stopped"]


def id_prefix(stream: str) -> str:
    """The first 12 hex digits of every job id of a stream."""
    return hashlib.sha256(stream.encode()).hexdigest()[:12]


def new_job_id(stream: str, now: datetime) -> str:
    """A job id of Flink's form: 12 hex digits of the stream, 12 of the time in milliseconds, 8 of chance."""
    return f"{id_prefix(stream)}{int(now.timestamp() * 1000):012x}{secrets.token_hex(4)}"


def chosen_at(job_id: str) -> datetime | None:
    """When :func:`new_job_id` chose an id; None for an id that somebody else chose."""
    milliseconds = int(job_id[12:24], 16)
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC) if PLAUSIBLE[0] < milliseconds < PLAUSIBLE[1] else None


@dataclass(frozen=True)
class Launch:
    """One submission; ``restored_from`` is the state's path, ``confirmed`` False until Flink has accepted it."""

    job_id: str
    fingerprint: str
    restored_from: str | None = None
    confirmed: bool = False

    @property
    def at(self) -> datetime:
        """When it was written down, just before it was submitted."""
        return chosen_at(self.job_id) or datetime.fromtimestamp(0, tz=UTC)


@dataclass(frozen=True)
class Savepoint:
    """A savepoint that a stop has taken of one job."""

    path: str
    job_id: str


@dataclass(frozen=True)
class Record:
    """The record of one stream.

    ``wanted`` overrides the job's own; ``wanted_by`` says why. ``statements`` are those of ``fingerprint``, the SQL
    that runs or ran last. ``failures`` counts starts in a row that came to nothing. ``fresh_since`` is the first job
    id after a person has accepted to begin without state. ``ending`` is the job that this product has ended itself,
    written down before it does: a command that dies between two jobs is told from a person in Flink's own UI.
    """

    stream: str
    wanted: Wanted | None = None
    wanted_by: str = ""
    launches: tuple[Launch, ...] = ()
    savepoint: Savepoint | None = None
    fingerprint: str = ""
    statements: tuple[str, ...] = ()
    failures: int = 0
    failed_at: float = 0.0
    failed_job: str = ""
    failure: str = ""
    fresh_since: str = ""
    ending: str = ""

    @property
    def newest(self) -> Launch | None:
        """The last submission."""
        return self.launches[-1] if self.launches else None

    def launched(self, launch: Launch) -> Record:
        """With one more submission."""
        return replace(self, launches=(*self.launches, launch)[-KEPT_LAUNCHES:])

    def confirmed(self, job_id: str) -> Record:
        """With a submission that Flink has accepted."""
        changed = (replace(each, confirmed=True) if each.job_id == job_id else each for each in self.launches)
        return replace(self, launches=tuple(changed))

    def failed(self, job_id: str, reason: str, now: datetime) -> Record:
        """With one more failure; the same submission counts once."""
        if self.failed_job == job_id:
            return self
        return replace(
            self, failures=self.failures + 1, failed_at=now.timestamp(), failed_job=job_id, failure=reason[:500]
        )

    def healthy(self) -> Record:
        """With the failures forgotten."""
        return replace(self, failures=0, failed_at=0.0, failure="") if self.failures else self


class Records:
    """The records below one home folder."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "streams"

    def path(self, stream: str) -> Path:
        """The record's file."""
        return self.folder / f"{stream}.json"

    def read(self, stream: str) -> Record:
        """The record; an empty one if there is none.

        Raises:
            StreamError: the file cannot be read.
        """
        path = self.path(stream)
        try:
            told = json.loads(path.read_text(encoding="utf-8"))["record"]
            told["launches"] = tuple(Launch(**launch) for launch in told["launches"])
            told["savepoint"] = Savepoint(**told["savepoint"]) if told["savepoint"] else None
            told["statements"] = tuple(told["statements"])
            return Record(**told)
        except FileNotFoundError:
            return Record(stream)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise StreamError(
                f"{path} cannot be read ({error})",
                "restore it, or delete it: checkpoints and tables still tell what the stream has done",
            ) from error

    def write(self, record: Record) -> Record:
        """Replace the record in one step (under the lock); readable by its owner only, as SQL may hold addresses.

        Raises:
            StreamError: the file cannot be written.
        """
        path = self.path(record.stream)
        partial = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with open(partial, "w", encoding="utf-8", opener=_private) as stream:
                json.dump({"version": VERSION, "record": asdict(record)}, stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise StreamError(
                f"{path} cannot be written ({error.strerror})", "free some space, or its rights"
            ) from error
        return record

    def exclusive(self, stream: str, verb: str, patience: float) -> AbstractContextManager[None]:
        """Hold the stream's lock; EngineError names the command that holds it after ``patience`` seconds."""
        return exclusive(self.folder, stream, verb, patience)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
