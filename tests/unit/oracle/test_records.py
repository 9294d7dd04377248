"""Records are counted as a human would: line by line, whatever is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.oracle.records import count_file, count_landing

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b"a,b\n1,2\n3,4\n", 2),
        (b"a,b\r\n1,2\r\n3,4", 2),
        (b"\xef\xbb\xbfa,b\n1,2\n", 1),
        (b'a,b\n1,"two\nlines, one record"\n3,4\n', 2),
        (b"a,b\n1,2,3\n\n4\n", 3),
        (b"a,b\n\xff\xfe,2\n", 1),
        (b"a,b\n\x00,2\n", 1),
        (b"a,b\n", 0),
        (b"", 0),
    ],
)
def test_csv(tmp_path: Path, content: bytes, records: int) -> None:
    path = tmp_path / "some.csv"
    path.write_bytes(content)
    assert count_file(path) == records


@pytest.mark.parametrize(
    ("content", "records"), [(b'{"a":1}\n{"a":\n', 2), (b'{"a":1}\n{"a"', 2), (b"\xff\n", 1), (b"", 0)]
)
def test_json_lines(tmp_path: Path, content: bytes, records: int) -> None:
    path = tmp_path / "some.jsonl"
    path.write_bytes(content)
    assert count_file(path) == records


def test_landing_folder(tmp_path: Path) -> None:
    for name, rows in (("shop/orders/2024-01-01/o.parquet", 3), ("shop/orders/2024-01-02/o.parquet", 0)):
        (tmp_path / name).parent.mkdir(parents=True)
        pq.write_table(pa.table({"a": pa.array(range(rows), pa.int64())}), tmp_path / name)
    assert count_landing(tmp_path).to_pylist() == [
        {"entity": "orders", "file": "shop/orders/2024-01-01/o.parquet", "day": "2024-01-01", "records": 3},
        {"entity": "orders", "file": "shop/orders/2024-01-02/o.parquet", "day": "2024-01-02", "records": 0},
    ]


def test_no_other_kind_of_file(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="is no landing file"):
        count_file(tmp_path / "orders.xlsx")
