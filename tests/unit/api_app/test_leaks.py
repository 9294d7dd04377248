"""The listener of :mod:`tests.leaks` hears what is planted, wherever that is, and does not cry where all is well."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.security.audit import Access
from api.security.principal import Role
from api.serving.source import BY_KIND
from api.tracing import Tracing
from c360.contracts import get_contract
from tests.leaks.people import TABLES, forms
from tests.leaks.plugin import unheard
from tests.leaks.rights import DIRECT
from tests.leaks.sentinel import SENTINEL, Sentinel

if TYPE_CHECKING:
    from tests.unit.api_app.conftest import World

ROOT = Path(__file__).parents[3]


@pytest.fixture
def person(world: World) -> dict[str, Any]:
    """Somebody of whom everything is known."""
    return next(row for row in world.customers if all(row[column] for column in DIRECT))


@pytest.mark.parametrize("column", DIRECT)
@pytest.mark.parametrize("path", ["/v1/customers/{}", "/v1/customers/{}?x=1", "/v1/customers?limit=200"])
def test_an_answer_that_shows_too_much_is_heard(
    world: World, keys: dict[Role, str], person: dict[str, Any], column: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaky(kind: str, view: object) -> Any:
        return lambda row: {"customer_id": row["customer_id"], "note": f"see {row[column]}"}

    monkeypatch.setattr(world.state.presenting, "show", leaky)
    path = path.format(person["customer_id"])
    assert world.ask(path, keys[Role.ANALYST]).status_code == 200
    found = SENTINEL.judge()
    assert any(f"{column} of {person['customer_id']} in the answer GET /v1/customers" in leak for leak in found), found
    assert all(leak.endswith("to analyst") for leak in found)
    assert world.ask(path, keys[Role.PRIVACY]).status_code == 200
    assert SENTINEL.judge() == []


@pytest.mark.parametrize("coding", ["identity", "gzip", "zstd"])
def test_an_export_in_binary_and_compressed_is_heard(
    world: World, keys: dict[Role, str], person: dict[str, Any], coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.state.presenting, "show", lambda kind, view: lambda row: {"segment": row["email"]})
    headers = {"x-api-key": keys[Role.ANALYST], "accept-encoding": coding}
    answer = world.client.get("/v1/customers/export?format=arrow", headers=headers)
    assert answer.headers.get("content-encoding", "identity") == coding
    assert any(f"email of {person['customer_id']} in the answer" in leak for leak in SENTINEL.judge())


def test_what_marketing_may_not_send_is_heard(
    world: World, keys: dict[Role, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        world.state.presenting,
        "show",
        lambda kind, view: lambda row: {"mail": row["email"], "consent": row["consent_marketing_email"]},
    )
    shown = world.ask("/v1/customers?limit=200", keys[Role.MARKETING]).json()["data"]
    refused = sum(row["consent"] is not True and row["mail"] is not None for row in shown)
    assert 0 < refused < len(shown)
    assert len(SENTINEL.judge()) == refused


def test_headers_and_refusals_name_nobody_even_to_those_who_may_know(
    world: World, keys: dict[Role, str], person: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from api.problem import ProblemError

    def refuse(*_: object) -> None:
        raise ProblemError(404, "x", f"no {person['email']}", {"x-who": person["phone"]})

    monkeypatch.setattr(world.state.presenting, "show", refuse)
    assert world.ask(f"/v1/customers/{person['customer_id']}", keys[Role.PRIVACY]).status_code == 404
    assert {leak.split(" GET")[0] for leak in SENTINEL.judge()} == {
        f"email of {person['customer_id']} in the answer",
        f"phone of {person['customer_id']} in the headers",
    }


@pytest.mark.parametrize("column", DIRECT)
def test_a_line_of_the_log_a_span_and_an_audit_record_are_heard(
    world: World, keys: dict[Role, str], person: dict[str, Any], column: str
) -> None:
    assert world.ask("/v1/tables", keys[Role.SUPPORT]).status_code == 200
    who = f"{column} of {person['customer_id']}"
    logging.getLogger("c360.serving").warning("cannot read %s", person[column])
    assert SENTINEL.judge() == [f"{who} in the log line c360.serving"]
    tracing = Tracing(at_once=[InMemorySpanExporter()])
    tracing.tracer.start_span("read", attributes={"c360.key": f"it is {person[column]}"}).end()
    tracing.close()
    assert SENTINEL.judge() == [f"{who} in the span read"]
    world.state.audit.write(Access("test", None, "customer:read", f"customer {person[column]}", "denied"))
    [leak] = SENTINEL.judge()
    assert leak.startswith(f"{who} in the audit line audit-")


def test_the_log_of_a_process_is_heard_also_after_it_was_moved(
    world: World, person: dict[str, Any], tmp_path: Path
) -> None:
    log, own = tmp_path / "api.log", Sentinel()
    own.watch(tmp_path, world.settings.home / "warehouse")
    with own.watching(tmp_path, log):
        log.write_text("started\n")
        assert own.judge() == []
        with log.open("a") as file:
            file.write(f"failed for {person['email']}\n")
        log.rename(tmp_path / "api.log.1")
        log.write_text("started again\n")
    assert own.judge() == [f"email of {person['customer_id']} in the process line api.log.1"]
    assert own.counts["process line"] == 3


def test_values_are_found_as_they_are_written_in_json_addresses_and_dialling() -> None:
    assert {'Jo \\"Q\\" \\u00dc', 'Jo "Q" Ü', "Jo%20%22Q%22%20%C3%9C"} <= forms('Jo "Q" Ü', "full_name")
    assert "4930123456" in forms("+49 (30) 123-456", "phone")
    # A word that may be a word, and what is short, only as the whole of a text.
    assert forms("Berlin", "last_name") == forms("Berlin", "street") == {'"Berlin"', "'Berlin'"}
    assert "a1" not in forms("a1", "street")


def test_every_direct_column_that_is_served_is_looked_for() -> None:
    named = {(source.table, column.name) for source in BY_KIND.values() for column in get_contract(source.table).columns
             if column.classification == "direct" and not column.name.startswith("_")}  # fmt: skip
    assert {table.replace(".", "/") for table, _ in named} == set(TABLES)
    assert {column for _, column in named} == set(DIRECT)


def test_hearing_nothing_is_no_success() -> None:
    assert unheard(0, Counter()) == []
    assert unheard(3, Counter({"traced answers": 1})) == ["answer", "log line", "audit line", "span"]
    assert unheard(3, Counter({"answer": 3, "log line": 3, "audit line": 3})) == []


LEAKY = """
from types import SimpleNamespace
from fastapi import FastAPI
from fastapi.testclient import TestClient
import api.main

