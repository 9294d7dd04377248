"""``POST /v1/graphql``: several things of one release in one request."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import anyio.to_thread
import orjson
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.asking import known, release_asked, release_named
from api.describing import REPEATABLE, AsOf, as_documented, graphql_answers
from api.graphql.answering import QueryError, prepare, run
from api.graphql.limits import COST_PER_REQUEST, Plan
from api.graphql.reading import Reading
from api.identifying import spend
from api.problem import ProblemError
from api.security.principal import Principal
from api.serving.source import ReleaseSource
from api.state import State

router = APIRouter(tags=["graphql"])
Known = Annotated[tuple[Principal, str | None], known("graphql")]


class Asked(BaseModel):
    """One query; a list of them is refused."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(description="A document of queries; `__schema` of one describes what can be asked for.")
    variables: dict[str, Any] | None = None
    operation: str | None = Field(default=None, alias="operationName", max_length=100)


@router.post("/graphql", responses=graphql_answers(), openapi_extra=REPEATABLE)
async def ask_graphql(asked: Asked, caller: Known, request: Request, as_of: AsOf = None) -> Response:
    """GraphQL: what the other routes give, as the same roles may see it, in one answer of one release."""
    as_documented(as_of)
    state: State = request.app.state.c360
    principal, purpose = caller
    # All in threads: large answers take a while to make, and the past may have to be scanned.
    check = partial(prepare, asked.query, asked.variables or {}, asked.operation)
    try:
        prepared = await anyio.to_thread.run_sync(check, abandon_on_cancel=True)
    except QueryError as error:
        return _answer({"errors": error.errors}, 400)
    more = -(-prepared.plan.cost // COST_PER_REQUEST) - 1
    if more > 0:
        spend(state, principal, more)
    source = await _source(state, request, prepared.plan)
    reading = Reading(request, principal, purpose, source, prepared.plan)
    found = await anyio.to_thread.run_sync(run, prepared, reading, abandon_on_cancel=True)
    return _answer(found, 200, {"c360-release": source.id} if reading.permitted else {})


async def _source(state: State, request: Request, plan: Plan) -> ReleaseSource:
    """The one release of the whole answer: that of the cursors, else as asked for.

    Raises ProblemError 400 for cursors of different releases, besides what the other routes raise.
    """
    names = {state.cursors.release(cursor) for cursor in plan.cursors}
    if len(names) > 1:
        raise ProblemError(400, "cursor_not_valid", "The cursors are of different releases; ask for each by itself.")
    return await release_named(state, names.pop()) if names else await release_asked(state, request)


def _answer(body: dict[str, Any], status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, {"cache-control": "no-store", **(headers or {})}, "application/json")
