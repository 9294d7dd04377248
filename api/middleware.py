"""Around every request: an id, a limit to its size and time, security headers, a line in the log, and the counters."""

from __future__ import annotations

import logging
import os
import re
import time
from typing import TYPE_CHECKING, Any

from api.deadlines import Deadlines
from api.problem import ProblemError, problem_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from api.counting import Counting

LOG = logging.getLogger("c360.api.access")
MOST_BODY = 64 * 1024
MOST_SECONDS = 30.0
HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000"),
]
CLOSED = b"default-src 'none'; frame-ancestors 'none'"
"""What a browser may do with an answer: show it, and nothing further."""
POLICIES = {
    "/": b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    b"require-trusted-types-for 'script'; trusted-types 'none'",
}
"""Paths with another policy: the page runs its own files, asks this API, and makes no markup from text."""
_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")


class Around:
    """Pure ASGI: Starlette's own middleware class costs a task and two queues per request."""

    def __init__(self, app: ASGIApp, counting: Counting) -> None:
        self._app, self._counting, self._deadlines = app, counting, Deadlines(MOST_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; anything else passes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, started, clock = time.perf_counter(), 500, False, self._deadlines.begin()
        given, length = b"", b""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                given = given or value
            elif name == b"content-length":
                length = length or value or b"-"
        request_id = given.decode() if _ID.fullmatch(given) else os.urandom(16).hex()
        scope.setdefault("state", {})["request_id"] = request_id
        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MOST_BODY:
                raise _too_large()
            return message

        async def dressed(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                self._deadlines.let_off(clock)  # a stream may last as long as its reader reads
                policy = (b"content-security-policy", POLICIES.get(scope["path"], CLOSED))
                own = (b"x-request-id", request_id.encode())
                message = {**message, "headers": [*message["headers"], own, policy, *HEADERS]}
            await send(message)

        try:
            async with clock:
                if length and (not length.isdigit() or int(length) > MOST_BODY):
                    await problem_response(_too_large())(scope, receive, dressed)
                else:
                    await self._app(scope, limited, dressed)
        except TimeoutError:
            if not started:
                problem = ProblemError(503, "too_slow", "The answer took too long.", {"retry-after": "5"})
                await problem_response(problem)(scope, receive, dressed)
        finally:
            self._deadlines.let_off(clock)
            route = self._route(scope)
            seconds = time.perf_counter() - began
            self._counting.request(scope["method"], route, status, seconds)
            if LOG.isEnabledFor(logging.INFO):
                # The path may hold an id, so the route is logged in its place. Which line of code logs is no question.
                extra = {"request_id": request_id, "ms": round(seconds * 1000, 3)}
                values = (scope["method"], route, status)
                LOG.handle(LOG.makeRecord(LOG.name, logging.INFO, "", 0, "%s %s %s", values, None, extra=extra))

    @staticmethod
    def _route(scope: Scope) -> str:
        route: Any = scope.get("route")
        return str(route.path) if route is not None else "unknown"


def _too_large() -> ProblemError:
    return ProblemError(413, "too_large", f"A request has at most {MOST_BODY:,} bytes.")
