"""Failures of catalog and storage, told apart: what passes by itself is retried, what does not names its mend."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    NoSuchNamespaceError,
    NoSuchTableError,
    RESTError,
)
from sqlalchemy.exc import DBAPIError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from c360.errors import C360Error, LakehouseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_LOCKED = ("database is locked", "database table is locked", "database schema is locked")
_CONTENDED = (*_LOCKED, "deadlock detected", "could not serialize access")
_READ_ONLY = ("readonly database", "unable to open database file")
_FULL = "database or disk is full"


def is_contention(error: BaseException) -> bool:
    """Whether another writer got in between: the commit certainly did not land and may be tried again."""
    if isinstance(error, DBAPIError):
        return any(text in str(error) for text in _CONTENDED)
    return isinstance(error, CommitFailedException)


def retry_contention(attempt: Callable[[], T], timeout_s: float) -> T:
    """Call ``attempt`` until it succeeds, fails for good, or ``timeout_s`` seconds of contention have passed."""
    retrying = Retrying(
        retry=retry_if_exception(is_contention),
        wait=wait_random_exponential(multiplier=0.02, max=1.0),
        stop=stop_after_delay(timeout_s),
        reraise=True,
    )
    return retrying(attempt)


@contextmanager
def named(action: str) -> Iterator[None]:
    """Turn a failure of catalog or storage during ``action`` ("write silver.orders") into a LakehouseError."""
    try:
        yield
    except C360Error:
        raise
    except NoSuchTableError as error:
        raise LakehouseError(f"Cannot {action}: the table does not exist", "materialise the table first") from error
    except NoSuchNamespaceError as error:
        raise LakehouseError(f"Cannot {action}: its layer does not exist", "materialise the table first") from error
    except CommitStateUnknownException as error:
        raise LakehouseError(
            f"Cannot tell whether the catalog took the commit to {action}", "check that the catalog answers, then rerun"
        ) from error
    except CommitFailedException as error:
        raise LakehouseError(
            f"Cannot {action}: other writers won every retry ({error})", "rerun when fewer runs write this table"
        ) from error
    except DBAPIError as error:
        raise _of_database(action, error) from error
    except RESTError as error:
        raise LakehouseError(
            f"Cannot {action}: the REST catalog answered {error}", "check C360_CATALOG_URI and C360_CATALOG_TOKEN"
        ) from error
    except OSError as error:
        raise _of_storage(action, error) from error


def _of_database(action: str, error: DBAPIError) -> LakehouseError:
    text = str(error.orig)
    if any(part in text for part in _LOCKED):
        return LakehouseError(
            f"Cannot {action}: another process has kept the catalog locked for longer than the timeout",
            "let that process finish, or end it, and rerun",
        )
    if _FULL in text:
        return LakehouseError(f"Cannot {action}: the catalog's disk is full", "free disk space and rerun")
    if any(part in text for part in _READ_ONLY):
        return LakehouseError(
            f"Cannot {action}: the catalog file cannot be written",
            "make the catalog's folder writable, or point C360_HOME at a writable folder",
        )
    first_line = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    return LakehouseError(
        f"Cannot {action}: the catalog answered '{first_line}'", "check that the catalog at C360_CATALOG_URI is up"
    )


def _of_storage(action: str, error: OSError) -> LakehouseError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return LakehouseError(
            f"Cannot {action}: the warehouse's disk is full, or its limit of size reached", "free disk space and rerun"
        )
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return LakehouseError(
            f"Cannot {action}: the warehouse is read-only",
            "make the warehouse folder writable, or set C360_WAREHOUSE to a writable place",
        )
    return LakehouseError(
        f"Cannot {action}: the warehouse answered '{error}'", "check the warehouse at C360_WAREHOUSE, then rerun"
    )
