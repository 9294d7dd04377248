"""What a block of code costs: wall time, CPU seconds and peak memory of this process and of chosen others."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

SAMPLE_S = 0.1


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, CPU seconds (user + system), and the largest resident set meanwhile in MB.

    ``engine_cpu`` and ``engine_mb`` are the part of the other processes in ``cpu`` and ``peak_mb``.
    """

    wall: float
    cpu: float
    engine_cpu: float
    peak_mb: float
    engine_mb: float


class Meter:
    """Context manager; ``cost`` is set at its end. ``pids`` are measured with all their children."""

    cost: Cost

    def __init__(self, pids: Iterable[int] = ()) -> None:
        self._own = psutil.Process()
        self._engines = [psutil.Process(pid) for pid in pids]
        self._done = threading.Event()
        self._peak = self._engine_peak = 0

    def __enter__(self) -> Self:
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._sample()
        self._watcher.start()
        self._start = time.perf_counter(), _cpu([self._own]), _cpu(self._family())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wall, own, engines = self._start
        wall, own, engines = time.perf_counter() - wall, _cpu([self._own]) - own, _cpu(self._family()) - engines
        self._done.set()
        self._watcher.join()
        self._sample()
        self.cost = Cost(wall, own + engines, engines, self._peak / 2**20, self._engine_peak / 2**20)

    def engine_cpu(self) -> float:
        """CPU seconds of the other processes so far."""
        return _cpu(self._family()) - self._start[2]

    def _family(self) -> list[psutil.Process]:
        found = {engine.pid: engine for engine in self._engines}
        for engine in self._engines:
            with suppress(psutil.NoSuchProcess):
                found |= {child.pid: child for child in engine.children(recursive=True)}
        return list(found.values())

    def _watch(self) -> None:
        while not self._done.wait(SAMPLE_S):
            self._sample()

    def _sample(self) -> None:
        # a child is, for a moment, its parent's memory once more
        engines = sum(_memory(process) for process in self._engines)
        self._engine_peak = max(self._engine_peak, engines)
        self._peak = max(self._peak, engines + _memory(self._own))


def _cpu(processes: Iterable[psutil.Process]) -> float:
    total = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _memory(process: psutil.Process) -> int:
    with suppress(psutil.NoSuchProcess):
        return int(process.memory_info().rss)
    return 0
