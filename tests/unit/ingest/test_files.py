from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from c360.contracts.model import Source
from c360.errors import LandingError
from c360.ingest import bronze
from c360.ingest.files import LandingFile, discover
from tests.unit.ingest.support import contract

SOURCE = Source("shop", "orders", "csv")


def put(landing: Path, relative: str, data: bytes = b"id,name\n1,n\n") -> Path:
    path = landing / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_files_come_by_day_then_name_and_only_the_sources_own(tmp_path: Path) -> None:
    for name in ("2025-01-10/b.csv", "2025-01-10/a.parquet", "2025-01-09/z.JSONL"):
        put(tmp_path, f"shop/orders/{name}", name.encode())
    put(tmp_path, "shop/order_items/2025-01-10/x.csv")
    files = discover(tmp_path, SOURCE)
    assert [f.relative for f in files] == [
        "shop/orders/2025-01-09/z.JSONL",
        "shop/orders/2025-01-10/a.parquet",
        "shop/orders/2025-01-10/b.csv",
    ]
    assert [f.batch_date for f in files] == [date(2025, 1, 9), date(2025, 1, 10), date(2025, 1, 10)]
    assert files[0].sha256 == hashlib.sha256(b"2025-01-09/z.JSONL").hexdigest()
    assert files[0].size == 18
    assert [f.relative for f in discover(tmp_path, SOURCE, [date(2025, 1, 9)])] == ["shop/orders/2025-01-09/z.JSONL"]


def test_unfinished_and_hidden_files_wait(tmp_path: Path) -> None:
    for name in ("a.csv.tmp", "a.csv.part", ".a.csv.crc", "_SUCCESS", "done.csv"):
        put(tmp_path, f"shop/orders/2025-01-10/{name}")
    put(tmp_path, "shop/orders/.DS_Store")
    assert [f.path.name for f in discover(tmp_path, SOURCE)] == ["done.csv"]


def test_nothing_landed_is_no_error(tmp_path: Path) -> None:
    assert discover(tmp_path / "absent", SOURCE) == []


@pytest.mark.parametrize(
    ("relative", "words"),
    [
        ("shop/orders/a.csv", "not a folder named by its day"),
        ("shop/orders/20250110/a.csv", "not a folder named by its day"),
        ("shop/orders/2025-02-30/a.csv", "not a folder named by its day"),
        ("shop/orders/2025-01-10/deep/a.csv", "is a folder inside a day"),
        ("shop/orders/2025-01-10/a.csv.gz", "has no known format"),
        ("shop/orders/2025-01-10/a.txt", "has no known format"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(tmp_path: Path, relative: str, words: str) -> None:
    put(tmp_path, relative)
    with pytest.raises(LandingError, match=words):
        discover(tmp_path, SOURCE)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    put(tmp_path, "shop/orders/2025-01-10/a.csv").chmod(0)
    with pytest.raises(LandingError, match=r"a\.csv \(Permission denied\)"):
        discover(tmp_path, SOURCE)


def test_plan_takes_each_file_once(tmp_path: Path) -> None:
    put(tmp_path, "shop/orders/2025-01-10/a.csv")
    put(tmp_path, "shop/orders/2025-01-10/b.csv")
    a, b = discover(tmp_path, SOURCE)
    assert bronze.plan([b, a], {}) == bronze.Plan((a, b), (), ())
    assert bronze.plan([b, a], {a.relative: a.sha256}) == bronze.Plan((b,), (a,), ())


def test_a_file_changed_after_it_was_ingested_is_refused(tmp_path: Path) -> None:
    put(tmp_path, "shop/orders/2025-01-10/a.csv")
    [file] = discover(tmp_path, SOURCE)
    changed = {file.relative: "0" * 64}
    with pytest.raises(
        LandingError, match=r"2025-01-10/a\.csv changed after it was ingested.*land the correction as a new file"
    ):
        bronze.plan([file], changed)
    assert bronze.plan([file], changed, allow_changed=True).changed == (file,)


def test_bronze_rows_carry_their_origin(tmp_path: Path) -> None:
    put(tmp_path, "shop/orders/2025-01-10/b.csv", b"id,name\n3,c\n")
    put(tmp_path, "shop/orders/2025-01-10/a.csv", b"id,name\n1,a\nbroken\n")
    now = datetime(2025, 1, 11, 4, tzinfo=UTC)
    like = contract("id", "name")
    tables = list(bronze.read_all(reversed(discover(tmp_path, SOURCE)), like, now))
    assert [t.schema for t in tables] == [bronze.schema(like)] * 2
    rows = [row for t in tables for row in t.to_pylist()]
    assert [(r["_source_file"][-5:], r["_source_row"], r["id"]) for r in rows] == [
        ("a.csv", 1, "1"),
        ("a.csv", 2, None),
        ("b.csv", 1, "3"),
    ]
    assert {r["_ingested_at"] for r in rows} == {now}
    assert {r["_batch_date"] for r in rows} == {date(2025, 1, 10)}


def test_a_file_that_changes_between_looking_and_reading_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path, "shop/orders/2025-01-10/a.csv", b"id,name\n1,a\n")
    [file] = discover(tmp_path, SOURCE)
    path.write_bytes(b"id,name\n1,b\n")
    with pytest.raises(LandingError, match="changed while it was read"):
        list(bronze.read_all([file], contract("id", "name"), datetime(2025, 1, 11, tzinfo=UTC)))


def test_files_order_as_values() -> None:
    file = LandingFile(date(2025, 1, 1), "a", Path("a"), "", 0)
    assert min(replace(file, batch_date=date(2025, 1, 2)), replace(file, relative="b"), file) == file
