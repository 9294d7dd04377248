"""Requests to the API: a customer, a hundred, one of the past; building an index, and changing to it.

    python -m tests.bench.bench_api --customers 1000000

A temporary home gets three releases of made-up customers. The oldest has no index, the second is built in full and
served, the third changes 1% of the customers. The server is held on one core and the load on another (where there are
two); security, masking, audit and its log are on, only the rate limit is set high. Beside it answers a plain service
(:mod:`tests.bench.api_plain`). CPU µs are those of the server for each answer; ``own_mb`` is its resident memory
without the pages of the index that the system keeps for it.

    python -m tests.bench.bench_api --customers 100000 --peers --wrk

asks the same customers of this API, of the plain service and of Feast (over SQLite, and over Redis if there is a
redis-server), in turn, and prints one table of medians (:mod:`tests.bench.api_peers`).
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

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
from tests.bench.api_feast import Feast
from tests.bench.api_load import LOOPBACK, closed, get, opened, post
from tests.bench.api_peers import Plan, compare
from tests.bench.api_services import api_server, feasts, ours, plain_server
from tests.bench.api_wrk import wrk
from tests.conftest import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.bench.api_load import Loaded
    from tests.bench.api_server import Server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--each", type=int, default=1, help="rows of each customer in the other tables")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=1_000)
    parser.add_argument("--rounds", type=int, default=3, help="of each measurement of a single customer")
    parser.add_argument("--peers", action="store_true", help="instead: beside a plain service and Feast, one table")
    parser.add_argument("--asked", type=int, help="with --peers: of how many customers, who alone are in Feast")
    parser.add_argument("--wrk", action="store_true", help="with --peers: the closed loop by wrk, too")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build:
        _build(options.build)
        return
    if options.wrk:
        wrk()
    with tempfile.TemporaryDirectory(prefix="c360-bench-") as folder:
        (_measure_peers if options.peers else _measure)(Path(folder), options)


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
        with api_server(settings, port) as server:
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
        with plain_server(folder, port) as server:
            closed(port, plain, 1)
            for _ in range(rounds):
                _load("plain service, closed", server, lambda: closed(port, plain, seconds))
                _load("plain service, fixed rate", server, lambda: opened(port, plain, seconds, rate))


def _measure_peers(folder: Path, options: argparse.Namespace) -> None:
    asked, settings, feast = options.asked or options.customers, Settings(home=folder / "home"), Feast(folder)
    with Lakehouse(settings) as lake:
        crowd = Crowd(lake, options.customers, options.each)
    built = _build_apart(settings.home)
    _show("index, full", built)
    Store(settings.serving_dir).serve(built["release"])
    api_plain.fill(folder / "plain.sqlite", crowd.customers)
    rows = api_plain.flat(crowd.customers)[:asked]
    plan = Plan(asked, options.seconds, options.rate, options.rounds, options.wrk, folder)
    with ExitStack() as started:
        services = [*ours(started, settings, plan, _show), *feasts(started, feast, rows, plan, _show)]
        print(compare(services, plan, rows, _show), flush=True)


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


def _load(what: str, server: Server, run: Callable[[], Loaded]) -> None:
    _show(what, server.measure(run))


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
