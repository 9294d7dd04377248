"""The short way to one customer answers and records as the ordinary way, and the log that is written in blocks."""

from __future__ import annotations

import io
import json
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from api.loglines import BlockHandler
from api.security.principal import Role
from tests.unit.api_app.test_owasp import records

if TYPE_CHECKING:
    from tests.unit.api_app.conftest import World

OTHER_WAY = "x=1"
"""A parameter that nobody reads: such a request is not of the plain form."""


def outcome(world: World, path: str, headers: list[tuple[str, str]], method: str) -> dict[str, Any]:
    """Answer, record and counter of a request, without what differs from one request to the next."""
    before, seen = len(records(world)), counted(world)
    # Only the ordinary way ever compresses, and says so.
    answer = world.client.request(method, path, headers=[*headers, ("accept-encoding", "identity")])
    answer.headers["vary"] = answer.headers.get("vary", "").removesuffix(", Accept-Encoding")
    fields = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    noted = [
        {name: value for name, value in record.items() if name not in {"seq", "at", "prev", "mac", "request"}}
        for record in records(world)[before:]
    ]
    ids = {record["request"] for record in records(world)[before:]}
    assert ids <= {answer.headers["x-request-id"]}
    more = {name: value - seen.get(name, 0) for name, value in counted(world).items() if value != seen.get(name, 0)}
    return {"status": answer.status_code, "body": answer.content, "headers": fields, "noted": noted, "counted": more}


def counted(world: World) -> dict[str, float]:
    lines = world.client.get("/metrics").text.splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("c360_api_") and "metrics" not in line)
    return {name: float(value) for name, value in found.items() if "_total" in name}


def test_both_ways_to_a_customer_are_one(world: World, keys: dict[Role, str]) -> None:
    ids = [str(row["customer_id"]) for row in world.customers[:4]]
    gone = world.key(Role.SUPPORT)
    world.state.keys.revoke(gone.split("_")[1])
    regional = world.key(Role.SUPPORT, frozenset({"FR"}))
    etag = world.ask(f"/v1/customers/{ids[0]}", keys[Role.SUPPORT]).headers["etag"]
    good = keys[Role.SUPPORT]
    given: list[list[tuple[str, str]]] = [
        *[[("x-api-key", key)] for key in (*keys.values(), gone, regional, "wrong", "")],
        [], [("authorization", f"Bearer {good}")], [("authorization", f"bearer {good}")], [("authorization", good)],
        [("authorization", f"Basic {good}")], [("authorization", "Bearer")], [("authorization", "Bearer a.b.c")],
        [("x-api-key", "wrong"), ("authorization", f"Bearer {good}")], [("x-api-key", good), ("x-api-key", "wrong")],
        [("x-api-key", "wrong"), ("x-api-key", good)], [("x-api-key", good), ("if-none-match", etag)],
        [("x-api-key", good), ("if-none-match", f'"other", {etag}')],
        [("x-api-key", good), ("c360-purpose", "nothing")],
        [("x-api-key", keys[Role.MARKETING]), ("c360-purpose", "marketing")],
    ]  # fmt: skip
    asked = [(name, headers, "GET") for headers in given for name in ids]
    odd = ("C9999999", "lookup", "a" * 64, "a" * 65, "%20", "C1%27--", "Ünï", "..", "C0000001/", "")
    asked += [(name, [("x-api-key", good)], "GET") for name in odd]
    asked += [(ids[0], [("x-api-key", good)], method) for method in ("HEAD", "POST", "DELETE", "OPTIONS")]
    statuses = set()
    for name, headers, method in asked:
        path = f"/v1/customers/{name}"
        short, other = (outcome(world, each, headers, method) for each in (path, f"{path}?{OTHER_WAY}"))
        assert short == other, (name, headers, method)
        statuses.add(short["status"])
    assert {200, 304, 401, 403, 404, 405, 422} <= statuses


def test_both_ways_to_a_customer_of_the_past_are_one(world: World, keys: dict[Role, str]) -> None:
    path, headers = "/v1/customers/C0000001", [("x-api-key", keys[Role.PRIVACY])]
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    for moment in (now, "2001-01-01T00:00:00Z", "2125-01-01T00:00:00%2B01:00", "2025-01-01", "", "%00", "9" * 41):
        query = f"as_of={moment}"
        short, other = (outcome(world, f"{path}?{each}", headers, "GET") for each in (query, f"{query}&{OTHER_WAY}"))
        assert short == other, moment


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
def test_lines_leave_together_but_a_warning_at_once(level: int) -> None:
    stream = io.StringIO()
    handler = BlockHandler(stream)
    log = logging.getLogger(f"test.blocks.{level}")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    log.info("%s \U0001f600", "first", extra={"request_id": "abc", "ms": 0.5})
    log.log(level, "second \udcff")
    assert (stream.getvalue() != "") == (level == logging.WARNING)
    handler.close()
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["message"], first["request_id"], first["ms"]) == ("first \U0001f600", "abc", 0.5)
    assert second["level"] == logging.getLevelName(level)
    assert "second" in second["message"]
