"""Spans of what a request consists of: authenticate, decide, find the release, read, present, audit.

Whatever way a request takes, it asks the parts of :class:`api.state.State`. Where traces are wanted, those parts get
methods that make a span each; where not, nothing is wrapped and nothing is asked. A step within a step is part of it.
"""

from __future__ import annotations

import copy
from time import time_ns
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import StatusCode, Tracer

from api.serving.source import IndexSource, ScanSource
from api.spans import BELOW

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.context import Context

    from api.state import State

    Told = dict[str, str | int | bool]
    Tell = Callable[[tuple[Any, ...], Any], Told]
    """What a span says, from a step's arguments and result."""
    Call = Callable[..., Any]


class Steps:
    """Makes spans with ``tracer``, below that of the request, if that one is sampled."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def add(self, state: State) -> None:
        """From now on each step makes a span."""
        serving, presenting = state.serving, state.presenting
        self._wrap(state.keys, "check", "authenticate", lambda _, __: {"c360.credential": "key"})
        if state.tokens is not None:
            self._wrap(state.tokens, "verify", "authenticate", lambda _, __: {"c360.credential": "token"})
            self._wrap(state.tokens, "known", "authenticate", lambda _, __: {"c360.credential": "token"}, found=True)
        self._wrap(state.policy, "decide", "decide", _decided)
        self._wrap(serving, "now", "find release", _release, then=self._source)
        self._wrap(serving, "known", "find release", _release, then=self._source, found=True)
        self._wrap(serving, "at", "find release", _release, then=self._source)
        self._wrap(serving, "named", "find release", _release, then=self._source)
        self._wrap(presenting, "rows", "present", lambda given, rows: {"c360.kind": given[0], **_rows(rows)})
        self._wrap(presenting, "each", "present", lambda given, rows: {"c360.kind": given[0], **_rows(rows)})
        self._wrap(state.live, "read", "read", lambda _, __: {"c360.kind": "live"})
        self._wrap(state.windows, "newest", "read", lambda _, __: {"c360.kind": "window"})
        self._wrap(state.features.reader, "ask", "read", lambda _, __: {"c360.kind": "feature"})
        for name in ("show", "show_event"):
            vars(presenting)[name] = self._show(getattr(presenting, name))
        self._wrap(state.audit, "write", "audit write", lambda given, _: {"c360.outcome": given[0].outcome})

    def _show(self, show: Call) -> Call:
        """What such a method of :class:`api.presenting.Presenting` gives is the step."""
        return lambda kind, view: self._step(show(kind, view), "present", lambda _, __: {"c360.kind": kind})

    def _source(self, source: IndexSource | ScanSource) -> object:
        """The same release, for one request, whose reads make spans."""
        about: Told = {"c360.release": source.id, "c360.slow": source.slow}

        def tell(given: tuple[Any, ...], _: object) -> Told:
            many = isinstance(given[1], list)
            return {"c360.kind": given[0], **about, **({"c360.documents": len(given[1])} if many else {})}

        mine = copy.copy(source)
        for name in ("one", "many", "some"):
            if hasattr(mine, name):
                self._wrap(mine, name, "read", tell)
        if isinstance(mine, IndexSource):
            mine.index = copy.copy(mine.index)
            self._wrap(mine.index, "select", "read", lambda _, rows: {"c360.kind": "customer", **about, **_rows(rows)})
            for name in ("rows", "between"):
                self._wrap(mine.index, name, "read", lambda of, rows: {"c360.kind": of[0], **about, **_rows(rows)})
        return mine

    def _wrap(
        self, part: object, method: str, name: str, tell: Tell, *, then: Call | None = None, found: bool = False
    ) -> None:
        """Replace a method of this one object; its result goes through ``then``. With ``found`` None is no step."""
        vars(part)[method] = self._step(getattr(part, method), name, tell, then, found=found)

    def _step(self, call: Call, name: str, tell: Tell, then: Call | None = None, *, found: bool = False) -> Call:
        def step(*given: Any, **named: Any) -> Any:
            below = BELOW.get()
            if below is None:
                return call(*given, **named)
            began, within = time_ns(), BELOW.set(None)
            try:
                result = call(*given, **named)
            except Exception as error:
                self._end(name, below, began, {}, error)
                raise
            finally:
                BELOW.reset(within)
            if result is not None or not found:
                self._end(name, below, began, tell(given, result))
            return result if then is None or result is None else then(result)

        return step

    def _end(self, name: str, below: Context, began: int, about: Told, error: Exception | None = None) -> None:
        span = self._tracer.start_span(name, below, attributes=about, start_time=began)
        if error is not None:
            # Its text may hold what was asked for; its type and code are words of ours.
            span.set_attribute("error.type", type(error).__name__)
            code = getattr(error, "reason", None) or getattr(error, "code", None)
            if isinstance(code, str):
                span.set_attribute("c360.code", code)
            span.set_status(StatusCode.ERROR)
        span.end()


def _decided(given: tuple[Any, ...], decision: Any) -> Told:
    return {"c360.action": str(given[1]), "c360.allowed": decision.allowed, "c360.reason": decision.reason}


def _release(_: tuple[Any, ...], source: Any) -> Told:
    return {} if source is None else {"c360.release": source.id, "c360.slow": source.slow}


def _rows(rows: list[Any]) -> Told:
    return {"c360.rows": len(rows)}
