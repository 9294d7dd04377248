"""``c360 tables`` as a user and as a program would call it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from c360.cli.tables import app
from c360.errors import C360Error
from c360.lakehouse import Lakehouse
from tests.unit.lakehouse.shapes import contract, ids, put, things

NAME = contract().name


@pytest.fixture
def call(lake: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("C360_HOME", str(lake.settings.home))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments))
        if isinstance(result.exception, C360Error):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return run


@pytest.fixture
def line(lake: Lakehouse) -> list[int]:
    lake.ensure(contract())
    return [put(lake, NAME, things([i]), f"run-{i}", watermark=f"2025-01-0{i + 1}") for i in range(3)]


def test_list(call: Any, lake: Lakehouse) -> None:
    assert "no tables yet" in call("list")
    assert json.loads(call("list", "--json")) == []
    lake.ensure(contract())
    assert NAME in call("list")
    head = put(lake, NAME, things([1, 2]), "run-1", watermark="2025-01-01", contract_version="1.0.0")
    [row] = json.loads(call("list", "--json"))
    assert (row["table"], row["rows"], row["watermark"], row["run"]) == (NAME, 2, "2025-01-01", "run-1")
    assert row["snapshot"] == head
    assert str(head) in call("list")


def test_history(call: Any, lake: Lakehouse, line: list[int]) -> None:
    lake.tag(NAME, "month-end", line[1])
    text = call("history", NAME)
    assert all(str(snapshot) in text for snapshot in line)
    assert "month-end" in text
    found = json.loads(call("history", NAME, "--json"))
    assert [s["snapshot_id"] for s in found["snapshots"][:3]] == line[::-1]
    assert found["refs"] == {"main": line[2], "month-end": line[1]}


def test_rollback_by_id_and_by_moment(call: Any, lake: Lakehouse, line: list[int]) -> None:
    done = json.loads(call("rollback", NAME, "--to", str(line[0]), "--json"))
    assert done == {"table": NAME, "before": line[2], "after": line[0]}
    assert ids(lake.read(NAME)) == [0]
    assert f"snapshot {line[2]}" in call("rollback", NAME, "--to", str(line[2]))
    moment = next(c for c in lake.history(NAME) if c.snapshot_id == line[1]).committed_at
    with pytest.raises(C360Error, match="no snapshot as old as 2001"):
        call("rollback", NAME, "--as-of", "2001-01-01")
    with pytest.raises(C360Error, match="No point was given"):
        call("rollback", NAME)
    assert moment is not None


def test_tag_and_drop(call: Any, lake: Lakehouse, line: list[int]) -> None:
    assert json.loads(call("tag", NAME, "a", "--snapshot", str(line[0]), "--json"))["snapshot"] == line[0]
    call("tag", NAME, "b")
    assert lake.refs(NAME) == {"main": line[2], "a": line[0], "b": line[2]}
    call("tag", NAME, "a", "--drop")
    assert set(lake.refs(NAME)) == {"main", "b"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["history", "silver.none"], "does not exist"),
        (["rollback", NAME, "--as-of", "yesterday"], "'yesterday' is no moment"),
        (["rollback", NAME, "--as-of", "2025-01-01T10:00"], "has no time zone"),
        (["maintain", "--retention"], "give --as-of"),
        (["maintain", "silver.none"], "There is no table silver.none"),
    ],
)
def test_refusals(call: Any, line: list[int], arguments: list[str], said: str) -> None:
    with pytest.raises(C360Error, match=said):
        call(*arguments)


def test_it_is_part_of_the_command() -> None:
    commands = {command.name for command in app.registered_commands}
    assert commands == {"list", "history", "rollback", "tag", "maintain"}
    assert isinstance(app, typer.Typer)
