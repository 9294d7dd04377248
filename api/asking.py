"""One request: who asks, what the policy says, what they read, and the answer, which leaves once it is on record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import anyio.to_thread
import orjson
from fastapi import Depends, Request, Response
from fastapi.security import APIKeyHeader, HTTPBearer

from api.answering import ReadyResponse, frame
from api.describing import as_documented
from api.identifying import client_of, identify
from api.problem import ProblemError, not_found
from api.security.audit import MOST_SUBJECTS, Access
from api.security.principal import Principal
from api.serving.serving import NoReleaseError, parse_moment
from api.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from api.security.audit import Outcome
    from api.security.decision import Decision, View
    from api.serving.source import ReleaseSource
    from c360.serving.model import Kind

_bearer = HTTPBearer(auto_error=False, description="A JSON Web Token of the configured issuer.")
_key = APIKeyHeader(name="x-api-key", auto_error=False, description="An API key made by `c360 api keys create`.")
Row = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Asking:
    """``purpose`` is what the request states that it is for (header ``c360-purpose``)."""

    state: State
    principal: Principal
    decision: Decision
    request: Request
    request_id: str

    def note(
        self,
        outcome: Outcome,
        resource: str,
        subjects: Sequence[str] = (),
        view: str = "",
        fields: tuple[str, ...] = (),
    ) -> None:
        """Put it on record. Raises AuditError, and then nothing may be answered."""
        client = client_of(self.request)
        parts = [tuple(subjects[i : i + MOST_SUBJECTS]) for i in range(0, len(subjects), MOST_SUBJECTS)] or [()]
        for part in parts:
            self.state.audit.write(
                Access(
                    self.request_id, self.principal, self.decision.action, resource, outcome, part, view, fields, client
                )
            )

    async def source(self) -> ReleaseSource:
        """See :func:`release_asked`."""
        return await release_asked(self.state, self.request)

    async def resumed(self, cursor: str | None, about: str) -> tuple[ReleaseSource, str]:
        """The release of a list's next page, which is that of its first, and the item after which it begins.

        Raises ProblemError 400 for a cursor that is not this list's, 410 where its release is no longer kept.
        """
        if cursor is None:
            return await self.source(), ""
        name, after = self.state.cursors.read(cursor, about)
        return await release_named(self.state, name), after

    def cursor(self, source: ReleaseSource, about: str, after: str) -> str:
        """The cursor of the page after ``after``."""
        return self.state.cursors.make(source.id, about, after)

    async def read(self, source: ReleaseSource, read: Callable[[Kind, str], T], kind: Kind, key: str) -> T:
        """Read a document: at once from an index, in a thread where it takes a scan."""
        if source.slow:
            return await anyio.to_thread.run_sync(read, kind, key)
        return read(kind, key)

    async def customer(self, source: ReleaseSource, customer_id: str, resource: str) -> tuple[Row, View]:
        """The customer's row and how it may be shown. Raises ProblemError 404 for one that may not be seen, too."""
        row = await self.read(source, source.one, "customer", customer_id)
        view = None if row is None else self.decision.view_of(row)
        if row is None or view is None:
            self.note("not_found", resource, (customer_id,))
            raise not_found("customer")
        return row, view

    def answer_now(
        self,
        data: object,
        source: ReleaseSource,
        view: str,
        resource: str,
        subjects: Sequence[str] = (),
        **members: Any,
    ) -> Response:
        """What may be another thing the next moment, on record before it leaves: nobody is to keep it."""
        self.note("permitted", resource, subjects, view)
        body = {"data": data, "release": frame(source, view).release, **members}
        headers = {"cache-control": "private, no-store", "c360-release": source.id}
        return Response(orjson.dumps(body, option=orjson.OPT_UTC_Z), 200, headers, "application/json")

    def answer(
        self,
        data: object,
        source: ReleaseSource,
        view: str,
        resource: str,
        subjects: Sequence[str] = (),
        **members: Any,
    ) -> Response:
        """``data`` of a release, on record before it leaves; 304 where the caller has it already."""
        self.note("permitted", resource, subjects, view)
        ready = frame(source, view)
        held = _header(self.request, b"if-none-match")
        if held is not None and ready.etag in {tag.strip() for tag in held.split(",")}:
            return ReadyResponse(304, ready.headers, None)
        body = orjson.dumps({"data": data, "release": ready.release, **members}, option=orjson.OPT_UTC_Z)
        return ReadyResponse(200, ready.headers, body)


async def release_asked(state: State, request: Request) -> ReleaseSource:
    """The release to answer from, by the parameter ``as_of``.

    Raises ProblemError for a moment that cannot be meant or has no release.
    """
    text = request.query_params.get("as_of") if request.scope["query_string"] else None
    if text is None:
        return state.serving.now()
    try:
        moment = parse_moment(text)
    except ValueError as error:
        raise ProblemError(422, "as_of_not_valid", f"The parameter as_of {error}.") from None
    known = state.serving.known(moment)
    if known is not None:
        return known
    try:
        return await anyio.to_thread.run_sync(state.serving.at, moment)
    except NoReleaseError as error:
        raise ProblemError(404, "no_release_then", f"{error.problem}; {error.mend}.") from None


async def release_named(state: State, name: str) -> ReleaseSource:
    """The release of a cursor. Raises ProblemError 410 where it is no longer kept."""
    try:
        return await anyio.to_thread.run_sync(state.serving.named, name)
    except NoReleaseError as error:
        raise ProblemError(410, "cursor_expired", f"{error.problem}; {error.mend}.") from None


def may(action: str) -> Any:
    """A dependency: the caller, if they may do this at all.

    Raises ProblemError 401 (nobody), 403 (not permitted) or 429 (too fast).
    """

    async def asking(
        request: Request,
        bearer: Annotated[object, Depends(_bearer)],
        key: Annotated[object, Depends(_key)],
    ) -> Asking:
        as_documented(bearer)
        as_documented(key)
        return await admit(request, action)

    return Depends(asking)


def known(action: str) -> Any:
    """A dependency: who asks and what for, whatever they may do; see :func:`identify`."""

    async def identified(
        request: Request,
        bearer: Annotated[object, Depends(_bearer)],
        key: Annotated[object, Depends(_key)],
    ) -> tuple[Principal, str | None]:
        as_documented(bearer)
        as_documented(key)
        return await identify(request, action)

    return Depends(identified)


async def admit(request: Request, action: str) -> Asking:
    """The caller of this request, if they may do this at all; raises as :func:`may` says."""
    principal, purpose = await identify(request, action)
    found = decided(request, principal, purpose, action)
    if not found.decision.allowed:
        found.note("denied", request.url.path)
        raise ProblemError(403, found.decision.reason, "Your roles do not permit this.")
    return found


def decided(request: Request, principal: Principal, purpose: str | None, action: str) -> Asking:
    """What the policy says of this caller and action; whether it is yes is for the caller of this to look at."""
    state: State = request.app.state.c360
    decision = state.policy.decide(principal, action, purpose)
    return Asking(state, principal, decision, request, request.scope["state"]["request_id"])


def _header(request: Request, name: bytes) -> str | None:
    """The first header of that name; read from the scope, for Starlette searches it by slower means."""
    for given, value in request.scope["headers"]:
        if given == name:
            return str(value, "latin-1")
    return None
