"""Contracts of topics: what is refused, and which changes may follow on the same topic."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from c360.cli.topics import app
from c360.contracts.model import Column
from c360.contracts.topic import TOPICS, TopicContract, load_topics
from c360.contracts.topic_check import check_topics, topic_problem
from c360.errors import ContractError
from tests.unit.contracts.test_check import git

EVENTS = load_topics()["raw-events"]


def edited(root: Path, change: Callable[[dict[str, Any]], Any], name: str = "raw-metrics") -> Path:
    """The product's topics below ``root``, one of them changed."""
    folder = root / "topics"
    if not folder.exists():
        shutil.copytree(TOPICS, folder)
    document = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
    change(document)
    (folder / f"{name}.yaml").write_text(
        yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8"
    )
    return folder


def payload(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["schema"][0]["properties"][1]["properties"]
    return found


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "major": (lambda d: d.update(version="2.0.0"), "a new major version is a new topic"),
    "id": (lambda d: d.update(id="raw-metric"), "set id to raw-metrics"),
    "no server": (lambda d: d.update(servers=[]), "exactly one server of type kafka"),
    "spelling": (lambda d: d["servers"][0]["customProperties"][3].update(property="consumer"), "consumer"),
    "layer": (lambda d: d["servers"][0]["customProperties"][0].update(value="copper"), "layer 'copper' is unknown"),
    "throughput": (lambda d: d["servers"][0]["customProperties"][1].update(value=0), "throughput is 0"),
    "compression": (lambda d: d["servers"][0]["customProperties"][4].update(value="rar"), "compression is 'rar'"),
    "key": (lambda d: d["schema"][0]["customProperties"][0].update(value=["payload.value"]), "key 'payload.value'"),
    "personal": (lambda d: payload(d)[0].update(classification="direct"), "no optional text"),
    "type": (lambda d: payload(d)[2].update(physicalType="float"), "unknown type 'float'"),
    "group": (lambda d: d["schema"][0]["customProperties"][1].update(value="envelop"), "unknown group 'envelop'"),
    "two owners": (
        lambda d: d["schema"][0]["properties"][0]["enum"].append({"value": "log"}), "Event type log belongs to"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_kept_is_refused(tmp_path: Path, case: str) -> None:
    change, words = WRONG[case]
    with pytest.raises(ContractError, match=words):
        load_topics(edited(tmp_path, change))


def with_field(topic: TopicContract, name: str, **changes: Any) -> TopicContract:
    fields = [replace(field, **changes) if field.name == name else field for field in topic.fields]
    return replace(topic, fields=tuple(fields))


NEW = Column("payload.referrer", "string", description="x")


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (replace(EVENTS, fields=(*EVENTS.fields, replace(NEW, required=True)), version="1.2.0"), "is required"),
        (replace(EVENTS, fields=EVENTS.fields[:-1], version="1.2.0"), "payload.properties dropped"),
        (replace(with_field(EVENTS, "payload.user_id", type="long"), version="1.2.0"), "from string to long"),
        (replace(with_field(EVENTS, "payload.user_id", required=True), version="1.2.0"), "became required"),
        (replace(with_field(EVENTS, "payload.user_id", max_length=8), version="1.2.0"), "max_length tightened"),
        (replace(with_field(EVENTS, "payload.device", enum=("desktop",)), version="1.2.0"), "lost the value mobile"),
        (replace(EVENTS, key=("payload.session_id",), version="1.2.0"), "key changed"),
        (replace(EVENTS, fields=(*EVENTS.fields, NEW)), "without a new minor version"),
        (replace(EVENTS, fields=(*EVENTS.fields, NEW), version="1.1.1"), "without a new minor version"),
        (replace(EVENTS, consumers=9), "without a new version"),
        (replace(EVENTS, version="1.0.0"), "went back"),
    ],
)
def test_a_change_that_readers_cannot_take_is_refused(after: TopicContract, words: str) -> None:
    problem = topic_problem(EVENTS, after)
    assert problem is not None
    assert words in problem


@pytest.mark.parametrize(
    "after",
    [
        EVENTS,
        replace(EVENTS, fields=(*EVENTS.fields, NEW), version="1.2.0"),
        replace(with_field(EVENTS, "payload.user_id", max_length=100), version="1.2.0"),
        replace(with_field(EVENTS, "payload.user_id", description="Who."), version="1.1.1"),
        replace(EVENTS, consumers=9, version="1.1.1"),
    ],
)
def test_a_change_that_only_adds_may_follow(after: TopicContract) -> None:
    assert topic_problem(EVENTS, after) is None


def test_the_check_compares_with_the_last_commit(tmp_path: Path) -> None:
    folder = edited(tmp_path, lambda _: None)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    edited(tmp_path, lambda d: payload(d).pop(1))
    seen = check_topics("HEAD", root=folder)
    assert (seen.contracts, seen.compared) == (6, 6)
    (problem,) = seen.problems
    assert problem.startswith("raw-metrics: needs a new topic")
    (folder / "raw-logs.yaml").unlink()
    assert "raw-logs: contract removed" in check_topics("HEAD", root=folder).problems[0]


def test_the_products_own_topics_pass_the_check_of_the_command() -> None:
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 0, result.output
    assert "topics: 6 valid" in result.output
