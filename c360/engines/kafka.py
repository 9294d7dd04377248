"""Kafka on this machine: one KRaft node, broker and controller in one process, its data in ``<home>/kafka``.

Storage is formatted once, on the first start; topics, records and committed offsets outlive every restart.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

from c360.engines import jars, ports
from c360.engines.java import find_java
from c360.engines.java_files import console_logging, properties
from c360.engines.process import EngineSpec
from c360.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from c360.settings import Settings

NODE = 1
FORMAT_TIMEOUT = 60.0
ADMIN_TIMEOUT = 5.0


class KafkaBroker:
    """The local broker of one home folder, as something a stack can run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.work = settings.home / "kafka"

    def spec(self) -> EngineSpec:
        """How to run it.

        Raises:
            EngineError: no Java, or another Kafka is named by the settings.
        """
        settings = self.settings
        if settings.kafka_bootstrap:
            raise EngineError(
                f"C360_KAFKA_BOOTSTRAP names another Kafka ({settings.kafka_bootstrap}); there is none to start here",
                "unset C360_KAFKA_BOOTSTRAP to start one on this machine",
            )
        return EngineSpec(
            name="kafka",
            command=(
                *self._java(),
                f"-Xmx{settings.kafka_memory}",
                "-XX:+ExitOnOutOfMemoryError",
                f"-Dlog4j2.configurationFile={(self.work / 'log4j2.properties').as_uri()}",
                "kafka.Kafka",
                str(self.work / "server.properties"),
            ),
            cwd=self.work,
            log=settings.log_dir / "kafka.log",
            ready=self.health,
            env={"JAVA_TOOL_OPTIONS": None, "CLASSPATH": self._class_path(), "TZ": "UTC"},
            port=settings.kafka_port,
            port_setting="C360_KAFKA_PORT",
            more_ports={"C360_KAFKA_CONTROLLER_PORT": settings.kafka_controller_port},
            address=settings.kafka_servers,
            prepare=self._prepare,
        )

    def health(self) -> str | None:
        """None when the broker answers an admin request as this home's cluster, else the reason why not."""
        if not ports.answers(self.settings.kafka_port):
            return f"port {self.settings.kafka_port} does not answer"
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        conf: dict[str, Any] = {
            "bootstrap.servers": self.settings.kafka_servers,
            "socket.timeout.ms": int(ADMIN_TIMEOUT * 1000),
            "log_level": 0,
            "error_cb": lambda _: None,  # what fails is the answer below, not a line on someone's terminal
        }
        client = AdminClient(conf)
        try:
            cluster = client.describe_cluster(request_timeout=ADMIN_TIMEOUT).result(ADMIN_TIMEOUT)
        except TimeoutError:
            return f"an admin request does not answer within {ADMIN_TIMEOUT:.0f} s"
        except KafkaException as error:
            return f"an admin request failed: {error}"
        if [node.id for node in cluster.nodes] != [NODE]:
            return "the broker has not joined its cluster yet"
        return None if cluster.cluster_id == self.cluster_id() else f"another cluster answers ({cluster.cluster_id})"

    def cluster_id(self) -> str | None:
        """Id of the cluster that the storage was formatted for; None before the first start."""
        try:
            text = (self.work / "data" / "meta.properties").read_text(encoding="utf-8")
        except OSError:
            return None
        return dict(line.partition("=")[::2] for line in text.splitlines()).get("cluster.id")

    def server_properties(self, data: Path) -> str:
        """The broker's configuration, with its log segments in ``data``."""
        settings = self.settings
        broker, controller = (f"{ports.LOOPBACK}:{p}" for p in (settings.kafka_port, settings.kafka_controller_port))
        values = {
            "process.roles": "broker,controller",
            "node.id": str(NODE),
            "controller.quorum.voters": f"{NODE}@{controller}",
            "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{broker}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
            "log.dirs": str(data),
            "auto.create.topics.enable": "false",
            "num.partitions": "2",
            "default.replication.factor": "1",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "5",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "5",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            # A killed broker is let in again only when the session of its former life is over: 9 s by default.
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            # Flink's exactly-once sinks keep a transaction open from one checkpoint to the next, restarts included.
            "transaction.max.timeout.ms": "3600000",
            # A killed producer's transaction ends when its own time is over, and not up to 10 s later.
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
            "log.segment.bytes": str(256 * 2**20),
            "log.cleaner.dedupe.buffer.size": str(16 * 2**20),
            "num.network.threads": "2",
            "num.io.threads": "4",
        }
        return properties(values)

    def _java(self) -> tuple[str, ...]:
        return str(find_java(self.settings).executable), "-Dkafka.logs.dir=.", "-Duser.timezone=UTC"

    def _class_path(self) -> str:
        return jars.class_path(jars.paths(["kafka"], self.settings))

    def _prepare(self) -> None:
        jars.fetch(["kafka"], self.settings)
        data = self.work / "data"
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            (self.work / "log4j2.properties").write_text(
                console_logging("warn", {"kafka.server": "info"}), encoding="utf-8"
            )
            (self.work / "server.properties").write_text(self.server_properties(data), encoding="utf-8")
            if self.cluster_id() is None:
                self._format(data)
        except OSError as error:
            raise EngineError(
                f"{self.work} cannot be written ({error.strerror})", "set C360_HOME, or free space"
            ) from error

    def _format(self, data: Path) -> None:
        """Format aside and move into place: a start that is killed here leaves nothing half-formatted."""
        if data.exists() and any(data.iterdir()):
            raise EngineError(
                f"{data} holds files, but no readable meta.properties: it is damaged, or not Kafka's",
                "restore it, or move it away to start with an empty Kafka",
            )
        partial = data.with_name("data.part")
        shutil.rmtree(partial, ignore_errors=True)
        conf = self.work / "format.properties"
        conf.write_text(self.server_properties(partial), encoding="utf-8")
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        command = (*self._java(), "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", f"--config={conf}")
        env = os.environ | {"CLASSPATH": self._class_path()}
        env.pop("JAVA_TOOL_OPTIONS", None)
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=FORMAT_TIMEOUT, env=env)
        except subprocess.SubprocessError as error:
            said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
            raise EngineError(
                f"Kafka's storage cannot be formatted ({said[-1]})", f"see that {data} is usable"
            ) from error
        if data.exists():
            data.rmdir()
        partial.rename(data)
        conf.unlink()
