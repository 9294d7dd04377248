"""The files of the audit log: where they lie, how far each is written, and what a killed process left half done."""

from __future__ import annotations

import errno
import fcntl
import hmac
import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from pathlib import Path


FIRST = ""
"""``prev`` of a file's first record."""


class ChainedFile:
    """A new file of records, each with the code of the one before; not safe to use from several threads.

    Its lock is held as long as the process lives: who can take it knows that nobody writes here any more.
    """

    def __init__(self, path: Path, mac_key: bytes) -> None:
        self.path, self._mac_key = path, mac_key
        self.fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self.fd, fcntl.LOCK_EX)
        self.size, self._seq, self._last, self._torn = 0, 0, FIRST, False

    def append(self, record: dict[str, Any], now: float) -> None:
        """Write one record as a whole, or raise OSError and leave the file as it was.

        If not even that succeeds, the next call does it first. Raises TypeError for what JSON cannot hold.
        """
        if self._torn:
            os.ftruncate(self.fd, self.size)
            self._torn = False
        head = {"seq": self._seq, "at": datetime.fromtimestamp(now, UTC), "prev": self._last}
        body = orjson.dumps(head | record, option=orjson.OPT_UTC_Z)
        mac = hmac.digest(self._mac_key, body, "sha256").hex()
        line = b'%s,"mac":"%s"}\n' % (body[:-1], mac.encode())
        if (written := os.write(self.fd, line)) < len(line):
            self._torn = written > 0
            with suppress(OSError):
                os.ftruncate(self.fd, self.size)
                self._torn = False
            raise OSError(errno.ENOSPC, "only a part of the record was written")
        self.size += written
        self._seq, self._last = self._seq + 1, mac

    def close(self) -> None:
        """Let go of the file."""
        os.close(self.fd)


def audit_folder(home: Path) -> Path:
    """Where the audit log of a home lies."""
    return home / "api" / "audit"


def log_files(folder: Path) -> list[Path]:
    """The files of the log by day, then by the moment they were begun."""
    return sorted(folder.glob("audit-*.jsonl"))


def last_record(path: Path) -> tuple[int, str] | None:
    """(number of whole records, ``mac`` of the last) of a file, None if there is none."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        reach = 4096
        while True:
            file.seek(max(0, size - reach))
            lines = file.read().rpartition(b"\n")[0].split(b"\n")
            if len(lines) > 1 or reach >= size:
                break
            reach *= 4
    if not lines[-1]:
        return None
    with suppress(ValueError, KeyError):
        record = orjson.loads(lines[-1])
        return int(record["seq"]) + 1, str(record["mac"])
    return None


def set_aside(folder: Path) -> list[str]:
    """Move the torn last lines of files that nobody writes any more to ``<file>.torn``; the files' names.

    A line is torn if the process was killed, or the disk full, while it was written; no answer rests on it.
    """
    found = []
    for path in log_files(folder):
        with path.open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            size = file.seek(0, os.SEEK_END)
            if size == 0 or (file.seek(-1, os.SEEK_END) >= 0 and file.read(1) == b"\n"):
                continue
            start = _last_line(file, size)
            file.seek(start)
            with path.with_name(path.name + ".torn").open("ab") as torn:
                torn.write(file.read())
                torn.flush()
                os.fsync(torn.fileno())
            file.truncate(start)
            found.append(path.name)
    return found


def _last_line(file: IO[bytes], size: int) -> int:
    """Where the text after the last line end begins."""
    end = size
    while end > 0:
        start = max(0, end - 65_536)
        file.seek(start)
        at = file.read(end - start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0
