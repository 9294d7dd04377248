"""The engines of one home folder: start, stop, look. One stack per folder; what it did not start it does not touch."""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import psutil

from c360.engines import ports
from c360.engines.identity import stop
from c360.engines.process import EngineSpec, ManagedProcess, reap_released
from c360.engines.state import Entry, StackState, started
from c360.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from c360.settings import Settings

    Builder = Callable[[Settings], tuple[EngineSpec, ...]]

LONGEST_GRACE = 15.0
State = Literal["running", "starting", "silent", "dead"]


def _spark(settings: Settings) -> tuple[EngineSpec, ...]:
    from c360.engines.spark import SparkConnectServer

    return (SparkConnectServer(settings).spec(),)


def _dagster(settings: Settings) -> tuple[EngineSpec, ...]:
    from c360.engines.dagster_server import dagster_specs

    return dagster_specs(settings)


def _kafka(settings: Settings) -> tuple[EngineSpec, ...]:
    from c360.engines.kafka import KafkaBroker

    return (KafkaBroker(settings).spec(),)


def _postgres(settings: Settings) -> tuple[EngineSpec, ...]:
    from c360.engines.postgres import PostgresServer

    return (PostgresServer(settings).spec(),)


def _connect(settings: Settings) -> tuple[EngineSpec, ...]:
    from c360.engines.connect import ConnectWorker

    return (ConnectWorker(settings).spec(),)


def _dynamodb(settings: Settings) -> tuple[EngineSpec, ...]:
    from c360.engines.dynamodb import DynamoDbLocal

    return (DynamoDbLocal(settings).spec(),)


def _registry(settings: Settings) -> tuple[EngineSpec, ...]:
    from c360.engines.registry import SchemaRegistry

    return (SchemaRegistry(settings).spec(),)


def _flink(settings: Settings) -> tuple[EngineSpec, ...]:
    from c360.engines.flink import FlinkCluster

    return FlinkCluster(settings).specs()


def _metrics(settings: Settings) -> tuple[EngineSpec, ...]:
    from c360.engines.module import module_spec

    return (module_spec(settings, "metrics", "c360.streams.exporter", "/metrics"),)


def _live(settings: Settings) -> tuple[EngineSpec, ...]:
    from c360.engines.module import module_spec

    return (module_spec(settings, "live", "c360.live", "/metrics"),)


def _sink(settings: Settings) -> tuple[EngineSpec, ...]:
    from c360.engines.module import module_spec

    return (module_spec(settings, "sink", "c360.features", "/metrics"),)


def _api(settings: Settings) -> tuple[EngineSpec, ...]:
    from c360.engines.module import module_spec

    return (module_spec(settings, "api", "api"),)


ENGINES: dict[str, Builder] = {
    "spark": _spark,
    "dagster": _dagster,
    "kafka": _kafka,
    "postgres": _postgres,
    "connect": _connect,
    "dynamodb": _dynamodb,
    "registry": _registry,
    "flink": _flink,
    "metrics": _metrics,
    "live": _live,
    "sink": _sink,
    "api": _api,
}
STREAMING = ("kafka", "registry", "flink")
GROUPS = {  # names of engines that belong together
    "cdc": ("kafka", "postgres", "connect"),
    "features": ("kafka", "dynamodb", "sink"),
}
DEFAULT = ("spark", "dagster")  # what `c360 up` starts unasked: the batch half


def members(engines: Iterable[str]) -> tuple[str, ...]:
    """The engines that are meant, each once: a group stands for its members."""
    return tuple(dict.fromkeys(name for engine in engines for name in GROUPS.get(engine, (engine,))))


@dataclass(frozen=True)
class EngineStatus:
    """One process of the stack as it is now.

    ``running``: alive and listening; ``silent``: alive, but its port does not answer; ``starting``: not ready yet;
    ``dead``: it ended without `down`. ``memory`` is in bytes, ``uptime`` in seconds, both 0 when dead.
    """

    name: str
    state: State
    pid: int
    port: int | None
    address: str
    log: str
    uptime: float
    memory: int


