"""``c360 up``, ``down``, ``status`` and ``jars`` as a person and a program see them."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest
import typer
from typer.testing import CliRunner

from c360.cli import stack
from c360.errors import EngineError
from c360.settings import Settings
from tests.conftest import free_port
from tests.unit.engines.engine_specs import eventually, gone, server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("C360_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    server(Settings(), free_port()).down()


def run(*words: str) -> Result:
    app = typer.Typer()
    stack.register(app)
    return CliRunner().invoke(app, words)


def test_nothing_started(home: Path) -> None:
    assert "Nothing was started" in run("status").output
    assert json.loads(run("status", "--json").output) == []
    assert "Nothing was running" in run("down").output


def test_status_tells_running_from_dead_and_down_ends_it(home: Path) -> None:
    port = free_port()
    (engine,) = server(Settings(), port).up("toy")
    answer = run("status", "--json")
    assert answer.exit_code == 0
    (shown,) = json.loads(answer.output)
    assert (shown["name"], shown["state"], shown["pid"], shown["port"]) == ("toy", "running", engine.pid, port)
    assert str(home / "logs") in run("status").output.replace("\n", "")
    os.kill(engine.pid, signal.SIGKILL)
    assert eventually(lambda: json.loads(run("status", "--json").output)[0]["state"] == "dead")
    assert run("status").exit_code == 1
    assert json.loads(run("down", "--json").output) == ["toy"]
    assert gone(engine.pid)


def test_unknown_engine_is_refused_with_the_names(home: Path) -> None:
    answer = run("up", "oracle")
    assert isinstance(answer.exception, EngineError)
    assert "spark, dagster" in str(answer.exception)


def test_unknown_group_of_jars(home: Path) -> None:
    assert "no group 'kafka9'" in str(run("jars", "fetch", "kafka9").exception)
