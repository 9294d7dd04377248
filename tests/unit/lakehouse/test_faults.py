"""Storage that fails, for real: a file-size limit stands for a full disk, an unprivileged user for a read-only one."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from c360.errors import LakehouseError
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from tests.unit.lakehouse.shapes import contract, ids, put, things

NAME = contract().name
NOBODY = 65534


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that other users can enter, unlike pytest's own folders."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def refusal(work: Callable[[Lakehouse], object], home: Path, before: Callable[[], object]) -> str:
    """Run ``work`` in a process prepared by ``before``; what its LakehouseError said."""
    # Forked, because an unprivileged user may not be able to read this interpreter's files. Nothing that uses Polars
    # can run here: its threads do not survive the fork.
    processes = multiprocessing.get_context("fork")
    said = processes.SimpleQueue()

    def run() -> None:
        try:
            with Lakehouse(Settings(home=home), lock_timeout_s=5) as lake:
                before()
                work(lake)
            said.put("no error")
        except LakehouseError as error:
            said.put(str(error))
        except BaseException as error:  # noqa: BLE001 - the parent judges it
            said.put(repr(error))

    child = processes.Process(target=run)
    child.start()
    child.join(60)
    assert child.exitcode == 0
    return str(said.get())


def append_some(lake: Lakehouse) -> None:
    put(lake, NAME, big("z"), "fails")


def big(tag: str) -> pa.Table:
    """Rows that do not compress to nothing."""
    return things(range(20_000), tag + os.urandom(4).hex())


def limit_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("work", [append_some])
def test_a_disk_that_takes_no_more_is_said_and_leaves_main(home: Path, work: Callable[[Lakehouse], Any]) -> None:
    with Lakehouse(Settings(home=home)) as lake:
        lake.ensure(contract())
        base = put(lake, NAME, big("x"))
        before = lake.read(NAME)
        lake.close()
        said = refusal(work, home, limit_files)
        assert said.startswith("Cannot ")
        assert "disk is full, or its limit of size reached. Mend: free disk space and rerun" in said
        assert lake.snapshot(NAME) == base
        assert lake.read(NAME).equals(before)
        append_some(lake)
        assert lake.row_count(NAME) == 40_000


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("work", [append_some])
def test_a_read_only_warehouse_is_said_and_leaves_main(home: Path, work: Callable[[Lakehouse], Any]) -> None:
    with Lakehouse(Settings(home=home)) as lake:
        lake.ensure(contract())
        base = put(lake, NAME, things([1]))
        lake.close()
        folders = [home / "warehouse", *(p for p in (home / "warehouse").rglob("*") if p.is_dir())]
        for folder in folders:
            folder.chmod(0o555)
        (home / "catalog.db").chmod(0o666)
        (home).chmod(0o777)
        try:
            said = refusal(work, home, lambda: os.setuid(NOBODY) if os.getuid() == 0 else None)
        finally:
            for folder in folders:
                folder.chmod(0o755)
        assert "the warehouse is read-only. Mend: make the warehouse folder writable" in said
        assert lake.snapshot(NAME) == base
        assert ids(lake.read(NAME)) == [1]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_read_only_catalog_is_said(home: Path) -> None:
    with Lakehouse(Settings(home=home)) as lake:
        lake.ensure(contract())
        base = put(lake, NAME, things([1]))
        lake.close()
        for path in [home / "warehouse", *(home / "warehouse").rglob("*")]:
            path.chmod(0o777)
        (home / "catalog.db").chmod(0o444)
        home.chmod(0o555)
        try:
            said = refusal(append_some, home, lambda: os.setuid(NOBODY) if os.getuid() == 0 else None)
        finally:
            home.chmod(0o777)
        assert "the catalog file cannot be written. Mend: make the catalog's folder writable" in said
        assert lake.snapshot(NAME) == base


def test_a_home_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LakehouseError, match=r"cannot be created.*Mend: make its parent writable"):
        Lakehouse(Settings(home=tmp_path / "file" / "home")).names()


def test_a_catalog_that_does_not_answer_is_said(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        profile="server",
        catalog_uri="postgresql+psycopg2://nobody@127.0.0.1:1/none",
        warehouse=f"file://{tmp_path}/warehouse",
    )
    with pytest.raises(LakehouseError, match=r"Cannot open the catalog.*Mend: check that the catalog"):
        Lakehouse(settings).names()
