"""Refusals as problem details (RFC 9457). None repeats a value of the request, or what an exception says inside."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from api.security.errors import AuditError, CredentialError
from api.serving.serving import NoReleaseError
from c360.errors import C360Error

if TYPE_CHECKING:
    from fastapi import FastAPI

LOG = logging.getLogger("c360.api")
TYPE = "application/problem+json"
TITLES = {
    400: "Bad request", 401: "Not authenticated", 403: "Not permitted", 404: "Not found", 405: "Method not allowed",
    406: "Not acceptable", 408: "Request timeout", 413: "Too large", 415: "Unsupported media type",
    422: "Request not valid", 429: "Too many requests", 500: "Internal error", 503: "Not available",
}  # fmt: skip


class ProblemError(Exception):
    """A refusal. ``code`` is a fixed word for programs, ``detail`` a sentence for people."""

    def __init__(
        self, status: int, code: str, detail: str, headers: dict[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.headers, self.members = status, code, detail, headers or {}, members


def not_found(what: str) -> ProblemError:
    """The same whether it does not exist or may not be seen."""
    return ProblemError(404, "not_found", f"There is no such {what}, or you may not see it.")


def problem_response(problem: ProblemError) -> Response:
    """The problem as an answer."""
    body = {
        "type": f"urn:c360:problem:{problem.code}",
        "title": TITLES.get(problem.status, "Refused"),
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        **problem.members,
    }
    headers = {"cache-control": "no-store", **problem.headers}
    return Response(orjson.dumps(body), problem.status, headers, TYPE)


def problem_of(error: Exception) -> ProblemError:
    """What is told of an exception."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, CredentialError):
        return ProblemError(401, error.reason, f"{error.problem}.", {"www-authenticate": "Bearer"})
    if isinstance(error, NoReleaseError):
        return ProblemError(503, "no_release", f"{error.problem}.", {"retry-after": "5"})
    if isinstance(error, AuditError):
        return ProblemError(503, "audit_unavailable", "The audit log cannot be written, so nothing is answered.")
    if isinstance(error, RequestValidationError):
        return ProblemError(422, "not_valid", "The request is not valid; see errors.", errors=_errors(error))
    if isinstance(error, HTTPException):
        code = TITLES.get(error.status_code, "refused").lower().replace(" ", "_")
        return ProblemError(error.status_code, code, f"{error.detail}.", dict(error.headers or {}))
    if isinstance(error, C360Error):
        return ProblemError(503, "not_available", "The data cannot be read at the moment.", {"retry-after": "5"})
    return ProblemError(500, "internal", "Something went wrong; the log has it under the request's id.")


def problem_told(error: Exception, request_id: str) -> ProblemError:
    """What is told of an exception; what is the service's own fault is logged under the request's id."""
    problem = problem_of(error)
    if problem.status >= 500:
        trace = error if problem.status == 500 else None
        LOG.error("%s %s", problem.code, type(error).__name__, exc_info=trace, extra={"request_id": request_id})
    return problem


def refusal(error: Exception, request_id: str = "") -> Response:
    """The answer to an exception; what is the service's own fault is logged."""
    return problem_response(problem_told(error, request_id))


def _errors(error: RequestValidationError) -> list[dict[str, str]]:
    """Where and why, without the value: it may be somebody's address."""
    return [{"where": ".".join(str(part) for part in each["loc"]), "why": str(each["msg"])} for each in error.errors()]


def add_problems(app: FastAPI) -> None:
    """Answer every exception with its problem."""

    async def answer(request: Request, error: Exception) -> Response:
        return refusal(error, request.scope.get("state", {}).get("request_id", ""))

    for kind in (ProblemError, C360Error, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)
