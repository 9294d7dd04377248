"""Cursors: where a page ended, in which release, under a signature; a changed one is an error and no other page."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING, Annotated, TypeVar

import orjson
from fastapi import Query

from api.problem import ProblemError
from c360.privacy.keyed import derived_key

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")
MOST = 200
SIGNED = 12
Limit = Annotated[int, Query(ge=1, le=MOST, description="Items on a page.")]
Cursor = Annotated[str | None, Query(max_length=2000, description="`next` of the page before.")]


class Cursors:
    """``key`` as of :func:`c360.privacy.keyed.hash_key`."""

    def __init__(self, key: bytes) -> None:
        self._key = derived_key(key, "cursor")

    def make(self, release: str, about: str, after: str) -> str:
        """A cursor into the list ``about`` (path and filters) of a release, after the item ``after``."""
        body = orjson.dumps([release, about, after])
        return base64.urlsafe_b64encode(self._sign(body) + body).decode().rstrip("=")

    def read(self, cursor: str, about: str) -> tuple[str, str]:
        """Release and the item after which the page begins.

        Raises ProblemError 400 for a cursor that was not made here, or for another list.
        """
        release, of, after = self._open(cursor)
        if of != about:
            raise _no_cursor()
        return release, after

    def release(self, cursor: str) -> str:
        """The release that a cursor holds on to, of whichever list it is. Raises ProblemError 400."""
        return self._open(cursor)[0]

    def _open(self, cursor: str) -> tuple[str, str, str]:
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            signature, body = raw[:SIGNED], raw[SIGNED:]
            if not hmac.compare_digest(signature, self._sign(body)):
                raise ValueError
            release, of, after = orjson.loads(body)
        except (ValueError, binascii.Error):
            raise _no_cursor() from None
        return str(release), str(of), str(after)

    def _sign(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:SIGNED]


def _no_cursor() -> ProblemError:
    return ProblemError(400, "cursor_not_valid", "The cursor is none of this list; begin without one.")


def page(items: Sequence[T], offset: int, limit: int) -> tuple[Sequence[T], int | None]:
    """The page from ``offset`` on, and where the next one begins; None after the last."""
    end = offset + limit
    return items[offset:end], end if end < len(items) else None
