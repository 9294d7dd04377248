"""A server under load: held on the first core, while the load comes from the last, and what an answer costs it."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.bench.api_load import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.bench.api_load import Loaded

CORES = sorted(os.sched_getaffinity(0))
STARTS_WITHIN_S = 120


@dataclass(frozen=True)
class Server:
    """``roots`` are the processes that were started; what they started counts as theirs."""

    port: int
    roots: tuple[psutil.Process, ...]

    def cpu_s(self) -> float:
        """CPU seconds so far, user and system."""
        times = [process.cpu_times() for process in self._all()]
        return sum(each.user + each.system for each in times)

    def memory_mb(self) -> dict[str, int]:
        """``rss_mb``, of which ``own_mb`` are not pages of files; what processes share is counted in parts (Pss)."""
        texts = [Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii") for process in self._all()]
        lines = [line.split() for text in texts for line in text.splitlines()]
        total = {name: sum(int(line[1]) for line in lines if line[0] == name) >> 10 for name in ("Pss:", "Pss_Anon:")}
        return {"rss_mb": total["Pss:"], "own_mb": total["Pss_Anon:"]}

    def cores(self) -> list[int]:
        """Cores that any of its processes may use."""
        return sorted({core for process in self._all() for core in process.cpu_affinity()})

    def measure(self, run: Callable[[], Loaded]) -> dict[str, float]:
        """The figures of a load, and what it cost the server."""
        before = self.cpu_s()
        found = run()
        used = self.cpu_s() - before
        more = {"cpu_us": round(used / len(found.ms) * 1e6, 1), "load": round(os.getloadavg()[0], 1)}
        return found.figures() | more | self.memory_mb()

    def with_engine(self, engine: psutil.Process) -> Server:
        """The same with a process beside it that works for it."""
        return Server(self.port, (*self.roots, engine))

    def _all(self) -> list[psutil.Process]:
        return [process for root in self.roots for process in (root, *root.children(recursive=True))]


@contextmanager
def running(command: list[str], port: int, path: str, folder: Path, more: Mapping[str, str]) -> Iterator[Server]:
    """A server that answers ``path``, on the first core; this process moves to the last. ``more`` is environment.

    Its log is ``folder/server-PORT.log``. Raises SystemExit with the log's end if it does not start.
    """
    with started(command, folder / f"server-{port}.log", more) as child:
        until = time.monotonic() + STARTS_WITHIN_S
        while not _answers(port, path):
            if child.poll() is not None or time.monotonic() > until:
                log = (folder / f"server-{port}.log").read_text(encoding="utf-8", errors="replace")
                raise SystemExit(f"{command[0]} did not start: {log[-2000:]}")
            time.sleep(0.1)
        yield Server(port, (psutil.Process(child.pid),))


@contextmanager
def started(command: list[str], log: Path, more: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process on the first core, ended with the block; this process moves to the last."""
    os.sched_setaffinity(0, CORES[:1])
    with log.open("wb") as out:
        child = subprocess.Popen(command, env=os.environ | more, stdout=out, stderr=out)
        os.sched_setaffinity(0, CORES[-1:])
        try:
            yield child
        finally:
            os.sched_setaffinity(0, CORES)
            child.terminate()
            child.wait(30)


def _answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{port}{path}", timeout=5):
            return True
    except OSError:
        return False
