"""The read of one customer inside this process, without a server: what the application itself costs, and where.

    python -m tests.bench.api_inside HOME CUSTOMERS [--profile]

``HOME`` has a served index of customers C0000000 on. The figure is the best of several parts, so that it means
something on a busy machine too; ``--profile`` lists the functions that take the most.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import logging
import pstats
import random
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.loglines import BlockHandler
from api.main import create_app
from api.security.principal import Role
from api.security.secrets import demo_keys
from api.security.settings import SecuritySettings
from c360.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PARTS, READS = 20, 1_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("customers", type=int)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with Path("/dev/null").open("w", encoding="utf-8") as nowhere:
        logging.basicConfig(level=logging.INFO, handlers=[BlockHandler(nowhere)])
        logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
        asyncio.run(_measure(Settings(home=options.home), options.customers, profile=options.profile))
        logging.shutdown()


async def _measure(settings: Settings, customers: int, *, profile: bool) -> None:
    app = create_app(settings, SecuritySettings(rate=1e9, burst=10**9))
    keys = demo_keys(settings)
    async with app.router.lifespan_context(app):
        for role in (Role.SUPPORT, Role.PRIVACY, Role.ANALYST):
            read = _reader(app, keys[role].encode(), customers)
            best = min([await _part(read) for _ in range(PARTS)])
            print(json.dumps({f"inside, {role}": {"cpu_us": round(best, 1)}}), flush=True)
        if profile:
            with cProfile.Profile() as found:
                await _part(read)
            pstats.Stats(found).sort_stats("tottime").print_stats(30)


async def _part(read: Callable[[], Awaitable[None]]) -> float:
    began = time.process_time()
    for _ in range(READS):
        await read()
    return (time.process_time() - began) / READS * 1e6


def _reader(app: Any, key: bytes, customers: int) -> Callable[[], Awaitable[None]]:
    of = random.Random(1)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def read() -> None:
        statuses: list[int] = []

        async def send(message: dict[str, Any]) -> None:
            statuses.append(message.get("status", 0))

        path = f"/v1/customers/C{of.randrange(customers):07}"
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "state": {},
            "headers": [(b"host", b"bench"), (b"x-api-key", key)], "client": ("127.0.0.1", 1), "server": ("bench", 80),
        }  # fmt: skip
        await app(scope, receive, send)
        if statuses[0] != 200:
            raise SystemExit(f"{path} was answered {statuses[0]}")

    return read


if __name__ == "__main__":
    main()
