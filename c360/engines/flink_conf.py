"""Flink's configuration from the settings: a session cluster on the loopback address, its folders inside the home."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from c360.engines.iceberg_catalog import catalog_properties, on_s3
from c360.engines.ports import LOOPBACK
from c360.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from c360.settings import Settings

METASPACE_MB = 256
FRAMEWORK_HEAP_MB = 128
FRAMEWORK_DIRECT_MB = 128
NETWORK_MB = 96
MANAGED_SHARE = 0.4


@dataclass(frozen=True)
class TaskMemory:
    """How a TaskManager's memory is divided, in MiB."""

    heap: int
    managed: int
    overhead: int

    @classmethod
    def of(cls, total: int) -> TaskMemory:
        """Divide ``total`` MiB of process memory by Flink's own shares; RocksDB lives in the managed part."""
        overhead = max(192, total // 10)
        flink = total - overhead - METASPACE_MB
        managed = int(flink * MANAGED_SHARE)
        return cls(flink - managed - FRAMEWORK_DIRECT_MB - NETWORK_MB, managed, overhead)

    def jvm(self) -> tuple[str, ...]:
        """Options of the process that runs tasks."""
        return (
            f"-Xmx{self.heap}m",
            f"-XX:MaxDirectMemorySize={FRAMEWORK_DIRECT_MB + NETWORK_MB}m",
            f"-XX:MaxMetaspaceSize={METASPACE_MB}m",
        )

    def conf(self) -> dict[str, str]:
        """The same as Flink's scripts would pass it: a worker that is started without them must be told every part."""
        sizes = {
            "framework.heap.size": FRAMEWORK_HEAP_MB,
            "task.heap.size": self.heap - FRAMEWORK_HEAP_MB,
            "framework.off-heap.size": FRAMEWORK_DIRECT_MB,
            "task.off-heap.size": 0,
            "network.min": NETWORK_MB,
            "network.max": NETWORK_MB,
            "managed.size": self.managed,
            "jvm-metaspace.size": METASPACE_MB,
            "jvm-overhead.min": self.overhead,
            "jvm-overhead.max": self.overhead,
        }
        return {f"taskmanager.memory.{key}": f"{size}m" for key, size in sizes.items()}


def work_dir(settings: Settings) -> Path:
    """Folder for everything Flink leaves behind."""
    return settings.home / "flink"


def jar_groups(settings: Settings) -> list[str]:
    """Groups of ``jars.toml`` that Flink needs for this profile.

    Raises:
        EngineError: the warehouse is on S3, for which no jars are listed.
    """
    if on_s3(settings) or settings.profile == "rest":
        raise EngineError(
            f"The local Flink has no jars for the profile '{settings.profile}' with the warehouse {settings.warehouse}",
            "set C360_FLINK_URL and C360_FLINK_GATEWAY_URL to a cluster that has, or use a warehouse on files",
        )
    return ["flink", *(["postgresql"] if (settings.catalog_uri or "").startswith("postgresql") else [])]


def flink_conf(settings: Settings) -> dict[str, Any]:
    """All configuration of the local cluster, by Flink's own keys."""
    return {
        "jobmanager.rpc.address": LOOPBACK,
        "jobmanager.rpc.port": settings.flink_rpc_port,
        "jobmanager.bind-host": LOOPBACK,
        "rest.address": LOOPBACK,
        "rest.bind-address": LOOPBACK,
        "rest.port": settings.flink_port,
        "web.submit.enable": False,
        "sql-gateway.endpoint.rest.address": LOOPBACK,
        "sql-gateway.endpoint.rest.bind-address": LOOPBACK,
        "sql-gateway.endpoint.rest.port": settings.flink_gateway_port,
        "taskmanager.host": LOOPBACK,
        "taskmanager.bind-host": LOOPBACK,
        "taskmanager.numberOfTaskSlots": settings.flink_slots,
        "taskmanager.cpu.cores": float(settings.flink_slots),
        # A JobManager may be away for long and come back by `c360 up`; a worker that gives up would be one more death.
        "taskmanager.registration.timeout": "24 h",
        "cluster.registration.error-delay": "1 s",
        "cluster.registration.max-timeout": "3 s",
        **TaskMemory.of(settings.flink_memory_mb).conf(),
        "heartbeat.interval": 2000,
        "heartbeat.timeout": 10000,
        # A fixed number of attempts burns out while a worker is away.
        "restart-strategy.type": "exponential-delay",
        "restart-strategy.exponential-delay.initial-backoff": "1 s",
        "restart-strategy.exponential-delay.max-backoff": "30 s",
        "parallelism.default": 1,
        # Each exchange between tasks may keep a row so long; Flink's 100 ms, several times, would be most of its way.
        "execution.buffer-timeout.interval": "10 ms",
        "execution.checkpointing.interval": "10 s",
        "execution.checkpointing.mode": "EXACTLY_ONCE",
        "execution.checkpointing.timeout": "2 min",
        # A restart would throw away the state that the job still holds, and find no better disk.
        "execution.checkpointing.tolerable-failed-checkpoints": 6,
        "execution.checkpointing.incremental": True,
        "execution.checkpointing.num-retained": 2,
        "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
        # Iceberg's sink may lose rows with unaligned ones (apache/iceberg#15846).
        "execution.checkpointing.unaligned.enabled": False,
        "execution.checkpointing.storage": "filesystem",
        "execution.checkpointing.dir": f"file://{settings.checkpoint_dir}",
        "execution.checkpointing.savepoint-dir": f"file://{settings.savepoint_dir}",
        "state.backend.type": "rocksdb",
        "table.local-time-zone": "UTC",
        "security.delegation.tokens.enabled": False,
        "classloader.check-leaked-classloader": False,
        "env.log.dir": str(settings.log_dir),
        **_reporter(settings),
    }


def _reporter(settings: Settings) -> dict[str, str]:
    """Flink's own metrics for Prometheus. Off by default: its reporter listens on all addresses, without a choice."""
    if settings.flink_reporter_ports is None:
        return {}
    return {
        "metrics.reporters": "prometheus",
        "metrics.reporter.prometheus.factory.class": "org.apache.flink.metrics.prometheus.PrometheusReporterFactory",
        "metrics.reporter.prometheus.port": settings.flink_reporter_ports,
    }


def catalog_ddl(settings: Settings, name: str = "lake") -> str:
    """``CREATE CATALOG`` for a Flink SQL session: the same catalog as Spark's and PyIceberg's; holds secrets.

    Raises:
        EngineError: the catalog address is of a kind that has no driver here.
    """
    options = {"type": "iceberg", **catalog_properties(settings)}
    if settings.profile == "rest":
        options["catalog-type"] = "rest"
    listed = ", ".join(f"{quoted(key)} = {quoted(value)}" for key, value in options.items())
    return f"CREATE CATALOG `{name}` WITH ({listed})"


def quoted(text: str) -> str:
    """A Flink SQL string literal."""
    return "'" + text.replace("'", "''") + "'"
