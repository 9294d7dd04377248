"""The Eclipse batch compiler, which compiles Java on a machine without a JDK: it runs on the packaged JRE."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from c360.engines import jars
from c360.engines.java import find_java
from c360.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from c360.settings import Settings

TIMEOUT = 120.0
JAVA_VERSION = "17"
# --release would need a JDK's own files; -source and -target do not.
OPTIONS = ("-source", JAVA_VERSION, "-target", JAVA_VERSION, "-proc:none", "-nowarn", "-encoding", "UTF-8")


def compiler_jar(settings: Settings) -> Path:
    """The compiler itself. EngineError if it cannot be had."""
    (found,) = jars.fetch(["compiler"], settings)
    return found


def compile_java(
    settings: Settings, sources: Iterable[Path], classes: Path, options: Sequence[str], failed: tuple[str, str]
) -> None:
    """Compile into the folder ``classes``, with more options than :data:`OPTIONS`.

    Raises:
        EngineError: no compiler or no Java, it takes too long, or the sources do not compile: ``failed`` says what was
            compiled and what mends it.
    """
    command = [str(find_java(settings).executable), "-jar", str(compiler_jar(settings)), *OPTIONS, *options]
    command += ["-d", str(classes), *map(str, sources)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"The compiler took more than {TIMEOUT:.0f} s", "try again") from error
    if done.returncode:
        what, mend = failed
        raise EngineError(f"{what} not compile: {(done.stderr or done.stdout).strip()[:2000]}", mend)
