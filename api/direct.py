"""The read of one customer by id, which is nearly all load, without the framework's routing and parameters.

They would cost more than the answer. Who may read, what is shown and what is put on record come from the same functions
as on the ordinary way, which every request takes that is not of the plain form: another parameter than ``as_of``,
another method, an id that is none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fastapi import Request

from api.asking import admit
from api.problem import ProblemError, refusal
from api.routes.customers import one_customer, router
from api.security.policy import Action
from c360.errors import C360Error

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_PATH = re.compile(r"/v1/customers/(?!export$)([A-Za-z0-9_-]{1,64})", re.ASCII)
_QUERY = re.compile(rb"(as_of=[A-Za-z0-9:.%+-]{1,40})?")
_ROUTE = next(route for route in router.routes if getattr(route, "name", "") == "get_customer")
"""For the log and the counters, which then name it as on the ordinary way."""


class Direct:
    """Innermost of the middleware, so that all others see no difference."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        plain = scope["type"] == "http" and scope["method"] == "GET" and _QUERY.fullmatch(scope["query_string"])
        match = _PATH.fullmatch(scope["path"]) if plain and not scope.get("root_path") else None
        if match is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = _ROUTE
        try:
            asking = await admit(Request(scope, receive), Action.READ_CUSTOMER)
            response = await one_customer(asking, match[1])
        except (ProblemError, C360Error) as error:
            response = refusal(error, scope["state"]["request_id"])
        await response(scope, receive, send)
