"""Requests to the API: a customer, a hundred, one of the past; building an index, and changing to it.

    python -m tests.bench.bench_api --customers 1000000

A temporary home gets three releases of made-up customers. The oldest has no index, the second is built in full and
served, the third changes 1% of the customers. The server is held on one core and the load on another (where there are
two); security, masking, audit and its log are on, only the rate limit is set high. Beside it answers a plain service
(:mod:`tests.bench.api_plain`). CPU µs are those of the server for
each answer; ``own_mb`` is its resident memory without the pages of the index that the system keeps for it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from api.security.principal import Role
from api.security.secrets import demo_keys
from c360.lakehouse import Lakehouse
from c360.privacy.keyed import hash_key
from c360.serving.model import TABLES
from c360.serving.release import moments, release
from c360.serving.store import Store
from c360.settings import Settings
from tests.bench import api_plain
from tests.bench.api_company import Crowd
from tests.bench.api_load import LOOPBACK, closed, get, opened, post
from tests.conftest import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.api_load import Loaded

CORES = sorted(os.sched_getaffinity(0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--each", type=int, default=1, help="rows of each customer in the other tables")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=1_000)
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement of a single customer")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build:
        _build(options.build)
        return
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as folder:
        _measure(Path(folder), options)


def _measure(folder: Path, options: argparse.Namespace) -> None:
    settings = Settings(home=folder / "home")
    store = Store(settings.serving_dir)
    with Lakehouse(settings) as lake:
        crowd = Crowd(lake, options.customers, options.each)
        crowd.change(0.5)
        first, second = _two(lake)
        built = _build_apart(settings.home)
        _show("index, full", built)
        store.serve(built["release"])
        api_plain.fill(folder / "plain.sqlite", crowd.customers)
        keys = demo_keys(settings)
        path = "/v1/customers/{}".format
        single, seconds, rate, rounds = partial(_many, options.customers), options.seconds, options.rate, options.rounds
        port = free_port()
        with _running(["-m", "api"], port, "/readyz", settings.home) as server:
            for role in (Role.SUPPORT, Role.ANALYST):
                asks = single(partial(_customer, keys[role]))
                closed(port, asks, 1)
                for _ in range(rounds):
                    _load(f"customer, {role}, closed", server, partial(closed, port, asks, seconds))
                    _load(f"customer, {role}, fixed rate", server, partial(opened, port, asks, seconds, rate))
            batch = _batches(options.customers, keys[Role.ANALYST])
            _load("batch of 100, closed", server, lambda: closed(port, batch, seconds, 1))
            _load("batch of 100, 20/s", server, lambda: opened(port, batch, seconds, 20))
            crowd.change(0.01)
            built = _build_apart(settings.home)
            _show("index, 1% changed", built)
            _show("switch", {"ms": _switch(store, built["release"], port, get(path("C0000001"), keys[Role.SUPPORT]))})
            past = single(lambda name: get(f"{path(name)}?as_of={second}", keys[Role.SUPPORT]))
            closed(port, past, 1, 1)
            _load("as of, from an index, fixed rate", server, lambda: opened(port, past, seconds, rate))
            _load("as of, from an index, closed", server, lambda: closed(port, past, seconds))
            scanned = single(lambda name: get(f"{path(name)}?as_of={first}", keys[Role.SUPPORT]))
            _load("as of, by scan, closed", server, lambda: closed(port, scanned, seconds, 1))
        port = free_port()
        plain = single(lambda name: get(f"/customers/{name}"))
        with _running(
            ["-m", "tests.bench.api_plain", str(folder / "plain.sqlite")], port, "/customers/C0000001", folder
        ) as server:
            closed(port, plain, 1)
            for _ in range(rounds):
                _load("plain service, closed", server, lambda: closed(port, plain, seconds))
                _load("plain service, fixed rate", server, lambda: opened(port, plain, seconds, rate))


def _two(lake: Lakehouse) -> list[str]:
    """Since when the two releases so far are the published ones, oldest first."""
    return [since.isoformat()[:-6] + "Z" for since, _ in moments(lake)[-2:]]


def _many(customers: int, request: Callable[[str], bytes]) -> Iterator[bytes]:
    """Requests for customers drawn at random, without end."""
    of = random.Random(1)
    while True:
        yield request(f"C{of.randrange(customers):07}")


def _customer(key: str, name: str) -> bytes:
    return get(f"/v1/customers/{name}", key)


def _batches(customers: int, key: str) -> Iterator[bytes]:
    of = random.Random(2)
    while True:
        ids = [f"C{of.randrange(customers):07}" for _ in range(100)]
        yield post("/v1/customers/batch", json.dumps({"ids": ids}).encode(), key)


@contextmanager
def _running(command: list[str], port: int, path: str, home: Path) -> Iterator[psutil.Process]:
    """A server in a process of its own, on the first core; this process moves to the last."""
    environment = os.environ | {
        "C360_HOME": str(home), "C360_API_PORT": str(port), "C360_API_RATE": "1e9", "C360_API_BURST": "1000000000",
    }  # fmt: skip
    arguments = command if command[-1] == "api" else [*command, str(port)]
    os.sched_setaffinity(0, CORES[:1])
    with (home / "server.log").open("w", encoding="utf-8") as log:
        child = subprocess.Popen([sys.executable, *arguments], env=environment, stderr=log)
        os.sched_setaffinity(0, CORES[-1:])
        try:
            until = time.monotonic() + 120
            while not _answers(port, path):
                if child.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"the server did not start: {(home / 'server.log').read_text()[-2000:]}")
                time.sleep(0.1)
            yield psutil.Process(child.pid)
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


def _load(what: str, server: psutil.Process, run: Callable[[], Loaded]) -> None:
    before = server.cpu_times()
    found = run()
    after = server.cpu_times()
    used = after.user + after.system - before.user - before.system
    memory = server.memory_info()
    more = {
        "cpu_us": round(used / len(found.ms) * 1e6, 1),
        "rss_mb": memory.rss >> 20,
        "own_mb": (memory.rss - memory.shared) >> 20,
        "load": round(os.getloadavg()[0], 1),
    }
    _show(what, found.figures() | more)


def _switch(store: Store, name: str, port: int, ask: bytes) -> float:
    """Milliseconds from making a release the served one to the first answer from it."""
    began = time.perf_counter()
    store.serve(name)
    wanted = f"c360-release: {name}".encode()
    while not _once(port, ask, wanted):
        time.sleep(0.005)
    return round((time.perf_counter() - began) * 1000)


def _once(port: int, ask: bytes, wanted: bytes) -> bool:
    with socket.create_connection((LOOPBACK, port)) as connection:
        connection.sendall(ask)
        return wanted in connection.recv(65_536)


def _build_apart(home: Path) -> dict[str, str]:
    """In a process of its own, so that its memory is its own."""
    command = [sys.executable, "-m", "tests.bench.bench_api", "--build", str(home)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


def _build(home: Path) -> None:
    settings = Settings(home=home)
    with Lakehouse(settings) as lake:
        began, cpu = time.perf_counter(), time.process_time()
        made = Store(settings.serving_dir).build(lake, release(lake, TABLES), hash_key(settings))
    figures = {
        "release": made.release,
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "index_mb": made.bytes >> 20,
        "made": sum(kind["made"] for kind in made.kinds.values()),
        "documents": sum(kind["documents"] for kind in made.kinds.values()),
    }
    print(json.dumps(figures), flush=True)


def _show(what: str, figures: object) -> None:
    print(json.dumps({what: figures}), flush=True)


if __name__ == "__main__":
    main()
