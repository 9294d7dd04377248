"""The API as something a stack can run, on the loopback address."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from c360.engines.dagster_server import settings_env
from c360.engines.process import EngineSpec, port_check

if TYPE_CHECKING:
    from c360.settings import Settings


def api_spec(settings: Settings) -> EngineSpec:
    """How to run the API for the home of the settings, wherever its folder is."""
    return EngineSpec(
        name="api",
        command=(sys.executable, "-m", "api"),
        cwd=settings.home,
        log=settings.log_dir / "api.log",
        ready=port_check(settings.api_port),
        env=settings_env(settings),
        port=settings.api_port,
        port_setting="C360_API_PORT",
        address=f"http://127.0.0.1:{settings.api_port}",
    )
