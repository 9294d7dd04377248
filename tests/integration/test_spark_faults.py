"""Spark that dies or cannot write while a gold asset materialises: said with its mend, main unchanged, healed."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from c360.engines.stack import Stack
from c360.engines.state import StackState
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from c360_assets.gold import runner
from c360_assets.gold.query import select
from tests.conftest import free_port
from tests.faulty import bound_by_permissions
from tests.integration.asset_faults import customer, land, materialize, said

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

pytestmark = [
    pytest.mark.faults,
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning"),
]
ROOT = Path(__file__).parents[2]
NAME, DAY = "gold.dim_customer", "2025-03-01"
COMMAND = [sys.executable, "-c", "from c360.cli.main import main; main()"]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A lakehouse with silver customers, and a Spark of its own that `c360 up` starts and permissions bind."""
    settings = Settings(home=tmp_path_factory.mktemp("faulty"), spark_port=free_port(), spark_memory="1g")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("C360_HOME", str(settings.home))
        patch.setenv("C360_SPARK_PORT", str(settings.spark_port))
        patch.setenv("C360_SPARK_MEMORY", "1g")
        patch.delenv("C360_SPARK_REMOTE", raising=False)
        land(settings.home, DAY, *(customer(number, DAY) for number in range(40)))
        build(settings, "bronze.customers", "silver.customers")
        try:
            c360("up", "spark")
            yield settings
        finally:
            Stack(settings).down()


def c360(*arguments: str) -> None:
    """The command itself, heeding permissions as a user does."""
    command = [*bound_by_permissions(), *COMMAND, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr


def build(settings: Settings, *names: str, full_refresh: bool = False) -> None:
    for name in names:
        result = materialize(settings.home, name, DAY, full_refresh=full_refresh)
        assert result.success, said(result)


def failure_of_a_rebuild(settings: Settings) -> dict[str, str]:
    """A table built in full is written by Spark."""
    return said(materialize(settings.home, NAME, DAY, full_refresh=True))


def spark_pid(settings: Settings) -> int:
    return StackState(settings.home).entries()["spark"].engine_pid


def content(settings: Settings) -> list[dict[str, object]]:
    return sorted(Lakehouse(settings).read(NAME).to_pylist(), key=lambda row: str(row["customer_sk"]))


def test_spark_that_cannot_write_says_why(settings: Settings) -> None:
    lake = Lakehouse(settings)
    build(settings, NAME)
    main, before = lake.snapshot(NAME), content(settings)
    data = settings.home / "warehouse" / "gold" / "dim_customer" / "data"
    data.chmod(0o555)
    try:
        failure = failure_of_a_rebuild(settings)
    finally:
        data.chmod(0o755)
    assert failure["mend"].startswith("make the warehouse and the folder of C360_HOME writable"), failure
    assert "Permission denied" in failure["problem"]
    assert (lake.snapshot(NAME), content(settings)) == (main, before)

    pid = spark_pid(settings)
    limits = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (2_000, limits[1]))
    try:
        failure = failure_of_a_rebuild(settings)
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)
    assert failure["mend"].startswith("free disk space"), failure
    assert (lake.snapshot(NAME), content(settings)) == (main, before)

    build(settings, NAME, full_refresh=True)
    assert lake.snapshot(NAME) != main
    assert content(settings) == before


def test_spark_killed_while_an_asset_materialises(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = Lakehouse(settings)
    build(settings, NAME)
    main, undisturbed = lake.snapshot(NAME), content(settings)
    kills = threading.Thread(target=kill_once_written_to, args=(settings, set(lake.refs(NAME))))
    with monkeypatch.context() as patch:
        patch.setattr(runner, "select", two_seconds_a_row)
        kills.start()
        began = time.monotonic()
        failure = failure_of_a_rebuild(settings)
        assert time.monotonic() - began < 60
        kills.join()
    assert "Spark does not answer" in failure["problem"], failure
    assert failure["mend"].startswith("start it with `c360 up spark`")
    assert (lake.snapshot(NAME), content(settings)) == (main, undisturbed)
    assert [engine.state for engine in Stack(settings).status()] == ["dead"]

    c360("up", "spark")
    build(settings, NAME, full_refresh=True)
    assert lake.snapshot(NAME) != main
    assert content(settings) == undisturbed


def two_seconds_a_row(*arguments: Any) -> DataFrame:
    return select(*arguments).where("coalesce(reflect('java.lang.Thread', 'sleep', 2000L), 'slept') <> 'never'")


def kill_once_written_to(settings: Settings, refs: set[str]) -> None:
    """Kill Spark a second after the asset's branch appeared: in the middle of a query of more than a minute."""
    lake, pid = Lakehouse(settings), spark_pid(settings)
    deadline = time.monotonic() + 60
    while set(lake.refs(NAME)) == refs and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    os.kill(pid, signal.SIGKILL)
