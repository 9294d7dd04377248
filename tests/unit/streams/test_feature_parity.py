"""How features and batch are compared, on rows by hand."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from c360.streams.feature_parity import compare, valid_rows
from tests.oracle.features.told import DAY, NOW, TICK

UTC = pl.Datetime("us", "UTC")
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "key": pl.String, "spend": pl.Decimal(18, 2), "ratio": pl.Float64, "at": UTC, "effective_at": UTC,
    "version": pl.Int64,
}  # fmt: skip
NOBODY = pl.DataFrame(schema={"key": pl.String})


def row(key: str, **values: Any) -> dict[str, Any]:
    common = {"spend": Decimal("10.00"), "ratio": 1 / 3, "at": None, "effective_at": NOW, "version": 3}
    return {"key": key, **common, **values}


def table(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def keys(found: pl.DataFrame) -> list[str]:
    return found["key"].to_list()


def test_equal_tables_do_not_differ() -> None:
    found = compare("t", "key", table(row("a"), row("b")), table(row("b"), row("a")), NOBODY)
    assert (found.total, found.compared, found.examples()) == (0, 2, [])


@pytest.mark.parametrize(
    "value",
    [{"spend": Decimal("10.01")}, {"spend": None}, {"ratio": 1 / 3 + 1e-8}, {"ratio": None}, {"at": NOW},
     {"version": 4}, {"effective_at": NOW + TICK}],
    ids=str,
)  # fmt: skip
def test_a_changed_value_is_found(value: dict[str, Any]) -> None:
    found = compare("t", "key", table(row("a"), row("b")), table(row("a", **value), row("b")), NOBODY)
    assert (keys(found.changed), found.total, found.unexplained) == (["a"], 1, 1)
    assert found.examples() == [{"kind": "changed", "key": "a"}]


def test_ratios_may_differ_by_the_rounding_of_two_engines() -> None:
    assert compare("t", "key", table(row("a")), table(row("a", ratio=1 / 3 * (1 + 1e-12))), NOBODY).total == 0
    nothing = table(row("a", ratio=0.0))
    assert compare("t", "key", nothing, nothing, NOBODY).total == 0


def test_missing_and_surplus_keys_are_found() -> None:
    found = compare("t", "key", table(row("a"), row("b")), table(row("a"), row("c")), NOBODY)
    assert (keys(found.missing), keys(found.surplus), keys(found.changed)) == (["b"], ["c"], [])


def test_a_difference_of_a_key_that_moved_on_is_pending() -> None:
    batch, stream = table(row("a"), row("b")), table(row("a", version=2), row("b", version=2))
    found = compare("t", "key", batch, stream, pl.DataFrame({"key": ["b"]}))
    assert (found.total, keys(found.pending), found.unexplained) == (2, ["b"], 1)


def test_the_newest_row_has_the_greatest_version_and_then_the_latest_moment() -> None:
    written = table(
        row("a", version=2, effective_at=NOW, spend=1),
        row("a", version=3, effective_at=NOW - DAY, spend=2),
        row("b", version=1, effective_at=NOW, spend=4),
        row("b", version=1, effective_at=NOW - DAY, spend=3),
        row("c", version=9, effective_at=NOW + TICK, spend=5),
    )

    def spends(as_of: datetime) -> dict[str, int]:
        return {r["key"]: int(r["spend"]) for r in valid_rows(written, "key", as_of).to_dicts()}

    assert spends(NOW) == {"a": 2, "b": 4}
    assert spends(NOW - TICK) == {"a": 2, "b": 3}
    assert spends(NOW - DAY - TICK) == {}
    assert spends(NOW + TICK) == {"a": 2, "b": 4, "c": 5}


def test_an_alert_that_is_no_more_is_not_a_row() -> None:
    written = table(row("a", version=1), row("a", version=2)).with_columns(is_active=pl.Series([True, False]))
    assert valid_rows(written, "key", NOW).height == 0
    assert valid_rows(written.with_columns(version=-pl.col("version")), "key", NOW).height == 1


def test_what_was_told_and_holds_no_more_is_not_valid() -> None:
    told = [("a", 1, 1, True), ("a", 2, 1, False), ("a", 2, 3, True), ("b", 1, 2, True), ("b", 3, 2, False)]
    written = pl.DataFrame(
        [{"key": k, "version": v, "effective_at": NOW + days * DAY, "is_active": a} for k, v, days, a in told]
    )
    found = [valid_rows(written, "key", NOW + days * DAY)["key"].to_list() for days in (0, 1, 2, 3)]
    assert found == [[], [], [], ["a"]]
