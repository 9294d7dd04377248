"""The functions of the streaming jobs: Java sources, compiled where they are needed, on a machine without a JDK.

The jar lies in the cache under a name made of all that went into it, so that a changed source or another Flink gives
another jar, and no stale one can be used.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from c360.engines import flink_home, jars
from c360.engines.compiler import OPTIONS, compile_java, compiler_jar
from c360.errors import EngineError

if TYPE_CHECKING:
    from c360.settings import Settings

# Flink names state after parameters.
NAMED = ("-parameters",)
_EPOCH = (1980, 1, 1, 0, 0, 0)


def sources() -> list[Path]:
    """The Java files of ``streaming_jobs/udf``, sorted."""
    return sorted((flink_home.project() / "udf").rglob("*.java"))


def functions_jar(settings: Settings) -> Path:
    """The compiled functions, built unless they are in the cache.

    Raises:
        EngineError: the sources do not compile, Flink or the compiler cannot be had, or the cache cannot be written.
    """
    home = flink_home.install()
    compiler = compiler_jar(settings)
    libraries = [Path(entry) for entry in flink_home.class_path(home)]
    digest = hashlib.sha256("\0".join((compiler.name, *OPTIONS, *NAMED)).encode())
    for path in sources():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    digest.update("\0".join(sorted(path.name for path in libraries)).encode())
    target = settings.jar_cache / "c360" / f"stream-functions-{digest.hexdigest()[:16]}.jar"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not target.is_file():
                _build(libraries, target, settings)
    except OSError as error:
        raise EngineError(
            f"{target} cannot be written ({error.strerror or error})", "free space, or set C360_JAR_CACHE"
        ) from error
    return target


def _build(libraries: list[Path], target: Path, settings: Settings) -> None:
    with tempfile.TemporaryDirectory() as folder:
        classes, partial = Path(folder) / "classes", Path(folder) / "functions.jar"
        failed = ("The functions of the streaming jobs do", "mend the sources in streaming_jobs/udf")
        compile_java(settings, sources(), classes, (*NAMED, "-cp", jars.class_path(libraries)), failed)
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(classes.rglob("*.class")):
                # One moment for all files: the same sources give the same bytes.
                archive.writestr(zipfile.ZipInfo(path.relative_to(classes).as_posix(), _EPOCH), path.read_bytes())
        shutil.copyfile(partial, beside := target.with_suffix(".part"))
        beside.replace(target)
