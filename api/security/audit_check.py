"""Reading the audit log again: whether it is whole, and what it says."""

from __future__ import annotations

import fcntl
import hmac
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from api.security.audit import audit_key
from api.security.audit_files import FIRST, log_files
from api.security.errors import AuditError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TAIL = 2**20


@dataclass(frozen=True)
class Verified:
    """What a check of the log found: no ``problems`` means that nothing was edited, removed or forged."""

    files: int
    records: int
    problems: tuple[str, ...]


def verify(folder: Path, key: bytes) -> Verified:
    """Check every record of every file against its code, and the files against what each says of the others.

    The last records of the youngest file can be missing without a trace until another file begins. Raises AuditError
    if a file cannot be read.
    """
    mac_key, problems, total = audit_key(key), [], 0
    macs: dict[str, list[str]] = {}
    seen: list[tuple[str, str, int, str]] = []
    files = log_files(folder)
    for path in files:
        macs[path.name] = []
        try:
            for record, problem in _checked(path, mac_key):
                if problem:
                    problems.append(f"{path.name}: {problem}")
                    break
                macs[path.name].append(record["mac"])
                seen += [(path.name, name, count, mac) for name, (count, mac) in record.get("seen", {}).items()]
        except OSError as error:
            raise AuditError(f"{path} cannot be read ({error.strerror})", "give this process the right to") from error
        total += len(macs[path.name])
    for by, name, count, mac in seen:
        if name not in macs:
            problems.append(f"{name}: gone, although {by} has seen it")
        elif len(macs[name]) < count or macs[name][count - 1] != mac:
            problems.append(f"{name}: record {count - 1} is not the one that {by} has seen")
    return Verified(len(files), total, tuple(dict.fromkeys(problems)))


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """All whole records of requests, file by file, oldest file first; not checked."""
    for path in log_files(folder):
        with path.open("rb") as file:
            for line in file:
                record = _parsed(line)
                if record is not None and "start" not in record:
                    yield record


def tail(folder: Path, count: int) -> list[dict[str, Any]]:
    """The last records of requests, oldest first, of all processes together; of each file at most its last MiB."""
    found: list[dict[str, Any]] = []
    for path in reversed(log_files(folder)):
        if len(found) >= count and path.name[:16] != _oldest_day(found):
            break
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            lines = file.read().split(b"\n")[0 if size <= _TAIL else 1 :]
        parsed = [record for line in lines if (record := _parsed(line)) is not None]
        found = [record for record in parsed if "start" not in record] + found
    return sorted(found, key=lambda record: str(record["at"]).removesuffix("Z"))[-count:]


def _oldest_day(found: list[dict[str, Any]]) -> str:
    """The beginning of the name of files that hold records of the oldest day found."""
    return "audit-" + min(str(record["at"])[:10] for record in found)


def _checked(path: Path, mac_key: bytes) -> Iterator[tuple[dict[str, Any], str]]:
    """Each record and what is wrong with it, empty if nothing; nothing comes after the first wrong one."""
    prev = FIRST
    with path.open("rb") as file:
        for seq, line in enumerate(file):
            record = _parsed(line)
            if not line.endswith(b"\n"):
                if not _written_to(path):
                    yield {}, f"its last line (record {seq}) is torn"
                return
            if record is None:
                yield {}, f"line {seq + 1} is no record"
                return
            body, found, _ = line.rpartition(b',"mac":"')
            code = hmac.digest(mac_key, body + b"}", "sha256").hex()
            if not found or not hmac.compare_digest(line, body + b',"mac":"' + code.encode() + b'"}\n'):
                yield record, f"record {seq} was altered or written with another key"
                return
            if record["seq"] != seq or record["prev"] != prev or (seq == 0) != ("start" in record):
                yield record, f"before record {seq} something was removed or put in"
                return
            prev = record["mac"]
            yield record, ""


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = orjson.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _written_to(path: Path) -> bool:
    """Whether a process still writes this file: its last line may then be on its way."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
