"""A request that takes too long is refused; an answer that has begun is not cut."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from api import middleware
from api.counting import Counting
from api.middleware import Around

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LIMIT_S = 0.2
START: Message = {"type": "http.response.start", "status": 200, "headers": []}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "MOST_SECONDS", LIMIT_S)


async def _sleeping(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(30)


async def _streaming(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await asyncio.sleep(2 * LIMIT_S)
    await send({"type": "http.response.body", "body": b"whole"})


async def _prompt(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await send({"type": "http.response.body", "body": b"ok"})


async def _ask(app: ASGIApp) -> tuple[int, bytes]:
    sent: list[Any] = []

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def test_a_request_that_takes_too_long_is_refused_in_time_also_while_others_are_answered() -> None:
    slow, prompt = Around(_sleeping, Counting()), Around(_prompt, Counting())
    prompt._deadlines = slow._deadlines

    async def both() -> list[tuple[int, bytes]]:
        late = [asyncio.create_task(_ask(slow)) for _ in range(3)]
        while not all(task.done() for task in late):
            assert await _ask(prompt) == (200, b"ok")
            await asyncio.sleep(0.01)
        return [await task for task in late]

    began = time.monotonic()
    for status, body in asyncio.run(both()):
        assert (status, json.loads(body)["code"]) == (503, "too_slow")
    assert LIMIT_S <= time.monotonic() - began < 2
    assert not slow._deadlines._due


def test_an_answer_that_has_begun_may_last_as_long_as_its_reader_reads() -> None:
    assert asyncio.run(_ask(Around(_streaming, Counting()))) == (200, b"whole")


def test_a_second_event_loop_has_its_own_deadlines() -> None:
    app = Around(_sleeping, Counting())
    for _ in range(2):
        assert asyncio.run(_ask(app))[0] == 503
