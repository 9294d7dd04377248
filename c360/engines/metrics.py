"""The exporter of metrics as something a stack can run: Prometheus scrapes it on the loopback address."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from c360.engines.dagster_server import settings_env
from c360.engines.process import EngineSpec, port_check

if TYPE_CHECKING:
    from c360.settings import Settings


def metrics_spec(settings: Settings) -> EngineSpec:
    """How to run ``c360.streams.exporter`` for the home of the settings, wherever its folder is."""
    return EngineSpec(
        name="metrics",
        command=(sys.executable, "-m", "c360.streams.exporter"),
        cwd=settings.home,
        log=settings.log_dir / "metrics.log",
        ready=port_check(settings.metrics_port),
        env=settings_env(settings),
        port=settings.metrics_port,
        port_setting="C360_METRICS_PORT",
        address=f"http://127.0.0.1:{settings.metrics_port}/metrics",
    )
