"""DynamoDB Local on this machine: Amazon's own emulator, its tables in ``<home>/dynamodb``.

What it has acknowledged outlives a kill. It knows no passwords, so it listens on the loopback address only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from c360.engines import jars, loopback
from c360.engines.java import find_java
from c360.engines.java_files import console_logging
from c360.engines.process import EngineSpec
from c360.errors import EngineError

if TYPE_CHECKING:
    from c360.settings import Settings

GROUP = "dynamodb"
NATIVE = (".so", ".dylib")


class DynamoDbLocal:
    """The local DynamoDB of one home folder, as something a stack can run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.work = settings.home / "dynamodb"

    def spec(self) -> EngineSpec:
        """How to run it.

        Raises:
            EngineError: no Java, another DynamoDB is named by the settings, or the jars are not locked.
        """
        settings = self.settings
        if settings.dynamodb_endpoint or settings.dynamodb_region:
            name = "ENDPOINT" if settings.dynamodb_endpoint else "REGION"
            there = settings.dynamodb_endpoint or settings.dynamodb_region
            raise EngineError(
                f"C360_DYNAMODB_{name} names another DynamoDB ({there}); there is none to start here",
                f"unset C360_DYNAMODB_{name} to start one on this machine",
            )
        paths = jars.paths([GROUP], settings)
        native = jars.class_path(path.parent for path in paths if path.suffix in NATIVE)
        return EngineSpec(
            name="dynamodb",
            command=(
                str(find_java(settings).executable),
                f"-Xmx{settings.dynamodb_memory}",
                "-XX:+UseSerialGC",
                "-XX:+ExitOnOutOfMemoryError",
                "-Duser.timezone=UTC",
                f"-Dlog4j2.configurationFile={(self.work / 'log4j2.properties').as_uri()}",
                f"-Djava.library.path={native}",
                *loopback.OPTIONS,
                "com.amazonaws.services.dynamodbv2.local.main.ServerRunner",
                "-port",
                str(settings.dynamodb_port),
                "-sharedDb",
                "-dbPath",
                str(self.work / "data"),
                "-disableTelemetry",
            ),
            cwd=self.work,
            log=settings.log_dir / "dynamodb.log",
            ready=self.health,
            env={
                "JAVA_TOOL_OPTIONS": None,
                "CLASSPATH": jars.class_path(
                    [loopback.folder(settings), *(path for path in paths if path.suffix == ".jar")]
                ),
                "TZ": "UTC",
            },
            port=settings.dynamodb_port,
            port_setting="C360_DYNAMODB_PORT",
            address=settings.dynamodb_address,
            prepare=self._prepare,
        )

    def health(self) -> str | None:
        """None when it answers a request as DynamoDB does, else why not."""
        try:
            # Without a signature it is refused, and the refusal is DynamoDB's own.
            answer = httpx.get(self.settings.dynamodb_address, timeout=5.0, trust_env=False)
        except httpx.HTTPError as error:
            return f"port {self.settings.dynamodb_port} does not answer ({type(error).__name__})"
        if answer.status_code == httpx.codes.BAD_REQUEST and "amazonaws.dynamodb" in answer.text:
            return None
        return f"another server answers ({answer.status_code})"

    def _prepare(self) -> None:
        jars.fetch([GROUP], self.settings)
        loopback.build(self.settings)
        try:
            (self.work / "data").mkdir(parents=True, exist_ok=True)
            (self.work / "log4j2.properties").write_text(console_logging("warn", {}), encoding="utf-8")
        except OSError as error:
            raise EngineError(
                f"{self.work} cannot be written ({error.strerror})", "set C360_HOME, or free space"
            ) from error
