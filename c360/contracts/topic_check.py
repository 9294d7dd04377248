"""The contracts of topics against those of a git commit: no change that a reader of the old messages cannot take."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from c360.contracts.check import RETIRING, Check, committed, reference
from c360.contracts.evolution import column_changes
from c360.contracts.standard import parse_contract, parse_shared
from c360.contracts.topic import SHARED, TOPICS, compile_topic, load_topics
from c360.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from c360.contracts.model import Column
    from c360.contracts.topic import TopicContract

_SCHEMA_VERSION = "schema_version"


def check_topics(ref: str | None = None, root: Path | None = None) -> Check:
    """Compare each topic's contract below ``root`` (the product's own by default) with its version at ``ref``.

    Without ``ref`` that is the last committed version, as for tables. Raises ContractError if the present contracts are
    not valid, or if ``ref`` is named but unknown.
    """
    root = TOPICS if root is None else root
    ref = reference(ref, root)
    present = load_topics(None if root == TOPICS else root)
    previous = _topics_at(ref, root) if ref else {}
    problems = []
    for name, old in previous.items():
        if name not in present:
            if old.status not in RETIRING:
                problems.append(f"{name}: contract removed although its status was {old.status}")
            continue
        problem = topic_problem(old, present[name])
        if problem:
            problems.append(f"{name}: {problem}")
    return Check(ref or "nothing", len(present), len(set(previous) & set(present)), tuple(problems))


def topic_problem(old: TopicContract, new: TopicContract) -> str | None:
    """Why ``new`` may not follow ``old`` on the same topic; None if it may.

    The log of a topic holds old messages beside new ones, so a breaking change is refused whatever the version says;
    what is added needs a new minor version, which readers see as a new ``schema_version``.
    """
    before, after = _minor(old), _minor(new)
    if after < before:
        return f"version went back from {old.version} to {new.version}"
    found = column_changes(_content(old), _content(new))
    breaking = [change.text for change in found if change.level == "breaking"]
    if old.key != new.key:
        breaking.append(f"key changed from ({', '.join(old.key)}) to ({', '.join(new.key)})")
    if old.format != new.format:
        breaking.append(f"format changed from {old.format} to {new.format}")
    if breaking:
        return f"needs a new topic, for it breaks readers of the messages there are: {'; '.join(breaking)}"
    additive = [change.text for change in found if change.level == "additive"]
    if additive and after[0] == before[0]:
        return f"changed without a new minor version after {old.version}: {'; '.join(additive)}"
    if after == before and replace(old, version=new.version) != new:
        return f"changed without a new version after {old.version}"
    return None


def _content(topic: TopicContract) -> list[Column]:
    """The fields but the one that follows the version by itself."""
    return [field for field in topic.fields if field.name != _SCHEMA_VERSION]


def _minor(topic: TopicContract) -> tuple[int, int]:
    _, minor, patch = (int(part) for part in topic.version.split("."))
    return minor, patch


def _topics_at(ref: str, root: Path) -> Mapping[str, TopicContract]:
    """Contracts as committed, each by itself: a file that was not valid then must not stop its repair now."""
    found: dict[str, TopicContract] = {}
    with committed(ref, root) as folder:
        try:
            shared = parse_shared(folder / SHARED)
        except ContractError:
            return {}
        for path in sorted(folder.glob("*.yaml")):
            if path.name == SHARED:
                continue
            try:
                topic = compile_topic(parse_contract(path), shared, path)
            except ContractError:
                continue
            found[topic.name] = topic
    return found
