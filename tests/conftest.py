"""Fixtures that every kind of test shares: settings in a temporary folder, one Spark server for the whole session."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

from c360.engines.java import ONE_COMPILER
from c360.settings import Settings

pytest_plugins = ["tests.leaks.plugin"]
# The same examples each time: a run speaks of the change, and not of chance. TEST_RANDOM=1 looks for others.
hypothesis_settings.register_profile("repeatable", derandomize=True)
if not os.environ.get("TEST_RANDOM"):
    hypothesis_settings.load_profile("repeatable")

BUSY = {
    "unit",
    "events",
    "test_api_process.py",
    "test_asset_faults.py",
    "test_feature_mistakes.py",
    "test_feature_parity.py",
    "test_features.py",
    "test_gold.py",
    "test_increments.py",
    "test_lakehouse_spark.py",
    "test_pipeline.py",
    "test_spark_faults.py",
    "test_tpch.py",
    "test_tpch_landing.py",
}
"""Folders and files whose tests use no Flink: waiting for it has limits of time, which two at once would miss."""
_GIVEN: set[int] = {field.default for name, field in Settings.model_fields.items() if name.endswith("_port")}


def pytest_configure() -> None:
    """Engines of tests live for seconds. Benchmarks, which import this file, have both compilers of the JVM."""
    os.environ.setdefault("JDK_JAVA_OPTIONS", " ".join(ONE_COMPILER))


def free_port() -> int:
    """A TCP port that nothing listens on right now; another one each time, in each of the processes that share a run.

    Below those that Linux gives to outgoing connections (from 32,768 on), one of which could take it before it is used.
    """
    worker, workers = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]), os.environ.get("PYTEST_XDIST_WORKER_COUNT")
    while True:
        port = secrets.choice(range(12_000 + worker, 32_000, int(workers or 1)))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _GIVEN:
                _GIVEN.add(port)
                return port


def free_ports() -> dict[str, int]:
    """A free port for each of the settings that names one."""
    return {name: free_port() for name in Settings.model_fields if name.endswith("_port")}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """When two processes share a run: one has the tests that wait for engines, the other those that keep a core busy.

    Groups by marks, xdist's own way, are lost with pytest 9.2, which computes a test's id anew.
    """
    from xdist.scheduler import LoadScopeScheduling

    def part(nodeid: str) -> str:
        path = PurePosixPath(nodeid.partition("::")[0])
        return "busy" if BUSY.intersection(path.parts) else "waiting"

    scheduler = LoadScopeScheduling(config, log)
    scheduler._split_scope = part
    return scheduler


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test wrote goes from process to process as UTF-8, and some write what is none."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a lakehouse of the test's own."""
    return Settings(home=tmp_path / "home")


@pytest.fixture(scope="session")
def spark_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a shared lakehouse with a running Spark Connect server; tests use tables of their own."""
    from c360.engines.stack import Stack

    settings = Settings(
        home=tmp_path_factory.mktemp("lake"), spark_port=free_port(), spark_memory="2g", dagster_port=free_port()
    )
    with Stack(settings).running("spark"):
        yield settings
