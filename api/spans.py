"""A span around each request, by OpenTelemetry's conventions for HTTP, and what the log says of it.

Written here and not taken from an instrumentation package: those of ASGI and of FastAPI record the path and the query
string, in which ids stand, and take several times as long as all that is needed. Of a request there is its method, the
route's template, the status and nothing that a caller wrote but the ids of ``traceparent``.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


IDS: ContextVar[SpanContext | None] = ContextVar("c360_span_ids", default=None)
"""Of the request that is being handled; None outside of requests, and where there are no traces."""
BELOW: ContextVar[Context | None] = ContextVar("c360_below_span", default=None)
"""Where the steps of that request hang; None where it is not sampled, too."""


class Spans:
    """ASGI, outside of everything that answers. Answers to sampled requests name their span in ``traceresponse``.

    After an exception the ids stay: the line about it is written further out, and shall name the span as well.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app, self._tracer = app, tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; anything else passes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        about = {"http.request.method": method, "url.scheme": scope.get("scheme", "http")}
        span = self._tracer.start_span("HTTP" if method == "_OTHER" else method, _parent(scope), SpanKind.SERVER, about)
        ids = IDS.set(span.get_span_context())
        if not span.is_recording():
            await self._app(scope, receive, send)
            IDS.reset(ids)
            return
        await self._record(span, method, scope, receive, send)
        IDS.reset(ids)

    async def _record(self, span: Span, method: str, scope: Scope, receive: Receive, send: Send) -> None:
        own, status, failure = span.get_span_context(), 0, ""
        header = b"traceresponse", b"00-%032x-%016x-%02x" % (own.trace_id, own.span_id, own.trace_flags)

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], header]}
            await send(message)

        below = BELOW.set(set_span_in_context(span, Context()))
        try:
            await self._app(scope, receive, told)
        except BaseException as error:
            failure = type(error).__name__
            raise
        finally:
            BELOW.reset(below)
            _finish(span, scope, method, status, failure)


def route_of(scope: Scope) -> str | None:
    """The template of the path that was asked for; None if there is no such route."""
    path: str | None = getattr(scope.get("route"), "path", None)
    if path is None or path.startswith("/v1") or not scope["path"].startswith("/v1/"):
        return path
    return f"/v1{path}"


def _finish(span: Span, scope: Scope, method: str, status: int, failure: str) -> None:
    route = route_of(scope)
    if route is not None:
        span.set_attribute("http.route", route)
        span.update_name(f"{'HTTP' if method == '_OTHER' else method} {route}")
    status = status or (500 if failure else 0)
    if status:
        span.set_attribute("http.response.status_code", status)
    if status >= 500 or failure:
        span.set_attribute("error.type", failure or str(status))
        span.set_status(StatusCode.ERROR)
    span.end()


def _parent(scope: Scope) -> Context:
    """The caller's span, as W3C's ``traceparent`` names it; what is not valid, or given twice, counts as not given.

    ``tracestate`` is left out: it is free text, and nothing is called from here that could need it.
    """
    given = [value for name, value in scope["headers"] if name == b"traceparent"]
    found = _TRACEPARENT.fullmatch(given[0]) if len(given) == 1 else None
    if found is None or found[1] == b"ff" or (found[1] == b"00" and found[5] is not None):
        return Context()
    trace_id, span_id = int(found[2], 16), int(found[3], 16)
    if not trace_id or not span_id:
        return Context()
    ids = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(int(found[4], 16)))
    return set_span_in_context(NonRecordingSpan(ids), Context())