def ask(home):
    app = FastAPI()
    app.state.c360 = SimpleNamespace(settings=SimpleNamespace(home=home, warehouse=home / "warehouse"))
    app.get("/")(lambda: "it is planted@example.com")
    return TestClient(app).get("/").status_code

def test_leaks():
    from pathlib import Path
    assert ask(Path({home!r})) == 200

def test_is_well():
    pass
"""


def test_the_test_in_which_it_happens_fails_and_a_run_that_hears_nothing_too(tmp_path: Path) -> None:
    data = tmp_path / "home" / "warehouse" / "gold" / "customer_360" / "data"
    data.mkdir(parents=True)
    row = {"customer_id": "C1", "email": "planted@example.com"}
    pq.write_table(pa.Table.from_pylist([row]), data / "part.parquet")
    (tmp_path / "test_leaky.py").write_text(LEAKY.replace("{home!r}", repr(str(tmp_path / "home"))))

    def run(*more: str) -> str:
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.leaks.plugin",
            "-c",
            str(ROOT / "pyproject.toml"),
            *more,
        ]
        done = subprocess.run([*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stdout

    said = run("--rootdir", str(tmp_path))
    assert "1 failed, 1 passed" in said
    assert "email of C1 in the answer GET / (200) to nobody in particular" in said
    assert "test_leaky.py::test_leaks" in said
    # This application writes no log and no audit log: that alone must fail the run.
    (data / "part.parquet").unlink()
    said = run("--rootdir", str(tmp_path))
    assert "2 passed" in said
    assert "not one log line was heard" in said
