"""What can go wrong with a call. No error holds the request, so none holds the key or the token."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class ClientError(Exception):
    """Base of all errors of a call."""


class UnreachableError(ClientError):
    """No whole answer came: no connection, too late, or broken off."""


class ApiError(ClientError):
    """The API refused.

    ``code`` is a fixed word for programs, ``detail`` a sentence for people, ``errors`` name what was not valid and why.
    ``request_id`` finds the request in the API's logs; ``retry_after_s`` is how long it asks to wait, if it does.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        request_id: str = "",
        retry_after_s: float | None = None,
        errors: tuple[str, ...] = (),
    ) -> None:
        about = f" (request {request_id})" if request_id else ""
        super().__init__(" ".join([f"{status} {code}: {detail}", *errors]) + about)
        self.status, self.code, self.detail, self.errors = status, code, detail, errors
        self.request_id, self.retry_after_s = request_id, retry_after_s


class CursorExpiredError(ApiError):
    """The release that a list was being read from is no longer kept: read the list again from its beginning."""


def refusal(status: int, headers: Mapping[str, str], body: bytes, now: float, secret: str) -> ApiError:
    """The error that an answer other than 200 tells of.

    ``now`` is the time in seconds since 1970, for a Retry-After that is a date. Whatever comes back, ``secret`` is cut
    out of it.
    """

    def told(value: object) -> str:
        return str(value).replace(secret, "***") if secret else str(value)

    try:
        found = json.loads(body)
    except ValueError:
        found = None
    # What is no problem comes from something on the way, such as a proxy, or is a query that was not run.
    problem: dict[str, Any] = {"code": f"http_{status}", "detail": "The answer says no more."}
    problem |= found if isinstance(found, dict) else {}
    listed = problem.get("errors")
    errors = [
        told(each.get("message") or f"{each.get('where')}: {each.get('why')}")
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, dict)
    ]
    kind = CursorExpiredError if problem["code"] == "cursor_expired" else ApiError
    return kind(
        status,
        told(problem["code"]),
        told(problem["detail"]),
        request_id=told(headers.get("x-request-id", "")),
        retry_after_s=_retry_after(headers.get("retry-after", ""), now),
        errors=tuple(errors),
    )


def unreachable(error: Exception) -> UnreachableError:
    """What is told of an HTTP client's error, which itself may hold the request and its credential."""
    return UnreachableError(f"No whole answer: {type(error).__name__}")


def _retry_after(text: str, now: float) -> float | None:
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except ValueError:
        return None
