"""The services that are compared: this API twice, what one would write in an afternoon, and Feast over two stores."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from api.security.principal import Role
from api.security.secrets import demo_keys
from tests.bench.api_feast import Feast, feast_request, feast_rows
from tests.bench.api_load import get, post
from tests.bench.api_peers import Plan, Service
from tests.bench.api_server import running
from tests.conftest import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager, ExitStack
    from pathlib import Path

    from c360.settings import Settings
    from tests.bench.api_server import Server

UNLIMITED = {"C360_API_RATE": "1e9", "C360_API_BURST": "1000000000"}
SHOWN = {Role.PRIVACY: "all in clear", Role.ANALYST: "masked"}


def api_server(settings: Settings, port: int) -> AbstractContextManager[Server]:
    """This API, with everything on but the limit of rates."""
    more = UNLIMITED | {"C360_HOME": str(settings.home), "C360_API_PORT": str(port)}
    return running([sys.executable, "-m", "api"], port, "/readyz", settings.home, more)


def plain_server(folder: Path, port: int) -> AbstractContextManager[Server]:
    """:mod:`tests.bench.api_plain` over ``folder/plain.sqlite``."""
    command = [sys.executable, "-m", "tests.bench.api_plain", str(folder / "plain.sqlite"), str(port)]
    return running(command, port, "/customers/C0000001", folder, {})


def ours(started: ExitStack, settings: Settings, plan: Plan, show: Callable[[str, object], None]) -> Iterator[Service]:
    """This API for two roles, and the plain service; they end with ``started``. Shows what reading costs inside."""
    command = [sys.executable, "-m", "tests.bench.api_inside", str(settings.home), str(plan.customers)]
    for line in subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines():
        for what, figures in json.loads(line).items():
            show(f"this API, {what}", figures)
    keys, server = demo_keys(settings), started.enter_context(api_server(settings, free_port()))
    for role, says in SHOWN.items():
        one, many = partial(_one, keys[role], "/v1"), partial(_many, keys[role], "/v1")
        yield Service(f"this API, {says}", server, one, many, _data, role is Role.PRIVACY)
    server = started.enter_context(plain_server(plan.folder, free_port()))
    yield Service("FastAPI, pydantic, SQLite", server, partial(_one, "", ""), partial(_many, "", ""), _listed)


def feasts(
    started: ExitStack, feast: Feast, rows: pl.DataFrame, plan: Plan, show: Callable[[str, object], None]
) -> Iterator[Service]:
    """Feast over SQLite, and over Redis if there is one; shows what writing costs, and reading without a server."""
    rows.write_ipc(plan.folder / "rows.arrow", compat_level=pl.CompatLevel.oldest())
    stores = {"SQLite": None, "Redis": shutil.which("redis-server")}
    ask = partial(feast_request, rows.columns[1:])
    for name, program in stores.items():
        if name == "Redis" and program is None:
            show("Feast, Redis", "left out: there is no redis-server on PATH (the package of that name of Debian)")
            continue
        server, home, written = started.enter_context(feast.serving(plan.folder / "rows.arrow", program))
        show(f"Feast, {name}, written", written)
        for count in (1, 100):
            show(f"Feast, {name}, SDK, {count}", feast.inside(home, plan.seconds, count, plan.customers))
        yield Service(f"Feast, {name}", server, ask, ask, feast_rows)


def _one(key: str, root: str, ids: Sequence[str]) -> bytes:
    return get(f"{root}/customers/{ids[0]}", key)


def _many(key: str, root: str, ids: Sequence[str]) -> bytes:
    return post(f"{root}/customers/batch", json.dumps({"ids": list(ids)}).encode(), key)


def _data(answer: Any) -> list[dict[str, Any]]:
    return _listed(answer["data"])


def _listed(data: Any) -> list[dict[str, Any]]:
    return data if isinstance(data, list) else [data]
