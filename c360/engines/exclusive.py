"""One command at a time on one folder, and the other one told who is at work."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from c360.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def exclusive(folder: Path, name: str, verb: str, patience: float) -> Iterator[None]:
    """Hold ``<folder>/<name>.lock`` for a block; waits ``patience`` seconds for the ``verb`` that holds it.

    The lock is the kernel's: it is free again however its holder ends. Not reentrant.

    Raises:
        EngineError: another command holds it (its verb and pid are named), or the folder cannot be written.
    """
    holder = folder / f"{name}.holder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock")
        lock.acquire(timeout=patience)
    except Timeout as error:
        raise EngineError(
            f"{_who(holder)} is at work on {folder}", "wait until it has finished, or use another folder (C360_HOME)"
        ) from error
    except OSError as error:
        raise EngineError(
            f"{folder} cannot be written ({error.strerror or error})",
            "set C360_HOME to a folder that this user may write",
        ) from error
    try:
        with suppress(OSError):  # the name only serves the other one's message; the lock holds without it
            holder.write_text(f"{verb} {os.getpid()}", encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _who(holder: Path) -> str:
    try:
        verb, pid = holder.read_text(encoding="utf-8").split()
    except (OSError, ValueError):
        return "Another command"
    return f"Another '{verb}' (pid {pid})"
