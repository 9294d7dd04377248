"""The API over a small lake, with a key per role."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from api.security.principal import Role
from api.security.settings import SecuritySettings
from c360.lakehouse import Lakehouse
from c360.privacy.keyed import hash_key
from c360.serving.model import TABLES
from c360.serving.release import release
from c360.serving.store import Store
from tests.leaks.sentinel import SENTINEL
from tests.unit.serving.company import Company

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api.state import State
    from api.tracing import Tracing
    from c360.settings import Settings

PURPOSES = {Role.MARKETING: ["marketing"], Role.PRIVACY: ["privacy"]}
SCOPES = ["customer:read", "table:read"]


class World:
    """A running API and the rows that it should know. Direct identifiers are unlike anything else in an answer."""

    def __init__(self, settings: Settings, lake: Lakehouse, tracing: Tracing | None = None) -> None:
        self.settings, self.lake = settings, lake
        self.company = Company(lake, customers=40)
        for number, row in enumerate(self.customers):
            for column in ("full_name", "first_name", "last_name", "street"):
                row[column] = None if number % 9 == 0 else f"{column.title()}~{number:03}~Ümlaut"
            row["email"] = None if number % 11 == 0 else f"direct~{number:03}@example.com"
            row["phone"] = None if number % 7 == 0 else f"+49301234{number:04}"
            row["country_code"], row["region"] = (("DE", "Bayern"), ("DE", "Berlin"), ("FR", None))[number % 3]
        for number, row in enumerate(self.company.rows["gold.dim_customer"]):
            for column in ("full_name", "first_name", "last_name", "email", "phone"):
                row[column] = f"version-{column}~{number:03}"
        self.store = Store(settings.serving_dir)
        self.publish()
        self.app = create_app(settings, SecuritySettings(jwt_jwks=None), tracing)
        self.client = TestClient(self.app, raise_server_exceptions=False)

    @property
    def customers(self) -> list[dict[str, Any]]:
        return self.company.rows["gold.customer_360"]

    @property
    def state(self) -> State:
        found: State = self.app.state.c360
        return found

    def publish(self) -> str:
        """A new release and its index; the API sees it within a moment."""
        self.company.publish()
        found = release(self.lake, TABLES)
        self.store.build(self.lake, found, hash_key(self.settings))
        self.store.serve(str(found.id))
        return str(found.id)

    def key(self, role: Role, regions: frozenset[str] | None = None) -> str:
        scopes = SCOPES if role is Role.SERVICE else []
        return self.state.keys.create("test", [role], regions, PURPOSES.get(role, []), scopes)

    def ask(self, path: str, key: str = "", method: str = "GET", **more: Any) -> Any:
        return self.client.request(method, path, headers={"x-api-key": key} if key else {}, **more)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    from c360.settings import Settings

    settings = Settings(home=tmp_path_factory.mktemp("api"))
    with Lakehouse(settings) as lake:
        world = World(settings, lake)
        with world.client:
            yield world


@pytest.fixture(scope="module")
def keys(world: World) -> dict[Role, str]:
    """A key of each role, for all regions."""
    return {role: world.key(role) for role in Role}


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[dict[str, str]]:
    """A process that serves the same lake on ``C360_API_PORT`` of this environment, in which commands find it."""
    with serving(world.settings) as (own, _, _):
        yield own


@contextmanager
def serving(settings: Settings, **given: str) -> Iterator[tuple[dict[str, str], subprocess.Popen[bytes], Path]]:
    """The API as a process: its environment, with what is ``given`` for it, the process, and the file of its log."""
    root = Path(__file__).parents[3]
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    own = {name: value for name, value in os.environ.items() if not name.startswith(("C360_", "OTEL_"))}
    own |= {
        "C360_HOME": str(settings.home),
        "C360_API_PORT": str(port),
        "PATH": f"{Path(sys.executable).parent}:{own['PATH']}",
        **given,
    }
    path = settings.home / f"server-{port}.log"
    with SENTINEL.watching(settings.home, path), path.open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "api"], cwd=root, env=own, stdout=log, stderr=log)
        try:
            _await(f"http://127.0.0.1:{port}/readyz", process)
            yield own, process, path
        finally:
            process.terminate()
            process.wait(30)


def _await(address: str, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
