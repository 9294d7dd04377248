"""Keep a Java server to this machine that has no option for it: see ``LoopbackOnly.java``.

The class is compiled once per user with the Eclipse batch compiler, and lies in the cache under the hash of its source.
Nothing of the server is changed: Java itself is told by a property which channels to make.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from c360.engines.compiler import compile_java
from c360.errors import EngineError

if TYPE_CHECKING:
    from c360.settings import Settings

SOURCE = Path(__file__).with_name("LoopbackOnly.java")
OPTIONS = (
    f"-Djava.nio.channels.spi.SelectorProvider={SOURCE.stem}",
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
)
"""What the JVM needs besides :func:`folder` on its class path."""


def folder(settings: Settings) -> Path:
    """Folder of the compiled class, an entry for a class path; makes nothing."""
    return settings.jar_cache / "c360" / f"loopback-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}"


def build(settings: Settings) -> Path:
    """Compile the class unless it is in the cache; its folder.

    Raises:
        EngineError: the compiler cannot be had or fails, or the cache cannot be written.
    """
    target = folder(settings)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not target.is_dir():
                _compile(target, settings)
    except OSError as error:
        raise EngineError(
            f"{target} cannot be written ({error.strerror or error})", "free space, or set C360_JAR_CACHE"
        ) from error
    return target


def _compile(target: Path, settings: Settings) -> None:
    options = ("--add-exports", "java.base/sun.nio.ch=ALL-UNNAMED")
    with tempfile.TemporaryDirectory(dir=target.parent) as place:
        classes = Path(place) / "classes"
        failed = (f"{SOURCE.name} does", "set C360_JAVA_HOME to Java 17 or 21")
        compile_java(settings, [SOURCE], classes, options, failed)
        classes.rename(target)
