"""A Python module of the product as something a stack can run: it serves HTTP on the loopback address."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from c360.engines.dagster_server import settings_env
from c360.engines.process import EngineSpec, port_check

if TYPE_CHECKING:
    from c360.settings import Settings


def module_spec(settings: Settings, name: str, module: str, path: str = "") -> EngineSpec:
    """How to run ``python -m <module>`` for the home of the settings, wherever its folder is.

    ``name`` is that of the engine and of its port's setting, ``C360_<NAME>_PORT``; ``path`` is what to open there.
    """
    port: int = getattr(settings, f"{name}_port")
    return EngineSpec(
        name=name,
        command=(sys.executable, "-m", module),
        cwd=settings.home,
        log=settings.log_dir / f"{name}.log",
        ready=port_check(port),
        env=settings_env(settings),
        port=port,
        port_setting=f"C360_{name.upper()}_PORT",
        address=f"http://127.0.0.1:{port}{path}",
    )
