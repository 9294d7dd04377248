"""Mistakes that projects of this kind have made, each as a test that fails if it is made here; the name quotes it.

Those of the API are in ``api_app/test_known_mistakes.py``, those of features and streams where these run; the table at
the end of ``docs/reliability.md`` has them all.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from c360.features.tables import feature_tables
from c360.streams.features import load_features
from c360_assets.features.catalogue import FEATURES

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
OWN = ("c360", "c360_assets", "mock_data", "api")
IMPORT_ALL = """
import importlib, pkgutil, sys
names = []
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    names += [name, *(each.name for each in pkgutil.walk_packages(package.__path__, f"{name}."))]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""


def trees(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """The syntax of every module below these folders."""
    for folder in folders:
        for path in (ROOT / folder).rglob("*.py"):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> set[str]:
    """Full names of what a module imports."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{each.name}" for each in node.names}
    return found


def test_health_of_streams_and_sensors_use_no_random_numbers() -> None:
    seen = 0
    for path, tree in trees("c360/streams", "c360_assets/defs", "c360_assets/alerts"):
        seen += 1
        assert not [name for name in imported(tree) if re.search(r"(^|[.])random\b", name)], path
        assert not [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and n.attr == "random"], path
    assert seen > 50


def test_every_module_of_the_packages_can_be_imported_where_they_are_installed(tmp_path: Path) -> None:
    # In another folder and without this one on the path, as after an installation.
    command = [sys.executable, "-P", "-W", "ignore", "-c", IMPORT_ALL, *OWN]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 300


def test_no_test_passes_without_the_package_that_it_tests() -> None:
    """A suite that skips or goes on where an import fails is green without a product."""
    for path, tree in trees("tests"):
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                caught = ast.unparse(node.type)
                assert not re.search(r"\b(ImportError|ModuleNotFoundError)\b", caught), f"{path}:{node.lineno}"
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert "importorskip" not in called, f"{path}:{node.lineno}"
                if called.endswith("find_spec"):
                    assert not any(f"'{name}" in ast.unparse(node) for name in OWN), f"{path}:{node.lineno}"


@pytest.mark.parametrize("name", load_features())
def test_stream_and_batch_cannot_group_by_different_keys(name: str) -> None:
    key = feature_tables()[name.partition(".")[2]].key
    assert key != "effective_at"
    contract = load_features()[name]
    # A row for each moment is another version of the same entity, never another entity.
    assert set(contract.primary_key) == {key, "effective_at", "version"}
    if name in FEATURES:
        assert FEATURES[name].key == key


def test_the_table_of_mistakes_names_tests_that_are_there() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8").partition("## Known mistakes")[2]
    file, checked = "", 0
    for row in re.findall(r"^\| (?!mistake|---).*\|$", text, re.MULTILINE):
        *_, tests, where, _ = row.split("|")
        file = file if where.strip() == "the same" else where.strip(" `")
        there = {
            node.name
            for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef)
        }
        named = re.findall(r"`(test_\w+)`", tests)
        assert named
        assert set(named) <= there, row
        checked += len(named)
    assert checked > 25
