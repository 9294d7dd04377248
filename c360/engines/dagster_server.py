"""Dagster as an engine: web server and daemon over one instance in ``<home>/dagster``."""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from pydantic import SecretStr

from c360.engines import ports
from c360.engines.process import EngineSpec
from c360.errors import EngineError

if TYPE_CHECKING:
    from c360.settings import Settings

MANAGED = "# Written by `c360 up dagster`. Delete this line to keep changes of your own."
# Pools: the catalog is one, so its users queue. Two runs at once fit the smallest machine that is supported.
INSTANCE = f"""{MANAGED}
telemetry:
  enabled: false
nux:
  enabled: false
storage:
  sqlite:
    base_dir: {{base_dir}}
concurrency:
  pools:
    default_limit: 1
    granularity: op
  runs:
    max_concurrent_runs: 2
freshness:
  enabled: true
"""


def prepare_home(settings: Settings) -> Path:
    """Create the instance folder with its ``dagster.yaml`` (kept if its user took it over) and return the folder.

    Raises:
        EngineError: the folder cannot be written.
    """
    home = settings.dagster_home
    path, text = home / "dagster.yaml", INSTANCE.format(base_dir=json.dumps(str(home / "storage")))
    try:
        home.mkdir(parents=True, exist_ok=True)
        current = path.read_text(encoding="utf-8") if path.exists() else MANAGED
        if current != text and MANAGED in current:
            partial_path = path.with_name("dagster.yaml.part")
            partial_path.write_text(text, encoding="utf-8")
            partial_path.replace(path)
    except OSError as error:
        raise EngineError(
            f"{path} cannot be written ({error.strerror})", "set C360_HOME to a folder that this user may write"
        ) from error
    return home


def settings_env(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, so that a child process reads the same ones in any working directory."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    return {
        f"C360_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in values.items()
        if value is not None
    }


def dagster_specs(settings: Settings) -> tuple[EngineSpec, ...]:
    """Web server and daemon.

    Raises:
        EngineError: there is no ``workspace.yaml``.
    """
    root, home, address = project_root(), settings.dagster_home, f"http://{ports.LOOPBACK}:{settings.dagster_port}"
    workspace = str(root / "workspace.yaml")
    env = {
        **settings_env(settings),
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "PYTHONUNBUFFERED": "1",
    }
    webserver = EngineSpec(
        name="dagster-webserver",
        command=(
            *(sys.executable, "-m", "dagster_webserver", "--workspace", workspace),
            *("--host", ports.LOOPBACK, "--port", str(settings.dagster_port)),
        ),
        cwd=root,
        log=settings.log_dir / "dagster-webserver.log",
        ready=partial(_webserver_health, address),
        env=env,
        port=settings.dagster_port,
        port_setting="C360_DAGSTER_PORT",
        address=address,
        prepare=lambda: _initialise(settings),
        grace=15.0,
    )
    daemon = EngineSpec(
        name="dagster-daemon",
        command=(sys.executable, "-m", "dagster._daemon", "run", "--workspace", workspace),
        cwd=root,
        log=settings.log_dir / "dagster-daemon.log",
        ready=partial(_daemon_health, home / "storage" / "history" / "runs.db", time.time()),
        env=env,
        grace=15.0,
    )
    return webserver, daemon


def project_root() -> Path:
    """Folder of ``workspace.yaml``: the working directory, else the project that this package lies in.

    Raises:
        EngineError: neither has one.
    """
    for folder in (Path.cwd(), Path(__file__).resolve().parents[2]):
        if (folder / "workspace.yaml").is_file():
            return folder
    raise EngineError(f"There is no workspace.yaml in {Path.cwd()}", "run the command in the project's folder")


def _initialise(settings: Settings) -> None:
    home = prepare_home(settings)
    if (home / "storage" / "schedules" / "schedules.db").exists():
        return
    # Both processes would create the same tables in the same moment on a first start; one of them would fail.
    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(home)) as instance:
        instance.get_runs_count()


def _webserver_health(address: str) -> str | None:
    try:
        response = httpx.get(f"{address}/server_info", timeout=5.0, trust_env=False)
    except httpx.HTTPError as error:
        return f"{address} does not answer ({type(error).__name__})"
    return None if response.status_code == httpx.codes.OK else f"{address} answers {response.status_code}"


def _daemon_health(database: Path, since: float) -> str | None:
    """The daemon serves once it wrote a heartbeat. Its own check would start an interpreter for each question."""
    if not database.exists():
        return "no run storage yet"
    after = datetime.fromtimestamp(since, UTC).replace(tzinfo=None).isoformat(sep=" ")
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=5.0)) as connection:
            row = connection.execute("SELECT count(*) FROM daemon_heartbeats WHERE timestamp >= ?", (after,)).fetchone()
    except sqlite3.Error as error:
        return f"run storage: {error}"
    return None if row and row[0] else "no heartbeat yet"
