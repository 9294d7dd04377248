"""Kafka Connect on this machine: one worker of a distributed group, with Debezium's connector for PostgreSQL.

Connectors, their positions and their states are kept in topics of the broker, so that a worker that was killed goes on
where its last transaction ended. What a connector reads and its new position are one transaction: readers that ask for
committed messages see each change once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from c360.engines import archives, jars, ports
from c360.engines.java import ONE_COMPILER, find_java
from c360.engines.java_files import console_logging, properties
from c360.engines.process import EngineSpec
from c360.errors import EngineError

if TYPE_CHECKING:
    from c360.settings import Settings

GROUP = "c360-connect"
OFFSETS, CONFIGS, STATUS = f"{GROUP}-offsets", f"{GROUP}-configs", f"{GROUP}-status"
_JSON = "org.apache.kafka.connect.json.JsonConverter"


class ConnectWorker:
    """The local Connect worker of one home folder, as something a stack can run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.work = settings.home / "connect"

    def spec(self) -> EngineSpec:
        """How to run it.

        Raises:
            EngineError: no Java, another Connect is named by the settings, or the jars are not locked.
        """
        settings = self.settings
        if settings.connect_url:
            raise EngineError(
                f"C360_CONNECT_URL names another Kafka Connect ({settings.connect_url}); there is none to start here",
                "unset C360_CONNECT_URL to start one on this machine",
            )
        return EngineSpec(
            name="connect",
            command=(
                str(find_java(settings).executable),
                f"-Xmx{settings.connect_memory}",
                "-XX:+UseSerialGC",
                *ONE_COMPILER,
                "-XX:+ExitOnOutOfMemoryError",
                "-Duser.timezone=UTC",
                f"-Dlog4j2.configurationFile={(self.work / 'log4j2.properties').as_uri()}",
                "org.apache.kafka.connect.cli.ConnectDistributed",
                str(self.work / "worker.properties"),
            ),
            cwd=self.work,
            log=settings.log_dir / "connect.log",
            ready=self.health,
            env={
                "JAVA_TOOL_OPTIONS": None,
                "CLASSPATH": jars.class_path(jars.paths(["connect"], settings)),
                "TZ": "UTC",
            },
            port=settings.connect_port,
            port_setting="C360_CONNECT_PORT",
            address=settings.connect_address,
            prepare=self._prepare,
            grace=5.0,  # without a broker it would hope for longer; what it has not committed it reads again
        )

    def health(self) -> str | None:
        """None when the worker says that it is healthy, and works on the broker of the settings; else why not."""
        address = self.settings.connect_address
        try:
            with httpx.Client(base_url=address, timeout=5.0, trust_env=False) as client:
                answer, about = client.get("/health"), client.get("/")
        except httpx.HTTPError as error:
            return f"{address} does not answer ({type(error).__name__})"
        if answer.status_code != httpx.codes.OK:
            return _said(answer)
        cluster = self._cluster_id()
        works_on = about.json().get("kafka_cluster_id")
        return None if cluster in {None, works_on} else f"it works on another Kafka ({works_on})"

    def worker_properties(self) -> dict[str, str]:
        """The worker's configuration."""
        settings, host = self.settings, ports.LOOPBACK
        topics = {
            f"{kind}.storage.{key}": value
            for kind, topic in (("offset", OFFSETS), ("config", CONFIGS), ("status", STATUS))
            # As many replicas as the broker thinks right.
            for key, value in (("topic", topic), ("replication.factor", "-1"))
        }
        return {
            "bootstrap.servers": settings.kafka_servers,
            "group.id": GROUP,
            **topics,
            "offset.storage.partitions": "5",
            "status.storage.partitions": "5",
            "key.converter": _JSON,
            "value.converter": _JSON,
            "key.converter.schemas.enable": "false",
            "value.converter.schemas.enable": "false",
            "exactly.once.source.support": "enabled",
            "listeners": f"http://{host}:{settings.connect_port}",
            "rest.advertised.host.name": host,
            "rest.advertised.port": str(settings.connect_port),
            # A killed worker's successor gets its tasks at once, and not after five minutes of hope.
            "scheduled.rebalance.max.delay.ms": "0",
            "session.timeout.ms": "6000",
            "heartbeat.interval.ms": "2000",
            "plugin.path": str(archives.folder("debezium", settings)),
            "plugin.discovery": "service_load",
            # What a killed worker left open holds up all readers, its successor among them, until this is over.
            "producer.transaction.timeout.ms": "15000",
            # Passwords stay in files of the home: neither the topics nor the REST API hold them.
            "config.providers": "file",
            "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
            "config.providers.file.param.allowed.paths": str(settings.home / "postgres"),
        }

    def _prepare(self) -> None:
        jars.fetch(["connect"], self.settings)
        archives.unpack("debezium", self.settings)
        runtime = "org.apache.kafka.connect.runtime"
        loggers = {runtime: "info", f"{runtime}.rest.RestServer": "warn", "io.debezium": "info"}
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            (self.work / "log4j2.properties").write_text(console_logging("warn", loggers), encoding="utf-8")
            (self.work / "worker.properties").write_text(properties(self.worker_properties()), encoding="utf-8")
        except OSError as error:
            raise EngineError(
                f"{self.work} cannot be written ({error.strerror})", "set C360_HOME, or free space"
            ) from error

    def _cluster_id(self) -> str | None:
        from c360.engines.kafka import KafkaBroker

        return None if self.settings.kafka_bootstrap else KafkaBroker(self.settings).cluster_id()


def _said(answer: httpx.Response) -> str:
    try:
        told: Any = answer.json().get("message")
    except ValueError:
        told = None
    return f"/health answers {answer.status_code}" + (f" ({told})" if told else "")
