"""Flink on this machine: a session cluster of JobManager and TaskManager, and the SQL Gateway that jobs come through.

Started as plain ``java`` on Flink's own classes, which takes half the time of its scripts and needs no shell.
Checkpoints and savepoints lie in ``<home>/flink`` and outlive the cluster; jobs do not: whoever submitted one submits
it again from its latest checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx

from c360.engines import flink_home, jars
from c360.engines.flink_conf import TaskMemory, flink_conf, jar_groups, work_dir
from c360.engines.java import ONE_COMPILER, find_java
from c360.engines.java_files import console_logging
from c360.engines.process import EngineSpec
from c360.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from c360.settings import Settings

JOB_MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
TASK_MANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
GATEWAY = "org.apache.flink.table.gateway.SqlGateway"
JOB_MANAGER_HEAP = "384m"
GATEWAY_HEAP = "384m"
LOGGERS = {
    "org.apache.flink.runtime.executiongraph.ExecutionGraph": "info",
    "org.apache.flink.runtime.jobmaster": "info",
    # Said on every start of any machine without a Hadoop.
    "org.apache.flink.runtime.util.HadoopUtils": "error",
    "org.apache.hadoop.util.NativeCodeLoader": "error",
    "org.apache.flink.kafka.shaded.org.apache.kafka.common.utils.AppInfoParser": "error",
}


class FlinkCluster:
    """The local Flink of one home folder, as something a stack can run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.work = work_dir(settings)
        self._installed = False

    def specs(self) -> tuple[EngineSpec, EngineSpec, EngineSpec]:
        """JobManager, TaskManager and SQL Gateway.

        Raises:
            EngineError: no Java, another Flink is named by the settings, or this is no clone of the project.
        """
        settings = self.settings
        for setting, value in (("FLINK_URL", settings.flink_url), ("FLINK_GATEWAY_URL", settings.flink_gateway_url)):
            if value:
                raise EngineError(
                    f"C360_{setting} names another Flink ({value}); there is none to start here",
                    f"unset C360_{setting} to start one on this machine",
                )
        worker, memory = f"worker-{uuid.uuid4().hex[:12]}", TaskMemory.of(settings.flink_memory_mb)
        job_manager = self._spec(
            "jobmanager",
            (f"-Xmx{JOB_MANAGER_HEAP}", "-XX:+UseSerialGC", *ONE_COMPILER),
            (JOB_MANAGER, "--executionMode", "cluster"),
            self.health,
            (settings.flink_port, "C360_FLINK_PORT", settings.flink_address),
            more_ports={"C360_FLINK_RPC_PORT": settings.flink_rpc_port},
        )
        task_manager = self._spec(
            "taskmanager",
            (*memory.jvm(), "-XX:+UseParallelGC"),
            (TASK_MANAGER, "-D", f"taskmanager.resource-id={worker}"),
            partial(self.worker_health, worker),
        )
        gateway = self._spec(
            "gateway",
            (f"-Xmx{GATEWAY_HEAP}", "-XX:+UseSerialGC", *ONE_COMPILER),
            (GATEWAY,),
            self.gateway_health,
            (settings.flink_gateway_port, "C360_FLINK_GATEWAY_PORT", settings.flink_gateway_address),
        )
        return job_manager, task_manager, gateway

    def health(self) -> str | None:
        """None when the JobManager has at least one slot to run tasks in, else the reason why not."""
        answer = _get(f"{self.settings.flink_address}/overview")
        if isinstance(answer, str):
            return answer
        return None if answer.get("slots-total", 0) > 0 else "no TaskManager has registered a slot yet"

    def worker_health(self, worker: str) -> str | None:
        """None when this very TaskManager has registered, else the reason why not.

        One that was killed is listed until its heartbeats are missed, so that any slot at all would prove nothing.
        """
        answer = _get(f"{self.settings.flink_address}/taskmanagers")
        if isinstance(answer, str):
            return answer
        known = {each["id"]: each["slotsNumber"] for each in answer.get("taskmanagers", [])}
        return None if known.get(worker) else "the TaskManager has not registered yet"

    def gateway_health(self) -> str | None:
        """None when the SQL Gateway answers, else the reason why not."""
        answer = _get(f"{self.settings.flink_gateway_address}/v1/info")
        return answer if isinstance(answer, str) else None

    def _spec(
        self,
        part: str,
        jvm: tuple[str, ...],
        main: tuple[str, ...],
        ready: Callable[[], str | None],
        serves: tuple[int | None, str, str] = (None, "", ""),
        more_ports: dict[str, int] | None = None,
    ) -> EngineSpec:
        settings, home, java = self.settings, flink_home.flink_home(), find_java(self.settings)
        conf, log = self.work / "conf", settings.log_dir / f"flink-{part}.log"
        port, port_setting, address = serves
        foreign = [name for name in os.environ if name.startswith(("FLINK_", "HADOOP_"))]
        return EngineSpec(
            name=f"flink-{part}",
            # Class path and module options are known only once Flink is installed, so they wait in a file.
            command=(
                str(java.executable),
                f"@{conf / 'java-options'}",
                *jvm,
                "-XX:+ExitOnOutOfMemoryError",
                "-Duser.timezone=UTC",
                f"-Djava.io.tmpdir={self.work / 'tmp' / part}",
                f"-Dlog.file={log}",
                f"-Dlog4j2.configurationFile={(conf / 'log4j2.properties').as_uri()}",
                main[0],
                "--configDir",
                str(conf),
                *main[1:],
            ),
            cwd=self.work,
            log=log,
            ready=ready,
            env={
                **dict.fromkeys([*foreign, "JAVA_TOOL_OPTIONS"]),
                "FLINK_CONF_DIR": str(conf),
                "FLINK_LIB_DIR": str(home / "lib"),
                "FLINK_OPT_DIR": str(home / "opt"),
                "FLINK_PLUGINS_DIR": str(home / "plugins"),
                "TZ": "UTC",
            },
            port=port,
            port_setting=port_setting,
            more_ports=more_ports or {},
            address=address,
            prepare=partial(self._prepare, part),
        )

    def _prepare(self, part: str) -> None:
        if not self._installed:
            self._install()
        tmp = self.work / "tmp" / part
        shutil.rmtree(tmp, ignore_errors=True)  # state and jars of a process that was killed
        try:
            tmp.mkdir(parents=True)
        except OSError as error:
            raise EngineError(f"{tmp} cannot be written ({error.strerror})", "set C360_HOME, or free space") from error

    def _install(self) -> None:
        settings, conf = self.settings, self.work / "conf"
        home, fetched = flink_home.install(), jars.fetch(jar_groups(settings), settings)
        class_path = jars.class_path([*fetched, *flink_home.class_path(home)])
        options = ["-cp", class_path, *flink_home.java_options(home)]
        files = {
            "config.yaml": "".join(f"{key}: {json.dumps(value)}\n" for key, value in flink_conf(settings).items()),
            "java-options": "".join(json.dumps(option, ensure_ascii=False) + "\n" for option in options),
            "log4j2.properties": console_logging("warn", LOGGERS),
        }
        try:
            for folder in (conf, settings.checkpoint_dir, settings.savepoint_dir):
                folder.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                (conf / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise EngineError(
                f"{self.work} cannot be written ({error.strerror})", "set C360_HOME, or free space"
            ) from error
        self._installed = True


def _get(address: str) -> dict[str, Any] | str:
    """The JSON object at an address, or why there is none."""
    try:
        response = httpx.get(address, timeout=5.0, trust_env=False)
        document = response.json() if response.status_code == httpx.codes.OK else None
    except (httpx.HTTPError, ValueError) as error:
        return f"{address} does not answer ({type(error).__name__})"
    return document if isinstance(document, dict) else f"{address} answers {response.status_code}"
