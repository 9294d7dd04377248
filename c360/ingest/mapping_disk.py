"""Files that appear complete or not at all, and refusals instead of operating system errors."""

from __future__ import annotations

import errno
import os
import secrets
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from c360.errors import LandingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STALE_SECONDS = 86_400


@contextmanager
def writable(landing: Path, day: Path) -> Iterator[None]:
    """The day's folder exists inside; operating system errors become refusals; empty new folders go again."""
    made = [p for p in (day, *day.parents) if not p.exists()]
    try:
        day.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        _remove_empty(made)
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise LandingError(
                f"There is no space left for the landing folder {landing} ({error.strerror})",
                "free some, or set C360_LANDING to another disk; nothing was landed",
            ) from error
        raise LandingError(
            f"The landing folder {landing} cannot be written: {error.strerror or error}",
            "give this user the right to write there, or set C360_LANDING",
        ) from error
    except BaseException:
        _remove_empty(made)
        raise


@contextmanager
def unfinished(final: Path) -> Iterator[Path]:
    """A hidden path beside the final one, gone afterwards unless it was renamed."""
    part = final.with_name(f".{final.name}.{secrets.token_hex(4)}.part")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def sweep(day: Path) -> None:
    """Remove what a killed run left behind long ago."""
    for part in day.glob(".*.part"):
        if time.time() - part.stat().st_mtime > STALE_SECONDS:
            part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the renames in a folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