class Stack:
    """Starts and stops the engines of ``settings.home``; safe to use from several commands at once."""

    def __init__(self, settings: Settings, engines: dict[str, Builder] | None = None) -> None:
        self.settings = settings
        self._engines = ENGINES if engines is None else engines
        self._state = StackState(settings.home)

    def up(self, *engines: str, exist_ok: bool = False) -> list[EngineStatus]:
        """Start engines that live on after this command, until ``down``; heals those that died.

        Args:
            *engines: names of engines; at least one.
            exist_ok: accept that all of them run already, instead of refusing.

        Raises:
            EngineError: they run already, another command is at work here, a port is taken, or one does not start.
        """
        for process in self._start(engines, exist_ok=exist_ok):
            process.release()
        return self.status()

    @contextmanager
    def running(self, *engines: str) -> Iterator[Stack]:
        """Engines for the length of a block; they end with it, and with this process however it dies.

        Raises:
            EngineError: as ``up``.
        """
        processes = self._start(engines, exist_ok=False)
        try:
            yield self
        finally:
            with self._state.exclusive("down", patience=60.0):
                self._end(processes)

    def down(self, *engines: str) -> list[str]:
        """End the named engines, or all; returns the names of the processes that were ended.

        Raises:
            EngineError: unknown engine, or another command is at work here.
        """
        engines = members(engines)
        with self._state.exclusive("down", patience=60.0):
            chosen = {
                name: entry
                for name, entry in self._state.entries().items()
                if not engines or any(name == engine or name.startswith(f"{engine}-") for engine in engines)
            }
            stop(*(entry.identity for entry in chosen.values()), grace=LONGEST_GRACE)
            reap_released()
            for name in chosen:
                self._state.drop(name)
            return list(chosen)

    def heal(self, *engines: str) -> list[str]:
        """Start the processes of these engines again that were started here and have died; returns their names.

        Raises:
            EngineError: another command is at work here, a port is taken, or one does not start.
        """
        dead = [name for name, entry in self._state.entries().items() if not entry.alive()]
        hurt = [engine for engine in members(engines) if any(n == engine or n.startswith(f"{engine}-") for n in dead)]
        if hurt:
            self.up(*hurt, exist_ok=True)
        return [name for name in dead if any(name == each or name.startswith(f"{each}-") for each in hurt)]

    def status(self) -> list[EngineStatus]:
        """Every process that this folder's stack has started and not ended."""
        return [_look(entry) for entry in self._state.entries().values()]

    def _start(self, engines: tuple[str, ...], *, exist_ok: bool) -> list[ManagedProcess]:
        engines = members(engines)
        unknown = sorted(set(engines) - set(self._engines))
        if unknown or not engines:
            raise EngineError(
                f"There is no engine '{unknown[0]}'" if unknown else "No engine is named",
                f"name one of {', '.join([*self._engines, *GROUPS])}",
            )
        with self._state.exclusive("up", patience=0.5):
            specs = [spec for engine in engines for spec in self._engines[engine](self.settings)]
            entries = self._state.entries()
            alive = {spec.name: entries[spec.name] for spec in specs if _is_alive(entries.get(spec.name))}
            missing = [spec for spec in specs if spec.name not in alive]
            if not missing:
                if exist_ok:
                    return []
                names = ", ".join(f"{name} (pid {entry.engine_pid})" for name, entry in alive.items())
                raise EngineError(
                    f"Already running on {self.settings.home}: {names}", "use it, or run `c360 down` first"
                )
            return self._start_all(missing, entries)

    def _start_all(self, specs: list[EngineSpec], entries: dict[str, Entry]) -> list[ManagedProcess]:
        for spec in specs:
            if spec.name in entries:  # a guard or a descendant may have outlived the engine
                stop(entries[spec.name].identity, grace=spec.grace)
                self._state.drop(spec.name)
            for setting, port in spec.all_ports().items():
                ports.require_free(spec.name, port, setting)
        processes: list[ManagedProcess] = []
        try:
            for spec in specs:
                spec.prepare()
            for spec in specs:
                processes.append(process := ManagedProcess(spec, uuid.uuid4().hex))
                self._launch(process)
            for process in processes:
                process.wait_ready(processes)
                self._state.put(replace(self._state.entries()[process.spec.name], ready=True))
        except BaseException:
            self._end(processes)
            raise
        return processes

    def _launch(self, process: ManagedProcess) -> None:
        spec = process.spec
        entry = Entry(
            spec.name, process.token, port=spec.port, address=spec.address, log=str(spec.log), started_at=time.time()
        )
        self._state.put(entry)
        identity = process.start()
        assert process.engine_pid is not None
        self._state.put(started(entry, identity, process.engine_pid))

    def _end(self, processes: list[ManagedProcess]) -> None:
        stop(*(process.identity for process in processes if process.identity is not None), grace=LONGEST_GRACE)
        for process in processes:
            process.reap()
            recorded = self._state.entries().get(process.spec.name)
            if recorded is not None and recorded.token == process.token:
                self._state.drop(process.spec.name)


def _is_alive(entry: Entry | None) -> bool:
    return entry is not None and entry.alive()


def _look(entry: Entry) -> EngineStatus:
    state: State = "dead"
    uptime, memory = 0.0, 0
    if entry.alive():
        uptime = max(0.0, time.time() - entry.started_at)
        for process in entry.identity.family():
            try:
                memory += process.memory_info().rss
            except psutil.Error:
                continue
        answering = entry.port is None or ports.answers(entry.port)
        state = ("running" if answering else "silent") if entry.ready else "starting"
    return EngineStatus(entry.name, state, entry.engine_pid, entry.port, entry.address, entry.log, uptime, memory)
