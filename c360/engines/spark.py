"""Spark Connect: one server as a child process, many light clients.

A session of its own costs a Dagster step half a minute; a client of a running server a few seconds.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from c360.engines import jars, ports
from c360.engines.class_archive import archive_path
from c360.engines.java import find_java
from c360.engines.process import EngineSpec
from c360.engines.spark_client import connect, session
from c360.engines.spark_conf import jar_groups, properties_text, spark_conf, work_dir
from c360.errors import EngineError

if TYPE_CHECKING:
    from c360.settings import Settings

__all__ = ["SparkConnectServer", "connect", "session"]

MAIN = "org.apache.spark.sql.connect.service.SparkConnectServer"
# What Spark reaches into on Java 17 and later. Its own launch script adds a module that the packaged Java lacks.
OPENS = (
    "java.base/java.lang",
    "java.base/java.lang.invoke",
    "java.base/java.lang.reflect",
    "java.base/java.io",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.ref",
    "java.base/sun.nio.ch",
    "java.base/sun.nio.cs",
    "java.base/sun.security.action",
    "java.base/sun.util.calendar",
    "java.security.jgss/sun.security.krb5",
)
# The release of a finished query may arrive after its session was closed: no error, but Spark prints a stack trace.
LOGGING = """\
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd'T'HH:mm:ss.SSS} %p %c{1}: %m%n%ex
appender.console.filter.late.type = RegexFilter
appender.console.filter.late.regex = .*RPC error during: releaseExecute.*
appender.console.filter.late.onMatch = DENY
appender.console.filter.late.onMismatch = NEUTRAL
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
"""


class SparkConnectServer:
    """The local Spark Connect server of one home folder, as something a stack can run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def remote(self) -> str:
        """Address for clients."""
        return f"sc://{ports.LOOPBACK}:{self.settings.spark_port}"

    def spec(self) -> EngineSpec:
        """How to run it.

        Raises:
            EngineError: no Java, an unusable catalog address, or another Spark is named by the settings.
        """
        settings = self.settings
        if settings.spark_remote:
            raise EngineError(
                f"C360_SPARK_REMOTE names another Spark ({settings.spark_remote}); there is none to start here",
                "unset C360_SPARK_REMOTE to start one on this machine",
            )
        work, installed, java = work_dir(settings), pyspark_home(), find_java(settings)
        class_path = jars.class_path([f"{installed}/jars/*", *jars.paths(jar_groups(settings), settings)])
        command = (
            str(java.executable),
            *_shared_classes(archive_path(settings, java, installed)),
            f"-Xmx{settings.spark_memory}",
            "-XX:+UseParallelGC",
            *(f"--add-opens={opened}=ALL-UNNAMED" for opened in OPENS),
            "-Djdk.reflect.useDirectMethodHandle=false",
            "-Duser.timezone=UTC",
            f"-Djava.io.tmpdir={work / 'tmp'}",
            f"-Dderby.system.home={work / 'derby'}",
            f"-Dlog4j2.configurationFile={(work / 'log4j2.properties').as_uri()}",
            "-cp",
            class_path,
            "org.apache.spark.deploy.SparkSubmit",
            "--properties-file",
            str(work / "spark.conf"),
            "--class",
            MAIN,
            "spark-internal",
        )
        foreign = [name for name in os.environ if name.startswith("SPARK_")]  # a machine's own Spark must not mix in
        return EngineSpec(
            name="spark",
            command=command,
            cwd=work,
            log=settings.log_dir / "spark.log",
            ready=self.health,
            env={
                **dict.fromkeys([*foreign, "HADOOP_CONF_DIR", "YARN_CONF_DIR", "JAVA_TOOL_OPTIONS"]),
                "SPARK_HOME": str(installed),
                "SPARK_LOCAL_IP": ports.LOOPBACK,
                "SPARK_LOCAL_DIRS": str(work / "local"),
                "PYSPARK_PYTHON": sys.executable,
                "PYSPARK_DRIVER_PYTHON": sys.executable,
                "TZ": "UTC",
            },
            port=settings.spark_port,
            port_setting="C360_SPARK_PORT",
            address=self.remote,
            prepare=self._prepare,
            start_timeout=180.0,
        )

    def health(self) -> str | None:
        """None when the server answers a query, else the reason why not."""
        if not ports.answers(self.settings.spark_port):
            return f"port {self.settings.spark_port} does not answer"
        try:
            with session(self.settings) as spark:
                rows = spark.sql("SELECT 1 AS one").collect()
        except Exception as error:  # noqa: BLE001 - any failure of the probe is the reason it reports
            return f"a trivial query failed: {str(error).splitlines()[0][:200]}"
        return None if rows[0]["one"] == 1 else "a trivial query gave a wrong answer"

    def _prepare(self) -> None:
        jars.fetch(jar_groups(self.settings), self.settings)
        work = work_dir(self.settings)
        try:
            _clear(work / "local")
            _clear(work / "tmp")
            (work / "log4j2.properties").write_text(LOGGING, encoding="utf-8")
            conf = work / "spark.conf"
            conf.unlink(missing_ok=True)
            with os.fdopen(os.open(conf, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
                stream.write(properties_text(spark_conf(self.settings)))
        except OSError as error:
            raise EngineError(f"{work} cannot be written ({error.strerror})", "set C360_HOME, or free space") from error


def pyspark_home() -> Path:
    """Folder of the installed PySpark, which holds Spark's own jars; EngineError if there is none."""
    found = find_spec("pyspark")
    if found is None or found.origin is None:
        raise EngineError("PySpark is not installed", "run `make install`")
    return Path(found.origin).parent


def _shared_classes(archive: Path) -> tuple[str, ...]:
    quiet = ("-Xlog:cds=off", "-Xlog:class+path=off")  # an archive that does not fit is ignored, without a word
    return (f"-XX:SharedArchiveFile={archive}", *quiet) if archive.exists() else ()


def _clear(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
