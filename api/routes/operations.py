"""For those who run it: alive, ready, counters."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from api.problem import ProblemError

router = APIRouter(tags=["operations"])


@router.get("/livez", include_in_schema=False)
async def livez() -> Response:
    """The process answers."""
    return Response(b"ok", media_type="text/plain")


@router.get("/readyz", include_in_schema=False)
async def readyz(request: Request) -> dict[str, object]:
    """There is an index to answer from, and the audit log can be written."""
    state = request.app.state.c360
    source, broken = state.serving.ready, state.audit.broken
    if source is None or broken:
        why = "The audit log cannot be written." if broken else "There is no index to answer from."
        raise ProblemError(503, "not_ready", why)
    return {
        "release": source.id,
        "age_s": state.serving.age_s,
        "newest_index_refused": state.serving.refused is not None,
    }


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """For Prometheus."""
    return Response(generate_latest(request.app.state.counting.registry), media_type=CONTENT_TYPE_LATEST)
