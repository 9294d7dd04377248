"""Around the service things go wrong: the catalog is away, clients are slow or never finish."""

from __future__ import annotations

import json
import socket
import urllib.request
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from api.security.principal import Role
from c360.errors import LakehouseError

if TYPE_CHECKING:
    from c360.lakehouse import Lakehouse
    from tests.unit.api_app.conftest import World

HALF = b"GET /v1/customers/C0000001 HTTP/1.1\r\nhost: x\r\nx-api-key: "


def away(*_: object, **__: object) -> Any:
    raise LakehouseError("The catalog does not answer", "start it")


def without_catalog(lake: Lakehouse, patch: pytest.MonkeyPatch) -> None:
    for name in ("table", "exists", "snapshot", "read", "history"):
        patch.setattr(lake, name, away)


def test_without_the_catalog_releases_answer_as_before_and_the_rest_says_so(
    world: World, keys: dict[Role, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, now = f"/v1/customers/{world.customers[1]['customer_id']}", datetime.now(UTC)
    before = world.ask(path, keys[Role.SUPPORT]).json()
    moment = now.isoformat().replace("+00:00", "Z")
    assert world.ask(f"{path}?as_of={moment}", keys[Role.SUPPORT]).json() == before
    without_catalog(world.state.serving._lake, monkeypatch)
    without_catalog(world.state.windows._lake, monkeypatch)
    monkeypatch.setattr(world.state.windows, "_looked", float("-inf"))
    monkeypatch.setattr(world.state.serving, "_history", (float("-inf"), 0.0, []))
    for _ in range(3):
        assert world.ask(path, keys[Role.SUPPORT]).json() == before
        assert world.ask(f"{path}/timeline", keys[Role.SUPPORT]).status_code == 200
        assert world.ask("/v1/customers?limit=5", keys[Role.ANALYST]).status_code == 200
        assert world.ask(f"{path}/live", keys[Role.SUPPORT]).json()["live"]["state"] == "absent"
        windows = world.ask("/v1/metrics/live", keys[Role.ANALYST]).json()
        assert (windows["data"], windows["live"]) == ([], {"state": "not_available"})
        past = world.ask(f"{path}?as_of={moment}", keys[Role.SUPPORT])
        assert (past.status_code, past.json()["code"]) == (503, "not_available")
        assert "retry-after" in past.headers
    assert world.ask("/readyz").status_code == 200


def test_clients_that_are_slow_or_never_finish_keep_nobody_else_waiting(
    server: dict[str, str], world: World, keys: dict[Role, str]
) -> None:
    address = ("127.0.0.1", int(server["C360_API_PORT"]))
    with ExitStack() as open_:
        slow = [open_.enter_context(socket.create_connection(address)) for _ in range(200)]
        for number, each in enumerate(slow):
            if number % 2:
                each.sendall(HALF[: 10 + number % 40])
            else:
                body = b"POST /v1/customers/batch HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
                each.sendall(body + b"x-api-key: " + keys[Role.ANALYST].encode() + b"\r\ncontent-length: 100\r\n\r\n{")
        # One asks for all customers, and reads nothing of it.
        idle = open_.enter_context(socket.create_connection(address))
        export = b"GET /v1/customers/export HTTP/1.1\r\nhost: x\r\nx-api-key: " + keys[Role.ANALYST].encode()
        idle.sendall(export + b"\r\n\r\n")
        for number in range(200):
            slow[number].sendall(b"x")
            asked = urllib.request.Request(
                f"http://127.0.0.1:{address[1]}/v1/customers/C0000001", headers={"x-api-key": keys[Role.SUPPORT]}
            )
            with urllib.request.urlopen(asked, timeout=10) as answer:
                assert json.load(answer)["data"]["customer_id"] == "C0000001"
