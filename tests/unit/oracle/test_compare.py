"""The comparison finds every kind of difference, and only differences."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.oracle.compare import assert_same_rows


def table(kind: pa.DataType, *values: Any) -> pa.Table:
    return pa.table({"k": pa.array(range(len(values)), pa.int64()), "v": pa.array(values, kind)})


def test_order_of_rows_and_columns_and_widths_do_not_matter() -> None:
    moment = datetime(2024, 1, 1, 12, tzinfo=UTC)
    actual = pa.table(
        {
            "v": pa.array(["b", None], pa.large_string()).dictionary_encode(),
            "t": pa.array([moment, None], pa.timestamp("ns", "Europe/Paris")),
            "m": pa.array([Decimal("1.50"), None], pa.decimal128(18, 2)),
            "n": pa.array([2, 1], pa.int32()),
            "f": pa.array([0.1 + 0.2, None], pa.float64()),
        }
    )
    expected = pa.table(
        {
            "n": pa.array([1, 2], pa.int64()),
            "v": pa.array([None, "b"]),
            "m": pa.array([None, Decimal("1.500")], pa.decimal128(20, 3)),
            "t": pa.array([None, moment], pa.timestamp("us", "UTC")),
            "f": pa.array([None, 0.3]),
        }
    )
    assert_same_rows(actual, expected, ["n"])


@pytest.mark.parametrize(
    ("kind", "actual", "expected"),
    [
        (pa.string(), "a", "A"),
        (pa.string(), None, ""),
        (pa.int64(), 0, None),
        (pa.decimal128(18, 2), Decimal("0.01"), Decimal("0.02")),
        (pa.float64(), 1.0, 1.0000001),
        (pa.float64(), float("nan"), 1.0),
        (pa.float64(), float("inf"), 1.0),
        (pa.float64(), None, 0.0),
        (pa.bool_(), None, False),
        (pa.timestamp("us", "UTC"), 1, 2),
    ],
)
def test_one_differing_value_is_shown(kind: pa.DataType, actual: Any, expected: Any) -> None:
    with pytest.raises(AssertionError, match=r"(?s)facts differs.*column v: 1 rows differ: k=0, actual="):
        assert_same_rows(table(kind, actual), table(kind, expected), ["k"], "facts")


def test_equal_special_doubles_are_equal() -> None:
    values = table(pa.float64(), float("nan"), float("inf"), -0.0, None)
    assert_same_rows(values, table(pa.float64(), float("nan"), float("inf"), 0.0, None), ["k"])


@pytest.mark.parametrize(
    ("actual", "message"),
    [
        (pa.table({"k": [1, 2]}), r"columns missing: \['v'\]"),
        (pa.table({"k": [1], "v": ["a"], "w": [1]}), r"columns not expected: \['w'\]"),
        (pa.table({"k": [1, 2], "v": [1, 2]}), r"column v is int64, expected string"),
        (pa.table({"k": [1], "v": ["a"]}), r"1 rows missing, keys k=2"),
        (pa.table({"k": [1, 2, 3], "v": ["a", "b", "c"]}), r"1 rows not expected, keys k=3"),
        (pa.table({"k": [1, 2, 2], "v": ["a", "b", "b"]}), r"1 keys occur more than once in actual: k=2, times=2"),
        (pa.table({"k": [1, None], "v": ["a", "b"]}), r"(?s)1 rows missing.*1 rows not expected, keys k=None"),
    ],
)
def test_differing_columns_and_keys_are_shown(actual: pa.Table, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_same_rows(actual, pa.table({"k": [1, 2], "v": ["a", "b"]}), ["k"])


def test_null_keys_match_each_other() -> None:
    rows = pa.table({"k": pa.array([None, 1], pa.int64()), "j": ["x", None], "v": [1, 2]})
    assert_same_rows(rows, rows, ["k", "j"])
    with pytest.raises(AssertionError, match="column v: 1 rows differ: k=None, j=x, actual=9, expected=1"):
        assert_same_rows(rows.set_column(2, "v", pa.array([9, 2])), rows, ["k", "j"])


def test_no_rows_equal_no_rows_and_a_key_may_be_everything() -> None:
    empty = pa.table({"k": pa.array([], pa.int64())})
    assert_same_rows(empty, empty, ["k"])
    with pytest.raises(AssertionError, match="1 rows missing"):
        assert_same_rows(empty, pa.table({"k": pa.array([1], pa.int64())}), ["k"])


def test_half_a_million_rows_take_seconds() -> None:
    count = 500_000
    numbers = np.random.default_rng(1).permutation(count)
    rows = pa.table({"k": pa.array(numbers).cast(pa.string()), **{f"v{n}": pa.array(numbers * n) for n in range(8)}})
    started = time.monotonic()
    assert_same_rows(rows, rows.take(np.argsort(numbers)), ["k"])
    assert time.monotonic() - started < 30
