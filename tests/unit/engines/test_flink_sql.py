"""The SQL Gateway's client against answers as the gateway gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from c360.engines.flink_sql import SqlSession, sql_session
from c360.errors import EngineError
from c360.settings import Settings
from tests.conftest import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ERROR = """org.apache.flink.table.gateway.service.utils.SqlExecutionException: Failed to execute the operation.
\tat org.apache.flink.table.gateway.X.run(X.java:1)
Caused by: org.apache.flink.table.api.ValidationException: SQL validation failed.
\tat org.apache.flink.Y.run(Y.java:1)
Caused by: org.apache.calcite.sql.validate.SqlValidatorException: Object 'nowhere' not found
\t... 7 more"""


def session(*pages: dict[str, Any] | str) -> SqlSession:
    answers: Iterator[dict[str, Any] | str] = iter([{"operationHandle": "op"}, *pages])

    def answer(request: httpx.Request) -> httpx.Response:
        page = next(answers)
        return (
            httpx.Response(500, json={"errors": ["Internal server error.", page]})
            if isinstance(page, str)
            else (httpx.Response(200, json=page))
        )

    return SqlSession(httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(answer)), "/v1/sessions/s")


def page(number: int, kind: str = "PAYLOAD", *rows: list[Any], **more: Any) -> dict[str, Any]:
    return {
        "resultType": kind,
        "results": {"data": [{"kind": "INSERT", "fields": list(row)} for row in rows]},
        **({} if kind == "EOS" else {"nextResultUri": f"/v1/sessions/s/operations/op/result/{number + 1}"}),
        **more,
    }


def test_rows_of_all_pages_and_the_job() -> None:
    result = session(
        page(0, "NOT_READY"), page(0, "PAYLOAD", [1, "a"], jobID="j1"), page(1, "PAYLOAD", [2, "b"]), page(2, "EOS")
    ).execute("SELECT 1")
    assert result.rows == [[1, "a"], [2, "b"]]
    assert result.job_id == "j1"


def test_innermost_cause_is_quoted() -> None:
    with pytest.raises(
        EngineError, match=r"refuses the statement: .*SqlValidatorException: Object 'nowhere' not found\. "
    ):
        session(ERROR).execute("SELECT * FROM nowhere")


def test_statement_that_does_not_end_is_given_up() -> None:
    with pytest.raises(EngineError, match="has not finished within 0 s: SELECT forever"):
        session(*[page(0, "NOT_READY")] * 3).execute("SELECT forever", timeout=0)


def test_gateway_that_is_not_there_names_the_mend(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, flink_gateway_port=free_port())
    with pytest.raises(EngineError, match=r"does not answer.*c360 up flink"), sql_session(settings):
        pass
