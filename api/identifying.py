"""Who asks: the principal of a key or token, within the limits of how often one may ask, or fail to say who one is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio.to_thread
from fastapi.security.utils import get_authorization_scheme_param

from api.problem import ProblemError
from api.security.audit import Access
from api.security.errors import CredentialError

if TYPE_CHECKING:
    from fastapi import Request

    from api.security.principal import Principal
    from api.state import State

FAILURES_PER_S, FAILURES_AT_ONCE = 10.0, 500
"""Failed attempts to say who one is, by client address and process."""


async def identify(request: Request, action: str) -> tuple[Principal, str | None]:
    """Who asks and, if the request states it, what for; ``action`` is for the record of a refusal.

    Raises CredentialError (nobody) or ProblemError 429 (too fast).
    """
    state: State = request.app.state.c360
    # As Starlette does, of a header given twice the first counts.
    headers = dict(reversed(request.scope["headers"]))
    scheme, token = get_authorization_scheme_param(_text(headers, b"authorization"))
    try:
        if b"authorization" in headers and b"x-api-key" in headers:
            raise CredentialError("two_credentials", "send a key or a token, not both")
        principal = await _principal(
            state, token if scheme.lower() == "bearer" and token else None, _text(headers, b"x-api-key") or None
        )
    except CredentialError:
        request_id: str = request.scope["state"]["request_id"]
        client = client_of(request)
        # Each is on record: without a limit strangers could fill the disk, and then nobody is answered.
        _slower(state.failures.take(client), "You have failed to say who you are too often.")
        state.audit.write(Access(request_id, None, action, request.url.path, "denied", client=client))
        raise
    spend(state, principal)
    return principal, _text(headers, b"c360-purpose")


def spend(state: State, principal: Principal, cost: float = 1) -> None:
    """Count as so many requests. Raises ProblemError 429."""
    _slower(state.limits.take(principal.subject, cost), "You ask more often than you may.")


def _slower(wait: float, says: str) -> None:
    if wait:
        raise ProblemError(429, "too_fast", says, {"retry-after": str(max(1, round(wait)))})


def client_of(request: Request) -> str:
    """The caller's address; read from the scope, for Starlette makes a tuple of names of it each time."""
    client = request.scope.get("client")
    return str(client[0]) if client else ""


def _text(headers: dict[bytes, bytes], name: bytes) -> str | None:
    value = headers.get(name)
    return None if value is None else value.decode("latin-1")


async def _principal(state: State, token: str | None, key: str | None) -> Principal:
    if key is not None:
        return state.keys.check(key)
    if token is None:
        raise CredentialError("missing", "send an API key or a token")
    if token.startswith("c360k_"):
        return state.keys.check(token)
    if state.tokens is None:
        raise CredentialError("tokens_not_accepted", "send an API key")
    known = state.tokens.known(token)
    return known if known is not None else await anyio.to_thread.run_sync(state.tokens.verify, token)
