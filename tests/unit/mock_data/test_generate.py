"""Same arguments, same bytes; all or nothing; refusals that name the mend."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from c360.errors import C360Error
from mock_data import RATES, Generated, generate

START = date(2025, 11, 20)
SMALL: dict[str, Any] = {"scale": 0.01, "seed": 11, "start": START, "days": 40}
ROOT = Path(__file__).parents[3]


def fingerprint(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by relative path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".generate.lock"
    }


def command(out: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "mock_data", "--out", str(out), "--scale", "0.01", "--seed", "11",
        "--start", START.isoformat(), "--days", "40", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Generated:
    return generate(tmp_path_factory.mktemp("small"), **SMALL)


def test_the_same_seed_gives_the_same_bytes_in_any_process(small: Generated, tmp_path: Path) -> None:
    here = fingerprint(small.landing.parent)
    generate(tmp_path / "again", **SMALL)
    assert fingerprint(tmp_path / "again") == here
    # another process, another hash seed, another number of threads
    environment = {**os.environ, "PYTHONHASHSEED": "5", "POLARS_MAX_THREADS": "1"}
    done = subprocess.run(
        command(tmp_path / "other"), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert fingerprint(tmp_path / "other") == here
    assert f"{small.records:,} records" in " ".join(done.stdout.split())


def test_chunks_do_not_show_in_the_bytes(small: Generated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mock_data.landing.CHUNK", 50)
    generate(tmp_path, **SMALL)
    assert fingerprint(tmp_path) == fingerprint(small.landing.parent)


def test_another_seed_gives_another_company(small: Generated, tmp_path: Path) -> None:
    other = generate(tmp_path, **{**SMALL, "seed": 12})
    assert other.counts["customers"] != small.counts["customers"]


def test_the_same_arguments_again_change_nothing(small: Generated) -> None:
    before = {p: p.stat().st_mtime_ns for p in small.landing.parent.rglob("*") if p.is_file()}
    again = generate(small.landing.parent, **SMALL)
    assert not again.changed
    assert again.counts == small.counts
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_another_company_is_refused(small: Generated) -> None:
    before = fingerprint(small.landing.parent)
    with pytest.raises(C360Error, match=r"seed 11 instead of 12.*choose another --out"):
        generate(small.landing.parent, **{**SMALL, "seed": 12})
    with pytest.raises(C360Error, match=r"other shares of defects"):
        generate(small.landing.parent, **SMALL, defects=False)
    assert fingerprint(small.landing.parent) == before


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "landing" / "shop" / "orders" / "2025-01-01" / "mine.csv"
    mine.parent.mkdir(parents=True)
    mine.write_text("order_id\n1\n")
    with pytest.raises(C360Error, match=r"not generated here"):
        generate(tmp_path, **SMALL)
    assert list(fingerprint(tmp_path)) == ["landing/shop/orders/2025-01-01/mine.csv"]
    other = tmp_path / "other"
    (other / "truth").mkdir(parents=True)
    (other / "truth" / "notes.txt").write_text("keep")
    with pytest.raises(C360Error, match=r"not a truth folder"):
        generate(other, **SMALL)
    assert (other / "truth" / "notes.txt").read_text() == "keep"


@pytest.mark.parametrize(
    ("argument", "value", "mend"),
    [
        ("scale", 0.0, "--scale"),
        ("scale", float("nan"), "--scale"),
        ("scale", 1001.0, "--scale"),
        ("seed", -1, "--seed"),
        ("days", 0, "--days"),
        ("days", 3651, "--days"),
        ("start", date(1970, 1, 1), "--start"),
        ("defects", {"typo": 0.1}, "use some of messy"),
        ("defects", {"late": 0.5}, "share from 0 to 0.2"),
    ],
)
def test_impossible_arguments_are_refused(tmp_path: Path, argument: str, value: Any, mend: str) -> None:
    with pytest.raises(C360Error, match=mend):
        generate(tmp_path / "new", **{**SMALL, argument: value})
    assert not (tmp_path / "new").exists()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(C360Error, match=r"Cannot write to .*--out"):
        generate(tmp_path / "file" / "out", **SMALL)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root cannot write")
def test_a_read_only_folder_is_refused() -> None:
    with pytest.raises(C360Error, match=r"Cannot write to .*--out"):
        generate(Path("/proc/self/fdinfo"), **SMALL)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mock_data.landing._write_lines", full)
    with pytest.raises(C360Error, match=r"No space left on device.*lower --scale"):
        generate(tmp_path, **SMALL)
    assert fingerprint(tmp_path) == {}


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".generate.lock"), pytest.raises(C360Error, match=r"Another process"):
        generate(tmp_path, **SMALL)


def test_a_killed_run_leaves_nothing_half_written(small: Generated, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(tmp_path), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    work = tmp_path / ".generate" / "landing"
    deadline = time.monotonic() + 60
    while not (work.exists() and any(work.iterdir())) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "landing").exists()
    assert generate(tmp_path, **SMALL).changed
    assert fingerprint(tmp_path) == fingerprint(small.landing.parent)


def test_a_truth_without_its_files_is_made_anew(small: Generated, tmp_path: Path) -> None:
    generate(tmp_path, **SMALL)
    (tmp_path / "landing").rename(tmp_path / "gone")  # as if killed between the two renames
    assert generate(tmp_path, **SMALL).changed
    assert fingerprint(tmp_path / "landing") == fingerprint(small.landing)


def test_single_defects_can_be_asked_for(tmp_path: Path) -> None:
    made = generate(tmp_path, **SMALL, defects={"late": 0.1, "orphan": 0.0})
    assert {d for e in made.counts.values() for d in e["defects"]} == {"late"}
    assert set(RATES) > {"late"}


@pytest.mark.parametrize(("scale", "days"), [(0.0001, 1), (0.01, 1), (0.001, 2)])
def test_the_smallest_companies_work(tmp_path: Path, scale: float, days: int) -> None:
    made = generate(tmp_path, scale=scale, seed=1, start=START, days=days)
    assert list(made.counts) == list(generate(tmp_path, scale=scale, seed=1, start=START, days=days).counts)
    assert all(e["generated"] > 0 for e in made.counts.values())


def test_the_command_refuses_with_one_sentence(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mock_data", "--out", str(tmp_path / "x"), "--scale", "0"],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Mend:" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_prints_counts_as_json(small: Generated, tmp_path: Path) -> None:
    done = subprocess.run(command(tmp_path, "--json"), cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert json.loads(done.stdout) == small.counts
