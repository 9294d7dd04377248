"""Flink SQL through the SQL Gateway's REST API: no JVM in the client, and the job id of what was submitted."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from c360.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from c360.settings import Settings

POLL = 0.1


@dataclass(frozen=True)
class SqlResult:
    """What a statement gave: its rows, and the id of the job that it started, if it started one."""

    rows: list[list[Any]] = field(default_factory=list)
    job_id: str | None = None


class SqlSession:
    """One session of the SQL Gateway: its catalogs, temporary tables and ``SET`` values are its own."""

    def __init__(self, http: httpx.Client, path: str) -> None:
        self._http = http
        self._path = path

    def execute(self, statement: str, timeout: float = 120.0) -> SqlResult:
        """Run one statement and read all its rows; a streaming ``INSERT`` returns as soon as it is submitted.

        Args:
            statement: one statement, or one ``EXECUTE STATEMENT SET BEGIN … END``, without secrets if errors are shown.
            timeout: seconds until it is given up.

        Raises:
            EngineError: the gateway refuses it (its innermost cause is quoted), does not answer, or takes too long.
        """
        deadline = time.monotonic() + timeout
        answer = _call(self._http, "POST", f"{self._path}/statements", json={"statement": statement})
        next_page: str | None = f"{self._path}/operations/{answer['operationHandle']}/result/0?rowFormat=JSON"
        rows: list[list[Any]] = []
        job_id: str | None = None
        while next_page:
            page = _call(self._http, "GET", next_page)
            job_id = page.get("jobID") or job_id
            rows += [row["fields"] for row in page.get("results", {}).get("data", [])]
            next_page = page.get("nextResultUri")
            if time.monotonic() > deadline:
                raise EngineError(
                    f"Flink has not finished within {timeout:.0f} s: {statement[:80]}", "see the job in Flink's web UI"
                )
            if page.get("resultType") == "NOT_READY":
                time.sleep(POLL)
        return SqlResult(rows, job_id)


@contextmanager
def sql_session(
    settings: Settings, conf: Mapping[str, str] | None = None, timeout: float = 60.0
) -> Iterator[SqlSession]:
    """A session of the SQL Gateway for a block; jobs that it submitted live on. ``timeout`` bounds each request.

    Raises:
        EngineError: the gateway does not answer.
    """
    with httpx.Client(base_url=settings.flink_gateway_address, timeout=timeout, trust_env=False) as http:
        handle = _call(http, "POST", "/v1/sessions", json={"properties": dict(conf or {})})["sessionHandle"]
        path = f"/v1/sessions/{handle}"
        try:
            yield SqlSession(http, path)
        finally:
            with suppress(httpx.HTTPError):  # the gateway drops idle sessions itself
                http.delete(path)


def _call(http: httpx.Client, method: str, path: str, **arguments: Any) -> dict[str, Any]:
    try:
        response = http.request(method, path, **arguments)
        document: dict[str, Any] = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise EngineError(
            f"Flink's SQL Gateway at {http.base_url} does not answer ({type(error).__name__})",
            "start it with `c360 up flink`, or correct C360_FLINK_GATEWAY_URL",
        ) from error
    if "errors" in document or response.is_error:
        raise EngineError(f"Flink refuses the statement: {_cause(document.get('errors', []))}", "correct the statement")
    return document


def _cause(errors: list[str]) -> str:
    """The innermost cause of a Java stack trace, which is the one that says what is wrong."""
    lines = "\n".join(map(str, errors)).splitlines()
    causes = [line.strip() for line in lines if line.startswith("Caused by:")]
    told = (
        causes[-1].removeprefix("Caused by:") if causes else next((line for line in lines if line.strip()), "no reason")
    )
    return told.strip()[:500]
