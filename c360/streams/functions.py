"""The functions of the streaming jobs: Java sources, compiled where they are needed, on a machine without a JDK.

The Eclipse batch compiler runs on the packaged JRE. The jar lies in the cache under a name made of all that went into
it, so that a changed source or another Flink gives another jar, and no stale one can be used.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from c360.engines import flink_home, jars
from c360.engines.java import find_java
from c360.errors import EngineError

if TYPE_CHECKING:
    from c360.settings import Settings

TIMEOUT = 120.0
JAVA_VERSION = "17"
# --release would need a JDK's own files; -source and -target do not. Flink names state after parameters.
OPTIONS = (
    "-source",
    JAVA_VERSION,
    "-target",
    JAVA_VERSION,
    "-proc:none",
    "-nowarn",
    "-parameters",
    "-encoding",
    "UTF-8",
)
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
    (compiler,) = jars.fetch(["compiler"], settings)
    libraries = [Path(entry) for entry in flink_home.class_path(home)]
    digest = hashlib.sha256("\0".join((compiler.name, *OPTIONS)).encode())
    for path in sources():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    digest.update("\0".join(sorted(path.name for path in libraries)).encode())
    target = settings.jar_cache / "c360" / f"stream-functions-{digest.hexdigest()[:16]}.jar"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not target.is_file():
                _build(compiler, libraries, target, settings)
    except OSError as error:
        raise EngineError(
            f"{target} cannot be written ({error.strerror or error})", "free space, or set C360_JAR_CACHE"
        ) from error
    return target


def _build(compiler: Path, libraries: list[Path], target: Path, settings: Settings) -> None:
    with tempfile.TemporaryDirectory() as folder:
        classes, partial = Path(folder) / "classes", Path(folder) / "functions.jar"
        command = [str(find_java(settings).executable), "-jar", str(compiler), *OPTIONS]
        command += ["-encoding", "UTF-8", "-cp", jars.class_path(libraries), "-d", str(classes)]
        command += [str(path) for path in sources()]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired as error:
            raise EngineError(f"The compiler took more than {TIMEOUT:.0f} s", "try again") from error
        if done.returncode:
            raise EngineError(
                f"The functions of the streaming jobs do not compile: {(done.stderr or done.stdout).strip()[:2000]}",
                "mend the sources in streaming_jobs/udf",
            )
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(classes.rglob("*.class")):
                # One moment for all files: the same sources give the same bytes.
                archive.writestr(zipfile.ZipInfo(path.relative_to(classes).as_posix(), _EPOCH), path.read_bytes())
        shutil.copyfile(partial, beside := target.with_suffix(".part"))
        beside.replace(target)
