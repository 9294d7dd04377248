"""Storage that fails, for real: a file-size limit stands for a full disk, an unprivileged user for a read-only one."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from c360.errors import LakehouseError
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from tests.unit.lakehouse.failing import NAME, append, big
from tests.unit.lakehouse.shapes import contract, ids, put, things

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[3]


@pytest.fixture
def home() -> Iterator[Path]:
    """A home that other users can enter, unlike pytest's own folders."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


def said(work: str, fault: str, home: Path, scratch: Path) -> str:
    """What a write said whose storage failed."""
    command = [sys.executable, "-m", "tests.unit.lakehouse.failing", work, fault, str(home), str(scratch)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("work", ["append", "merge"])
def test_a_disk_that_takes_no_more_is_said_and_leaves_main(home: Path, tmp_path: Path, work: str) -> None:
    with Lakehouse(Settings(home=home)) as lake:
        lake.ensure(contract())
        base = put(lake, NAME, big("x"))
        before = lake.read(NAME)
        answer = said(work, "limit", home, tmp_path)
        assert answer.startswith("Cannot ")
        assert answer.endswith("disk is full, or its limit of size reached. Mend: free disk space and rerun.")
        assert lake.snapshot(NAME) == base
        assert lake.read(NAME).equals(before)
        append(lake)
        assert lake.row_count(NAME) == 40_000


@pytest.mark.parametrize("work", ["append", "merge"])
def test_a_read_only_warehouse_is_said_and_leaves_main(home: Path, tmp_path: Path, work: str) -> None:
    with Lakehouse(Settings(home=home)) as lake:
        lake.ensure(contract())
        base = put(lake, NAME, things([1]))
        folders = [home / "warehouse", *(p for p in (home / "warehouse").rglob("*") if p.is_dir())]
        for folder in folders:
            folder.chmod(0o555)
        (home / "catalog.db").chmod(0o666)
        try:
            answer = said(work, "nobody", home, tmp_path)
        finally:
            for folder in folders:
                folder.chmod(0o755)
        assert "the warehouse is read-only. Mend: make the warehouse folder writable" in answer
        assert lake.snapshot(NAME) == base
        assert ids(lake.read(NAME)) == [1]


def test_a_read_only_catalog_is_said(home: Path, tmp_path: Path) -> None:
    with Lakehouse(Settings(home=home)) as lake:
        lake.ensure(contract())
        base = put(lake, NAME, things([1]))
        for path in [home / "warehouse", *(home / "warehouse").rglob("*")]:
            path.chmod(0o777)
        (home / "catalog.db").chmod(0o444)
        home.chmod(0o555)
        try:
            answer = said("append", "nobody", home, tmp_path)
        finally:
            home.chmod(0o777)
        assert "the catalog file cannot be written. Mend: make the catalog's folder writable" in answer
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
