"""Landing discovery: which files are there, in an order that never changes."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from c360.errors import LandingError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from c360.contracts.model import Source

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}
_UNFINISHED = (".tmp", ".part")


@dataclass(frozen=True, order=True)
class LandingFile:
    """One complete landing file; ``relative`` is its path below the landing folder, with forward slashes."""

    batch_date: date
    relative: str
    path: Path
    sha256: str
    size: int


def discover(landing: Path, source: Source, batch_dates: Collection[date] | None = None) -> list[LandingFile]:
    """The source's files, of all days or of the given ones, ordered by day and path.

    Hidden files and files still being written (``.tmp``, ``.part``) are left out. Raises LandingError for a folder that
    is no day, a file of unknown format, and what cannot be read.
    """
    folder = landing / source.system / source.entity
    try:
        found = [
            (day, path)
            for day_folder in sorted(folder.iterdir() if folder.is_dir() else ())
            if not _ignored(day_folder)
            for day in [_day(day_folder, landing)]
            if batch_dates is None or day in batch_dates
            for path in sorted(day_folder.iterdir())
            if not _ignored(path)
        ]
        for _, path in found:
            _check_format(path, landing)
        with ThreadPoolExecutor() as pool:
            files = pool.map(lambda item: _landing_file(landing, *item), found)
            return sorted(files)
    except OSError as error:
        raise LandingError(
            f"Cannot read {error.filename or folder} ({error.strerror})", "give this user the right to read it"
        ) from error


def file_format(path: Path) -> str:
    """``csv``, ``jsonl`` or ``parquet``, by extension. Raises LandingError for any other."""
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise LandingError(
            f"{path.name} has no known format", "give it the extension .csv, .jsonl or .parquet, uncompressed"
        ) from None


def _ignored(path: Path) -> bool:
    return path.name.startswith((".", "_")) or path.suffix.lower() in _UNFINISHED


def _day(folder: Path, landing: Path) -> date:
    try:
        if not folder.is_dir() or len(folder.name) != len("2025-01-01"):
            raise ValueError
        return date.fromisoformat(folder.name)
    except ValueError:
        raise LandingError(
            f"{folder.relative_to(landing).as_posix()} is not a folder named by its day",
            "put the files into a folder such as 2025-01-31",
        ) from None


def _check_format(path: Path, landing: Path) -> None:
    if path.is_dir():
        raise LandingError(
            f"{path.relative_to(landing).as_posix()} is a folder inside a day", "put its files directly into the day"
        )
    file_format(path)


def _landing_file(landing: Path, day: date, path: Path) -> LandingFile:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return LandingFile(day, path.relative_to(landing).as_posix(), path, digest, path.stat().st_size)
