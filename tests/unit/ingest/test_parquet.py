from __future__ import annotations

import io
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from c360.errors import LandingError
from tests.unit.ingest.support import land, rows

if TYPE_CHECKING:
    from pathlib import Path


def written(**columns: pa.Array[Any]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out)
    return out.getvalue()


MOMENT = datetime(2025, 3, 1, 12, 30, 0, 5000)  # noqa: DTZ001 - what a file without time zones holds


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array(["a", None, ""]), ["a", None, ""]),
        (pa.array(["x", None, "x"]).dictionary_encode(), ["x", None, "x"]),
        (pa.array([b"caf\xc3\xa9", None]), ["café", None]),
        (pa.array([1, -2, None], pa.int16()), ["1", "-2", None]),
        (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
        (pa.array([Decimal("1.10"), Decimal("-0.05")], pa.decimal128(12, 2)), ["1.10", "-0.05"]),
        (
            pa.array([0.1, 1 / 3, 100.0, -0.0, float("nan"), float("inf")]),
            ["0.1", "0.3333333333333333", "100", "-0", "nan", "inf"],
        ),
        (pa.array([0.1], pa.float32()), ["0.1"]),
        (pa.array([True, False, None]), ["true", "false", None]),
        (pa.array([date(2025, 1, 31)]), ["2025-01-31"]),
        (pa.array([MOMENT], pa.timestamp("us")), ["2025-03-01T12:30:00.005000"]),
        (pa.array([MOMENT], pa.timestamp("ms")), ["2025-03-01T12:30:00.005000"]),
        (pa.array([MOMENT], pa.timestamp("ns")), ["2025-03-01T12:30:00.005000000"]),
        (pa.array([MOMENT.replace(tzinfo=UTC)], pa.timestamp("us", tz="UTC")), ["2025-03-01T12:30:00.005000Z"]),
        (
            pa.array([MOMENT.replace(tzinfo=UTC)], pa.timestamp("us", tz="Europe/Berlin")),
            ["2025-03-01T12:30:00.005000Z"],
        ),
        (pa.array([{"a": [1, 2]}, None]), ['{"a":[1,2]}', None]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_types_become_canonical_text(tmp_path: Path, array: pa.Array[Any], expected: list[str | None]) -> None:
    ids = pa.array([str(i) for i in range(len(array))])
    found = rows(land(tmp_path, written(id=ids, name=array), "parquet"), "name", "_error")
    assert found == [(text, None) for text in expected]


def test_text_that_is_no_utf8_refuses_its_row(tmp_path: Path) -> None:
    data = written(id=pa.array(["1", "2", "3"]), name=pa.array([b"ok", b"caf\xe9", None]))
    assert rows(land(tmp_path, data, "parquet")) == [
        ("1", "ok", None, None),
        (None, None, r'{"id":"2","name":"caf\\xe9"}', "bad_encoding"),
        ("3", None, None, None),
    ]


def test_other_columns_are_kept_aside_and_order_does_not_matter(tmp_path: Path) -> None:
    data = written(new=pa.array([1.5]), name=pa.array(["n"]), id=pa.array([7]))
    reading = land(tmp_path, data, "parquet")
    assert rows(reading, "id", "name", "_extra") == [("7", "n", '{"new":"1.5"}')]
    assert reading.extra == ("new",)


def test_no_rows_are_no_error(tmp_path: Path) -> None:
    assert (
        land(tmp_path, written(id=pa.array([], pa.int64()), name=pa.array([], pa.string())), "parquet").table.num_rows
        == 0
    )


def test_whole_file_problems(tmp_path: Path) -> None:
    good = written(id=pa.array(["1"]), name=pa.array(["n"]))
    for data in (good[: len(good) // 2], good[:-4], b"id,name\n1,2\n", b"", b"PAR1PAR1"):
        with pytest.raises(LandingError, match="no complete Parquet file"):
            land(tmp_path, data, "parquet")
    with pytest.raises(LandingError, match="rename 'nmae' to 'name'"):
        land(tmp_path, written(id=pa.array(["1"]), nmae=pa.array(["n"])), "parquet")
