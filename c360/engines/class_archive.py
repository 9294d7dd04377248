"""A class data sharing archive for Spark: the JVM maps its classes instead of parsing 20,000 of them at each start.

It more than halves the CPU time of a start. It is optional and only a cache: without it, or when it no longer fits the
Java or the jars, Spark starts as usual.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from c360.engines import jars, ports
from c360.errors import EngineError

if TYPE_CHECKING:
    from c360.engines.java import Java
    from c360.engines.process import EngineSpec
    from c360.settings import Settings

DUMP_TIMEOUT = 600.0
# What a build of the lakehouse does, in small: the classes that this loads are the ones that are archived.
TRAINING = """
CREATE NAMESPACE lake.training;
CREATE TABLE lake.training.t (id BIGINT, name STRING, amount DECIMAL(18, 2), at TIMESTAMP)
    USING iceberg PARTITIONED BY (months(at));
INSERT INTO lake.training.t
    SELECT id, concat('n', id % 7), cast(id AS DECIMAL(18, 2)) / 3, timestamp_seconds(1735689600 + id * 3600)
    FROM range(2000);
SELECT name, count(DISTINCT id), sum(amount), max(at) FROM lake.training.t GROUP BY name ORDER BY 2 DESC;
SELECT * FROM (
    SELECT a.*, row_number() OVER (PARTITION BY a.name ORDER BY a.at) AS n, ntile(5) OVER (ORDER BY a.id)
    FROM lake.training.t a LEFT JOIN lake.training.t b ON a.id = b.id + 1
) WHERE n = 1;
MERGE INTO lake.training.t t USING (SELECT id, 'm' AS name FROM range(10)) s ON t.id = s.id
    WHEN MATCHED THEN UPDATE SET name = s.name;
SELECT snapshot_id FROM lake.training.t.snapshots
"""
KEPT = 2  # archives of other installations of the same user


def archive_path(settings: Settings, java: Java, pyspark_home: Path) -> Path:
    """Where the archive for exactly this Java and these jars lies, or would lie."""
    files = [
        *sorted((pyspark_home / "jars").glob("*.jar")),
        *jars.paths(["spark"], settings),
        *sorted(java.home.glob("lib/server/libjvm.*")),
    ]
    stamp = hashlib.sha256()
    for path in files:
        if path.exists():
            stat = path.stat()
            stamp.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return settings.jar_cache / "class-archives" / f"spark-{stamp.hexdigest()[:16]}.jsa"


def build(settings: Settings) -> Path:
    """Build the archive by watching a throw-away Spark at work; returns its path, at once when it exists.

    Raises:
        EngineError: Spark does not start, or Java cannot write the archive.
    """
    from c360.engines.java import find_java
    from c360.engines.spark import SparkConnectServer, pyspark_home, session
    from c360.engines.stack import Stack

    jars.fetch(["spark"], settings)
    java = find_java(settings)
    target = archive_path(settings, java, pyspark_home())
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EngineError(f"{target.parent} cannot be written ({error.strerror})", "set C360_JAR_CACHE") from error
    with FileLock(f"{target}.lock"), tempfile.TemporaryDirectory() as folder:
        if target.exists():
            return target
        names = {"jar_cache", "maven_mirror", "java_home"}
        local = type(settings)(
            home=Path(folder),
            profile="local",
            spark_port=ports.free(),
            spark_memory="1g",
            **{name: getattr(settings, name) for name in names},
        )
        classes = Path(folder) / "classes"

        def recorded(_: Settings) -> tuple[EngineSpec, ...]:
            spec = SparkConnectServer(local).spec()
            return (replace(spec, command=(spec.command[0], f"-XX:DumpLoadedClassList={classes}", *spec.command[1:])),)

        with Stack(local, {"spark": recorded}).running("spark"), session(local) as spark:
            for statement in TRAINING.split(";"):
                spark.sql(statement).collect()
        _dump(SparkConnectServer(local).spec().command, classes, target)
        others = sorted(set(target.parent.glob("*.jsa")) - {target}, key=lambda path: path.stat().st_mtime)
        for stale in others[:-KEPT]:
            stale.unlink(missing_ok=True)
    return target


def _dump(command: tuple[str, ...], classes: Path, target: Path) -> None:
    partial = target.with_suffix(f".{os.getpid()}.part")
    class_path = command[command.index("-cp") + 1]
    collector = [option for option in command if option.startswith("-XX:+Use")]
    options = ["-Xshare:dump", f"-XX:SharedClassListFile={classes}", f"-XX:SharedArchiveFile={partial}"]
    try:
        subprocess.run(
            [command[0], *collector, *options, "-Xlog:disable", "-Xlog:all=error:stderr", "-cp", class_path],
            check=True,
            capture_output=True,
            text=True,
            timeout=DUMP_TIMEOUT,
        )
        partial.replace(target)
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        raise EngineError(
            f"Java cannot write the class archive ({said[-1] if said else error})",
            "free some space for C360_JAR_CACHE; Spark also starts without the archive",
        ) from error
    finally:
        partial.unlink(missing_ok=True)
