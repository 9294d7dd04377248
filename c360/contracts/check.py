"""The contracts of the working folder against those of a git commit: nobody breaks without a new major version."""

from __future__ import annotations

import io
import os
import subprocess
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from c360.contracts.compile import compile_contract
from c360.contracts.evolution import version_problem
from c360.contracts.loader import SHARED, STREAMS, TABLES, load_contracts, load_stream_contracts
from c360.contracts.standard import parse_contract, parse_shared
from c360.contracts.topic import TOPICS
from c360.contracts.topic_columns import topic_columns
from c360.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from open_data_contract_standard.model import SchemaProperty

    from c360.contracts.model import Contract

RETIRING = ("deprecated", "retired")


@dataclass(frozen=True)
class Check:
    """What a check saw: how many contracts, how many of them with a previous version, and one sentence per problem."""

    ref: str
    contracts: int
    compared: int
    problems: tuple[str, ...]


def check_contracts(ref: str | None = None, root: Path | None = None, topics: Path | None = None) -> Check:
    """Compare each contract below ``root`` with its version at the git commit ``ref``; by default, the product's own.

    Without ``ref`` that is the last committed version: HEAD while the folder has changes, otherwise the commit before
    the one that changed it last, so that the check still means something once the change is committed. Tables that
    streams fill have their topic's columns, so they are compared together with the ``topics`` they are read from.

    Contracts without a previous version (a new file, a folder outside git, a repository without commits) count as new.
    A previous version that cannot be read any more cannot be compared and counts as new, too. Raises ContractError if
    the present contracts are not valid, or if ``ref`` is named but unknown.
    """
    if root is not None:
        return _check(ref, root, load_stream_contracts(root, topics) if topics else load_contracts(root), topics)
    tables = _check(ref, TABLES, load_contracts())
    streams = _check(ref, STREAMS, load_stream_contracts(), TOPICS)
    return Check(
        " and ".join(dict.fromkeys((tables.ref, streams.ref))),
        tables.contracts + streams.contracts,
        tables.compared + streams.compared,
        tables.problems + streams.problems,
    )


def _check(ref: str | None, root: Path, present: Mapping[str, Contract], topics: Path | None = None) -> Check:
    ref = reference(ref, root, *([topics] if topics else []))
    previous = _contracts_at(ref, root, topics) if ref else {}
    problems = []
    for name, old in previous.items():
        if name not in present:
            if old.status not in RETIRING:
                problems.append(
                    f"{name}: contract removed although its status was {old.status}, not deprecated or retired"
                )
            continue
        problem = version_problem(old, present[name])
        if problem:
            problems.append(f"{name}: {problem}")
    return Check(ref or "nothing", len(present), len(set(previous) & set(present)), tuple(problems))


def _contracts_at(ref: str, root: Path, topics: Path | None) -> Mapping[str, Contract]:
    """Contracts as committed, each by itself: a file that was not valid then must not stop its repair now."""
    found: dict[str, Contract] = {}
    with committed(ref, root) as folder:
        try:
            shared = {**parse_shared(folder / SHARED), **_columns_at(ref, topics)}
        except ContractError:
            return {}
        for path in sorted(folder.glob("*/*.yaml")):
            try:
                contract = compile_contract(parse_contract(path), shared, path)
            except ContractError:
                continue
            found[contract.name] = contract
    return found


def _columns_at(ref: str, topics: Path | None) -> Mapping[str, tuple[SchemaProperty, ...]]:
    if topics is None:
        return {}
    with committed(ref, topics) as folder:
        return topic_columns(folder)


@contextmanager
def committed(ref: str, root: Path) -> Iterator[Path]:
    """A temporary folder with what ``root`` held at the commit; empty where it held nothing."""
    # Run inside a folder, git archives that folder only, with paths relative to it.
    archive = _git(root, "archive", "--format=zip", ref)
    with tempfile.TemporaryDirectory() as folder:
        if archive is not None:
            with zipfile.ZipFile(io.BytesIO(archive)) as packed:
                packed.extractall(folder)
        yield Path(folder)


def reference(ref: str | None, root: Path, *others: Path) -> str | None:
    """The commit to compare these folders with; None if there is none yet. ContractError if ``ref`` is unknown."""
    if ref is None:
        return _last_version(root, *map(str, others))
    if _git(root, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}") is None:
        raise ContractError(f"There is no git commit {ref} to compare with", "name a commit, branch or tag")
    return ref


def _last_version(root: Path, *others: str) -> str | None:
    """The commit to compare with by default; None where git, a repository or such a commit do not exist."""
    if _git(root, "rev-parse", "--verify", "--quiet", "HEAD") is None:
        return None
    if _git(root, "status", "--porcelain", "--", ".", *others):
        return "HEAD"
    last = (_git(root, "log", "-1", "--format=%H", "--", ".", *others) or b"").decode().strip()
    before = _git(root, "rev-parse", "--verify", "--quiet", f"{last}^") if last else None
    return before.decode().strip() if before else None


def _git(folder: Path, *arguments: str) -> bytes | None:
    """Output of a git command in a folder, None if it failed; ContractError if git refuses the whole repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - git is wherever the user has it
            capture_output=True,
            check=False,
            timeout=60,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        return None
    if b"dubious ownership" in done.stderr:
        # Counting as new here would turn the check off without a word.
        raise ContractError("git refuses this repository: it belongs to another user", "add it to git's safe.directory")
    return done.stdout if done.returncode == 0 else None
