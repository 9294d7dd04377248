"""Listens to the service in every test, and fails the test in which it says what it should not.

Nothing happens in a run that does not import the API. A run in which clients were answered, and the listener heard no
answer, no line, no span of a traced answer or no audit record, fails at its end: it must not pass for hearing nothing.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.leaks.rights import Asker
from tests.leaks.sentinel import SENTINEL

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_CLIENT = Counter[str]()
"""What clients say that they were answered: a witness of its own."""
_INSTALLED: list[str] = []


def _replace(owner: type, name: str, make: Callable[[Any], Any]) -> None:
    setattr(owner, name, make(getattr(owner, name)))


def _install() -> None:
    if _INSTALLED or "api" not in sys.modules:
        return
    _INSTALLED.append("yes")
    from fastapi import FastAPI
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
    from starlette.testclient import TestClient

    from api.security.keys import KeyStore

    _replace(FastAPI, "__call__", _answers)
    _replace(KeyStore, "create", _keys)
    _replace(TestClient, "request", _clients)
    for processor in (BatchSpanProcessor, SimpleSpanProcessor):
        _replace(processor, "on_end", _spans)
    logging.getLogger("c360").addHandler(_Lines())
    # A line for each request, as the service itself would write it.
    logging.getLogger("c360.api").setLevel(logging.INFO)


def _answers(call: Any) -> Any:
    async def answer(app: Any, scope: Any, receive: Any, send: Any) -> None:
        state = getattr(app.state, "c360", None)
        if scope["type"] == "lifespan":
            await call(app, scope, receive, send)
            if (ended := getattr(app.state, "c360", None)) is not None:
                SENTINEL.forget(ended.settings.home)
            return
        if state is None or scope["type"] != "http":
            await call(app, scope, receive, send)
            return
        start: dict[str, Any] = {}
        body: list[bytes] = []

        async def listening(message: Any) -> None:
            start.update(message if message["type"] == "http.response.start" else {})
            body.append(message.get("body", b""))
            await send(message)

        home = state.settings.home
        SENTINEL.watch(home, Path(str(state.settings.warehouse).removeprefix("file://")))
        try:
            await call(app, scope, receive, listening)
        finally:
            where = f"{scope['method']} {scope['path']}"
            told = _text(start.get("headers", ()))
            SENTINEL.answer(home, where, _text(scope["headers"]), start.get("status", 0), told, b"".join(body))

    return answer


def _text(headers: Any) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in reversed(list(headers))}


def _keys(create: Any) -> Any:
    signature = inspect.signature(create)

    def made(*given: Any, **named: Any) -> str:
        bound = signature.bind(*given, **named)
        bound.apply_defaults()
        about = bound.arguments
        key: str = create(*given, **named)
        roles, regions = frozenset(map(str, about["roles"])), about["regions"]
        SENTINEL.askers[key] = Asker(roles, regions, frozenset(about["purposes"]), frozenset(about["scopes"]))
        return key

    return made


def _clients(request: Any) -> Any:
    def counted(client: Any, *given: Any, **named: Any) -> Any:
        found = request(client, *given, **named)
        if getattr(getattr(client.app, "state", None), "c360", None) is not None:
            _CLIENT["answers"] += 1
        return found

    return counted


def _spans(on_end: Any) -> Any:
    def ended(processor: Any, span: Any) -> None:
        on_end(processor, span)
        SENTINEL.span(span.name, span.to_json(indent=None))

    return ended


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """As the service writes the line, and once more as any other handler would begin it."""
        from api.loglines import JsonLines

        SENTINEL.line(record.name, f"{JsonLines().format(record)}\n{record.getMessage()}")


def _tell(leaks: list[str]) -> None:
    if leaks:
        more = f"\n… and {len(leaks) - 20} more" if len(leaks) > 20 else ""
        pytest.fail("direct identifiers left the service:\n" + "\n".join(leaks[:20]) + more, pytrace=False)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    _install()
    yield
    _tell(SENTINEL.judge())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    try:
        yield
    finally:
        _tell(SENTINEL.judge())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    try:
        yield
    finally:
        _tell(SENTINEL.judge())


def unheard(answered: int, counts: Counter[str]) -> list[str]:
    """What must have been heard, after clients had so many answers, and was not."""
    needs = {"answer": answered, "log line": answered, "audit line": answered, "span": counts["traced answers"]}
    return [kind for kind, there_were in needs.items() if there_were and not counts[kind]]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process that shares a run tells the first one what it heard; that one judges."""
    if (told := getattr(session.config, "workeroutput", None)) is not None:
        told.update(heard=dict(SENTINEL.counts), answered=_CLIENT["answers"])
    elif unheard(_CLIENT["answers"], SENTINEL.counts):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    told = getattr(node, "workeroutput", {})
    SENTINEL.counts.update(told.get("heard", {}))
    _CLIENT.update(answers=told.get("answered", 0))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    counts = SENTINEL.counts
    if not counts:
        return
    heard = ", ".join(
        f"{counts[kind]:,} {kind}s" for kind in ("answer", "log line", "process line", "span", "audit line")
    )
    terminalreporter.write_line(
        f"searched for people: {heard}; {counts['seen by who may']:,} found by who may see them"
    )
    for kind in unheard(_CLIENT["answers"], counts):
        terminalreporter.write_line(f"ERROR: the service answered, but not one {kind} was heard", red=True)
