"""A disk that fails under Dagster's own storage, said in one sentence instead of a database driver's traceback."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from c360.errors import C360Error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FREE = "free disk space and run again"
_WRITABLE = "make the folder writable, or set C360_HOME to one that is"
_NUMBERS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _FREE),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _WRITABLE),
}
# SQLite says "I/O error" where a file may not grow, and "unable to open" where its journal cannot be made.
_TEXTS = {
    "disk is full": _FREE,
    "disk I/O error": _FREE,
    "readonly database": _WRITABLE,
    "unable to open database file": _WRITABLE,
}


@contextmanager
def storage_named(home: Path) -> Iterator[None]:
    """Raise C360Error with its mend where the block failed because ``home`` takes no writes; pass on all else."""
    try:
        yield
    except C360Error:
        raise
    except Exception as error:
        found = _fault(error)
        if found is None:
            raise
        reason, mend = found
        raise C360Error(f"{home} takes no more writes ({reason})", mend) from error


def _fault(error: BaseException | None) -> tuple[str, str] | None:
    """Reason and mend of the first failure of storage along the causes: Dagster wraps what its storage raised."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NUMBERS:
            return error.strerror or str(error), _NUMBERS[error.errno]
        if isinstance(error, DBAPIError):
            reason = str(error.orig)
            for text, mend in _TEXTS.items():
                if text in reason:
                    return reason, mend
        error = error.__cause__ or error.__context__
    return None
