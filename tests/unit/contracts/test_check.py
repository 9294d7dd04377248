"""The check against git, in repositories made for it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from c360.cli.contracts import app
from c360.contracts.check import check_contracts
from c360.contracts.loader import STREAMS, load_stream_contracts
from c360.contracts.topic import TOPICS
from c360.errors import ContractError

Write = Callable[[dict[str, Any]], Path]


def git(folder: Path, *arguments: str) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        **{f"GIT_{who}_{what}": "t@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }
    subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, timeout=60)


@pytest.fixture
def committed(tmp_path: Path, small: dict[str, Any], write: Write) -> Path:
    """Folder of contracts below a repository with one commit, tagged ``first``."""
    root = write(small)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    git(tmp_path, "tag", "first")
    return root


def size(document: dict[str, Any]) -> dict[str, Any]:
    item: dict[str, Any] = document["schema"][0]["properties"][3]
    return item


def test_unchanged_is_fine(committed: Path) -> None:
    seen = check_contracts("HEAD", root=committed)
    assert (seen.contracts, seen.compared, seen.problems) == (1, 1, ())


def test_a_committed_change_is_still_checked(
    committed: Path, tmp_path: Path, small: dict[str, Any], write: Write
) -> None:
    assert check_contracts(root=committed).ref == "nothing"
    small["schema"][0]["properties"].pop()
    write(small)
    git(tmp_path, "commit", "--quiet", "--all", "--message", "breaking")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "something else")
    (problem,) = check_contracts(root=committed).problems
    assert "column size dropped" in problem


def test_breaking_without_major_version_fails(committed: Path, small: dict[str, Any], write: Write) -> None:
    size(small)["logicalTypeOptions"]["maximum"] = 5
    write({**small, "version": "1.1.0"})
    (problem,) = check_contracts(root=committed).problems
    assert problem.startswith("silver.things: breaking without a new major version after 1.0.0: column size maximum")

    write({**small, "version": "2.0.0"})
    assert check_contracts(root=committed).problems == ()


def test_any_change_without_a_version_fails(committed: Path, small: dict[str, Any], write: Write) -> None:
    size(small)["description"] = "How big it is."
    write(small)
    (problem,) = check_contracts(root=committed).problems
    assert "changed without a new version after 1.0.0" in problem


def test_the_check_compares_with_the_commit_asked_for(
    committed: Path, tmp_path: Path, small: dict[str, Any], write: Write
) -> None:
    size(small)["physicalType"] = "long"
    write({**small, "version": "1.1.0"})
    git(tmp_path, "commit", "--quiet", "--all", "--message", "second")
    small["schema"][0]["properties"].pop()
    write({**small, "version": "2.0.0"})
    assert check_contracts(root=committed).ref == "HEAD"
    assert check_contracts(root=committed).problems == ()
    assert check_contracts("first", root=committed).problems == ()
    write({**small, "version": "1.2.0"})
    (problem,) = check_contracts("first", root=committed).problems
    assert "column size dropped" in problem
    with pytest.raises(ContractError, match="no git commit third"):
        check_contracts("third", root=committed)


def test_a_change_of_shared_columns_touches_every_table(
    committed: Path, tmp_path: Path, small: dict[str, Any], write: Write
) -> None:
    small["schema"][0]["customProperties"].append({"property": "sharedColumns", "value": "position"})
    line = "  - {{name: _row, description: Position., logicalType: integer, physicalType: {}, classification: none}}\n"
    shared = committed / "shared.yaml"
    shared.write_text("position:\n" + line.format("int"))
    write({**small, "version": "1.1.0"})
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "shared")
    assert check_contracts(root=committed).problems == ()

    shared.write_text("position:\n" + line.format("long"))
    (problem,) = check_contracts(root=committed).problems
    assert "column _row changed from int to long" in problem


def test_a_table_is_retired_before_it_goes(
    committed: Path, tmp_path: Path, small: dict[str, Any], write: Write
) -> None:
    other = {**small, "id": "silver.others", "schema": [{**small["schema"][0], "name": "others"}]}
    write(other)
    (committed / "silver" / "things.yaml").unlink()
    assert (
        "silver.things: contract removed although its status was active" in check_contracts(root=committed).problems[0]
    )

    write({**small, "status": "deprecated", "version": "1.1.0"})
    assert check_contracts(root=committed).problems == ()
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "deprecate")
    (committed / "silver" / "things.yaml").unlink()
    assert check_contracts(root=committed).problems == ()


def test_a_contract_that_was_broken_can_be_repaired(
    committed: Path, tmp_path: Path, small: dict[str, Any], write: Write
) -> None:
    (committed / "silver" / "things.yaml").write_text("id: [\n")
    git(tmp_path, "commit", "--quiet", "--all", "--message", "broken")
    write(small)
    seen = check_contracts(root=committed)
    assert (seen.ref, seen.compared, seen.problems) == ("HEAD", 0, ())


def test_without_git_or_commits_everything_is_new(
    tmp_path: Path, small: dict[str, Any], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    root = write(small)
    assert check_contracts(root=root).compared == 0
    git(tmp_path, "init", "--quiet")
    assert check_contracts(root=root).compared == 0
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "empty")
    assert check_contracts(root=root).compared == 0
    monkeypatch.setenv("PATH", str(tmp_path))
    assert check_contracts(root=root).compared == 0


def test_a_topic_that_changes_touches_the_tables_that_streams_fill_from_it(tmp_path: Path) -> None:
    streams, topics = (Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in (STREAMS, TOPICS))
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    assert check_contracts(root=streams, topics=topics).problems == ()
    path = topics / "raw-logs.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("maxLength: 65536", "maxLength: 70000"), encoding="utf-8")
    for committed_too in (False, True):
        if committed_too:
            git(tmp_path, "commit", "--quiet", "--all", "--message", "second")
        found = check_contracts(root=streams, topics=topics)
        assert found.compared == len(load_stream_contracts())
        assert [problem.partition(":")[0] for problem in found.problems] == ["silver.log_events"]


def test_the_product_breaks_no_reader() -> None:
    """The acceptance test of every change to a contract: compare with what was committed last (CI: with its base)."""
    assert check_contracts(os.environ.get("C360_CONTRACTS_REF") or None).problems == ()


def test_commands_list_show_and_check() -> None:
    runner = CliRunner()
    listed = runner.invoke(app, ["list", "--json"])
    assert listed.exit_code == 0
    assert {"name": "silver.orders", "version": "1.0.0"}.items() <= {
        key: value
        for item in json.loads(listed.stdout)
        if item["name"] == "silver.orders"
        for key, value in item.items()
    }.items()
    assert "gold.delivery_performance" in runner.invoke(app, ["list"]).stdout

    shown = runner.invoke(app, ["show", "silver.customers"])
    assert shown.exit_code == 0
    assert "acquisition_channel" in shown.stdout
    as_json = json.loads(runner.invoke(app, ["show", "silver.customers", "--json"]).stdout)
    assert as_json["primary_key"] == ["customer_id", "updated_at"]

    checked = runner.invoke(app, ["check", "--json"])
    assert checked.exit_code == 0
    assert json.loads(checked.stdout)["contracts"] == 37 + 23


def test_check_command_fails_on_a_problem(
    committed: Path, small: dict[str, Any], write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    small["schema"][0]["properties"].pop()
    write(small)
    monkeypatch.setattr("c360.contracts.check.TABLES", committed)
    monkeypatch.setattr("c360.contracts.loader.TABLES", committed)
    import c360.contracts.loader as loader

    loader._packaged.cache_clear()
    try:
        result = CliRunner().invoke(app, ["check"])
    finally:
        monkeypatch.undo()
        loader._packaged.cache_clear()
    assert result.exit_code == 1
    assert "silver.things: breaking without a new major version" in result.stderr
