"""Which rows a key has to be unique among, when only some of a table changed."""

from __future__ import annotations

import pyarrow as pa
import pytest

from c360.contracts import Column, Contract
from c360_assets.pipeline.publication import _keys
from c360_assets.quality.audit import audit


def contract(*, unique: bool = False) -> Contract:
    columns = (Column("id", "string", required=True), Column("code", "string", unique=unique))
    return Contract(
        name="gold.things", layer="gold", table="things", version="1.0.0", domain="tests", owner="tests",
        description="a table of the tests", columns=columns, primary_key=("id",),
    )  # fmt: skip


def rows(*keys: str) -> pa.Table:
    return pa.table({"id": list(keys), "code": [f"{key}{n}" for n, key in enumerate(keys)]})


def test_unchanged_rows_with_a_changed_key_are_asked_too() -> None:
    every = rows("a", "b", "c", "d", "e", "b")
    changed = rows("b")
    assert _keys(contract(), changed, every)["id"].to_pylist() == ["b", "b"]


@pytest.mark.parametrize(("other", "passed"), [("b", False), ("f", True)])
def test_a_changed_key_that_another_row_has_is_refused(other: str, passed: bool) -> None:
    every = rows("a", "b", "c", "d", "e", other)
    changed = rows("b")
    assert audit(contract(), changed, _keys(contract(), changed, every), every).passed is passed


def test_where_another_column_must_be_unique_all_rows_are_asked() -> None:
    every = rows("a", "b", "c")
    assert _keys(contract(unique=True), rows("b"), every) is every
