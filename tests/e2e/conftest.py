"""The demonstration, run once for all that look at what it made."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conftest import free_ports
from tests.faulty import files_up_to
from tests.leaks.sentinel import SENTINEL

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "c360_assets.demo", "--no-ui", "--daily-batches", "10"]
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("demo") / "home"
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(("C360_", "DAGSTER_"))},
        "C360_HOME": str(home),
        "C360_SCALE": os.environ.get("TEST_SCALE", "0.05"),
        **{f"C360_{name.upper()}": str(port) for name, port in free_ports().items()},
        "C360_SPARK_MEMORY": "2g",
        "COLUMNS": "1000",
    }


@pytest.fixture(scope="session")
def without_space(environment: dict[str, str]) -> tuple[Done, list[str]]:
    """The first try, on a full disk, and what it left where the landing files belong."""
    fetched = run([str(Path(sys.executable).with_name("c360")), "jars", "fetch"], environment)
    assert fetched.returncode == 0, fetched.stderr  # the disk shall be full for the data, not for a first installation
    done = run([*files_up_to(200_000), *COMMAND], environment)
    home = Path(environment["C360_HOME"])
    return done, [path.name for name in ("landing", "truth", ".generate") for path in (home / name).glob("*")]


@pytest.fixture(scope="session")
def rivals(environment: dict[str, str], without_space: tuple[Done, list[str]]) -> list[Done]:
    """The second try, started twice at once and a third time in its midst; the one that went on is the last."""
    landing = Path(environment["C360_HOME"]) / "landing"
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run, COMMAND, environment) for _ in range(2)]
        while not landing.exists() and not all(done.done() for done in runs):
            time.sleep(0.1)
        late = run(COMMAND, environment)
        assert not all(done.done() for done in runs)
        return sorted([late, *(done.result() for done in runs)], key=lambda done: len(done.stdout))


@pytest.fixture(scope="session")
def demo(environment: dict[str, str], rivals: list[Done]) -> tuple[Path, Done]:
    home = Path(environment["C360_HOME"])
    # Its API has asked and answered, and is gone: what it wrote is searched at the end of this test.
    SENTINEL.watch(home, log=home / "logs" / "api.log")
    return home, rivals[-1]


def run(command: list[str], environment: dict[str, str]) -> Done:
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=1500)
