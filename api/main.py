"""The application: ``uvicorn --factory api.main:create_app``."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette_compress import CompressMiddleware, add_compress_type

from api.counting import Counting
from api.describing import Described
from api.direct import Direct
from api.identifying import FAILURES_AT_ONCE, FAILURES_PER_S
from api.middleware import Around
from api.paging import Cursors
from api.presenting import Presenting
from api.problem import add_problems
from api.routes import catalogue, customers, export, graphql, live, operations, page, search
from api.security.audit import AuditLog
from api.security.keys import KeyStore, key_path
from api.security.limits import RateLimit
from api.security.policy import Policy
from api.security.secrets import refuse_default_secrets
from api.security.settings import SecuritySettings
from api.security.tokens import TokenVerifier
from api.serving.features import Features
from api.serving.serving import Serving
from api.serving.windows import StreamWindows
from api.spans import Spans
from api.state import State
from api.steps import Steps
from api.tracing import Tracing, tracing_of
from c360.live.store import LiveReader
from c360.privacy.keyed import hash_key
from c360.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI
    from fastapi.routing import APIRoute
    from fastapi.telemetry import TelemetryConfig

DESCRIPTION = "Every customer's story, now or as of any moment. What you see follows from your roles."
# It would put paths and query strings, and texts of exceptions, into whatever collector it finds; see api.spans.
OWN_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}


def create_app(
    settings: Settings | None = None, security: SecuritySettings | None = None, tracing: Tracing | None = None
) -> FastAPI:
    """The API over the lake of ``settings``, traced by ``tracing`` (all by default of the environment).

    Raises SettingsError for settings that may not be used, such as a default secret outside the local profile.
    """
    settings, security = settings or Settings(), security or SecuritySettings()
    refuse_default_secrets(settings)
    key, counting = hash_key(settings), Counting()
    tracing = tracing or tracing_of()

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        state = _start(settings, security, key)
        counting.follow(state.serving)
        if tracing is not None:
            Steps(tracing.tracer).add(state)
        app.state.c360, app.state.counting = state, counting
        try:
            yield
        finally:
            state.close()
            if tracing is not None:
                tracing.close()
            for handler in logging.getLogger().handlers:
                handler.flush()  # the signal that stops the process ends it after this, before anything else is written

    app = Described(
        title="Customer 360",
        version="1.0.0",
        description=DESCRIPTION,
        lifespan=running,
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
        generate_unique_id_function=_operation_id,
        telemetry=OWN_TELEMETRY,
    )
    add_problems(app)
    for router in (export.router, search.router, customers.router, live.router, catalogue.router, graphql.router):
        app.include_router(router, prefix="/v1")
    app.include_router(operations.router)
    app.include_router(page.router)
    # Within Direct: one customer's row is small, and compressing it would cost more than all else.
    for media in (export.NDJSON, export.ARROW):
        add_compress_type(media)
    app.add_middleware(CompressMiddleware, minimum_size=2000, brotli=False)
    app.add_middleware(Direct)
    app.add_middleware(Around, counting=counting)
    if tracing is not None:
        app.add_middleware(Spans, tracer=tracing.tracer)
    return app


def _operation_id(route: APIRoute) -> str:
    """The function's name: stable, whatever the path becomes."""
    return route.name


def _start(settings: Settings, security: SecuritySettings, key: bytes) -> State:
    serving = Serving(settings)
    serving.start()
    features = Features(settings)
    features.start()
    return State(
        settings=settings,
        serving=serving,
        live=LiveReader(settings.live_dir),
        windows=StreamWindows(settings),
        features=features,
        policy=Policy(),
        keys=KeyStore(key_path(settings.home)),
        tokens=TokenVerifier(security) if security.jwt_jwks else None,
        limits=RateLimit(security.rate, security.burst),
        failures=RateLimit(FAILURES_PER_S, FAILURES_AT_ONCE),
        audit=AuditLog(settings.home / "api" / "audit", key, security.audit_fsync, security.audit_fsync_s),
        presenting=Presenting(key),
        cursors=Cursors(key),
        hash_key=key,
    )
