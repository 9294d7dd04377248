"""Apicurio Registry on this machine: schemas behind the Confluent-compatible API, kept in ``<home>/registry``.

Its storage is an H2 database in one file. H2 delays writes by default, and a kill then loses what was registered last;
``WRITE_DELAY=0`` makes every commit durable, so subjects and rules outlive restarts and kills.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from c360.engines import archives, ports
from c360.engines.java import ONE_COMPILER, find_java
from c360.engines.process import EngineSpec
from c360.errors import EngineError

if TYPE_CHECKING:
    from c360.settings import Settings


class SchemaRegistry:
    """The local schema registry of one home folder, as something a stack can run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.work = settings.home / "registry"

    def spec(self) -> EngineSpec:
        """How to run it.

        Raises:
            EngineError: no Java, another registry is named by the settings, or the home cannot be part of an address.
        """
        settings = self.settings
        if settings.registry_url:
            raise EngineError(
                f"C360_REGISTRY_URL names another registry ({settings.registry_url}); there is none to start here",
                "unset C360_REGISTRY_URL to start one on this machine",
            )
        if ";" in str(self.work):
            raise EngineError(
                f"H2 cannot keep a database in a folder with ';' in its name ({self.work})", "set C360_HOME"
            )
        database = f"jdbc:h2:file:{self.work / 'registry'};DB_CLOSE_ON_EXIT=FALSE;WRITE_DELAY=0"
        application = archives.folder("registry", settings)
        return EngineSpec(
            name="registry",
            command=(
                str(find_java(settings).executable),
                "-Xmx256m",
                "-XX:+UseSerialGC",
                *ONE_COMPILER,
                "-XX:+ExitOnOutOfMemoryError",
                "-Duser.timezone=UTC",
                "-jar",
                str(application / "quarkus-run.jar"),
            ),
            cwd=self.work,
            log=settings.log_dir / "registry.log",
            ready=self.health,
            env={
                "JAVA_TOOL_OPTIONS": None,
                "QUARKUS_HTTP_HOST": ports.LOOPBACK,
                "QUARKUS_HTTP_PORT": str(settings.registry_port),
                "QUARKUS_MANAGEMENT_HOST": ports.LOOPBACK,
                "QUARKUS_MANAGEMENT_PORT": str(settings.registry_admin_port),
                "QUARKUS_HTTP_ACCESS_LOG_ENABLED": "false",
                "QUARKUS_LOG_LEVEL": "WARN",
                "QUARKUS_LOG_CONSOLE_COLOR": "false",
                "APICURIO_STORAGE_KIND": "sql",
                "APICURIO_STORAGE_SQL_KIND": "h2",
                "APICURIO_DATASOURCE_URL": database,
                "APICURIO_RULES_GLOBAL_COMPATIBILITY": "BACKWARD",
                "TZ": "UTC",
            },
            port=settings.registry_port,
            port_setting="C360_REGISTRY_PORT",
            more_ports={"C360_REGISTRY_ADMIN_PORT": settings.registry_admin_port},
            address=settings.registry_address,
            prepare=lambda: _prepare(settings),
        )

    def health(self) -> str | None:
        """None when the registry lists its subjects, else the reason why not."""
        address = f"{self.settings.registry_address}/subjects"
        try:
            response = httpx.get(address, timeout=5.0, trust_env=False)
        except httpx.HTTPError as error:
            return f"{address} does not answer ({type(error).__name__})"
        if response.status_code != httpx.codes.OK:
            return f"{address} answers {response.status_code}"
        return None if response.text.lstrip().startswith("[") else f"{address} does not list subjects"


def _prepare(settings: Settings) -> None:
    archives.unpack("registry", settings)
