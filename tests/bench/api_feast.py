"""Feast beside the API: the same customers in its online store, served by its own feature server.

Its many pinned libraries stay out of this project's lock: they are installed from ``api_feast.txt`` into a folder of
the measurement. The form of request is the one that is faster for Feast: with the names of all features, not the
name of a feature service, which it looks up for each.
"""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tests.bench.api_load import LOOPBACK, post
from tests.bench.api_server import Server, running, started
from tests.bench.own_python import own_python
from tests.conftest import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE = Path(__file__).parent
QUIET = {"FEAST_USAGE": "False", "PYTHONWARNINGS": "ignore"}
_STORE = """project: bench
provider: local
registry: registry.db
offline_store: {{type: file}}
online_store: {online}
entity_key_serialization_version: 3
"""


class Feast:
    """Feast in ``folder``, made by uv. Raises SystemExit without uv."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._bin = folder, own_python(folder, HERE / "api_feast.txt")

    @contextmanager
    def serving(self, rows: Path, redis: str | None = None) -> Iterator[tuple[Server, Path, dict[str, Any]]]:
        """The feature server over the rows of an Arrow file, its store's folder, and what it cost to write them.

        ``redis`` is the program of the server that holds them instead of SQLite; it shares the server's core.
        """
        home = self._folder / ("redis" if redis else "sqlite")
        home.mkdir()
        if redis is None:
            with self._serving(home, "{type: sqlite, path: online.db}", rows) as (server, figures):
                yield server, home, figures
            return
        port = free_port()
        command = [redis, "--port", str(port), "--bind", LOOPBACK, "--save", "", "--appendonly", "no",
                   "--dir", str(home)]  # fmt: skip
        with started(command, home / "redis.log", {}) as engine:
            online = f'{{type: redis, connection_string: "{LOOPBACK}:{port}"}}'
            with self._serving(home, online, rows) as (server, figures):
                yield server.with_engine(psutil.Process(engine.pid)), home, figures

    @contextmanager
    def _serving(self, home: Path, online: str, rows: Path) -> Iterator[tuple[Server, dict[str, Any]]]:
        (home / "feature_store.yaml").write_text(_STORE.format(online=online), encoding="utf-8")
        figures = self._ask("fill", home, str(rows))
        port = free_port()
        # By default a worker ends after 1,000 requests, and another one starts.
        command = [str(self._bin / "feast"), "--chdir", str(home), "serve", "--host", LOOPBACK, "--port", str(port),
                   "--no-access-log", "--workers", "1", "--max-requests", "0", "--keep-alive-timeout=600"]  # fmt: skip
        with running(command, port, "/health", home, QUIET) as server:
            yield server, figures

    def inside(self, home: Path, seconds: float, batch: int, customers: int) -> dict[str, Any]:
        """What a read by the SDK costs in a process of its own, without a server."""
        return self._ask("read", home, str(seconds), str(batch), str(customers))

    def _ask(self, what: str, home: Path, *more: str) -> dict[str, Any]:
        command = [str(self._bin / "python"), str(HERE / "feast_store.py"), what, str(home), *more]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"Feast could not {what}: {done.stderr[-2000:]}")
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found


def feast_request(names: Sequence[str], ids: Sequence[str]) -> bytes:
    """All features of some customers; ``names`` are those of the columns besides ``customer_id``."""
    body = {"features": [f"customer:{name}" for name in names], "entities": {"customer_id": list(ids)}}
    return post("/get-online-features", json.dumps(body).encode())


def feast_rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of an answer of the feature server."""
    names = answer["metadata"]["feature_names"]
    columns = [result["values"] for result in answer["results"]]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
