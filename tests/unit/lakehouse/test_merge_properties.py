"""Merge and replace against a plain dictionary, over any keys, any partitioning and any split into files."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from c360.contracts import Column, Contract, PartitionBy, to_arrow
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from tests.unit.lakehouse.shapes import commit, contract

KEYS: dict[str, st.SearchStrategy[Any]] = {
    "long": st.integers(-3, 12),
    "string": st.sampled_from(["", "a", "ab", "b", "ß", "\U0001f642", "x" * 20, "x" * 20 + "y", "x" * 16]),
    "double": st.sampled_from([0.0, -0.0, 1.5, -2.5, math.nan, math.inf, -math.inf, 1e300]),
    "decimal(12,2)": st.integers(-500, 500).map(lambda n: Decimal(n) / 100),
    "date": st.integers(0, 40).map(lambda n: date(1969, 12, 20) + timedelta(days=n)),
    "timestamp": st.integers(0, 40).map(lambda n: datetime(1969, 12, 31, 23, tzinfo=UTC) + timedelta(hours=n)),
}
PARTITIONINGS = {
    "none": (),
    "by another column": (PartitionBy("day", "month"),),
    "by bucket of the key": (PartitionBy("key", "bucket[3]"),),
    "by the key": (PartitionBy("key", "identity"),),
}


def shape(kind: str, partitioning: tuple[PartitionBy, ...], name: str) -> Contract:
    columns = (
        Column("key", kind, required=True),
        Column("part", "int", required=True),
        Column("day", "date"),
        Column("value", "double"),
        Column("text", "string"),
    )
    return contract(columns, name=name, partitioning=partitioning, primary_key=("part",))


def row(kind: str) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(
        KEYS[kind],
        st.integers(0, 1),
        st.none() | st.integers(0, 70).map(lambda n: date(2024, 1, 1) + timedelta(days=n)),
        st.none() | st.sampled_from([0.5, math.nan, -1.0]),
        st.none() | st.sampled_from(["", "p", "q"]),
    )


def same(value: Any) -> Any:
    """Equal values, equal tokens: NaN is itself, and minus zero is zero."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else value + 0.0
    return value


def token(row: tuple[Any, ...], width: int | None = None) -> tuple[Any, ...]:
    return tuple(same(value) for value in row[:width])


def table_of(rows: list[tuple[Any, ...]], of: Contract) -> pa.Table:
    schema = to_arrow(of)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def tokens(table: pa.Table) -> Counter[tuple[Any, ...]]:
    return Counter(token(tuple(row.values())) for row in table.to_pylist())


@pytest.fixture(scope="module")
def shared() -> Any:
    with TemporaryDirectory() as folder, Lakehouse(Settings(home=Path(folder))) as lake:
        yield lake


def made(lake: Lakehouse, kind: str, partitioning: str) -> Contract:
    of = shape(kind, PARTITIONINGS[partitioning], f"silver.t{CASES.index((kind, partitioning))}")
    lake.ensure(of)
    return of


def fill(lake: Lakehouse, of: Contract, rows: list[tuple[Any, ...]], cut: int) -> None:
    """Make ``rows`` all that the table holds, in two groups of files."""
    with lake.stage(of.name, commit()) as staged:
        staged.overwrite(table_of(rows[:cut], of))
        staged.append(table_of(rows[cut:], of))
        staged.publish()


def unique(rows: list[tuple[Any, ...]], width: int) -> list[tuple[Any, ...]]:
    return list({token(row, width): row for row in rows}.values())


CASES = [
    *((kind, "none") for kind in KEYS),
    # No table is partitioned by a floating column: Iceberg has no expression that finds a NaN partition.
    *((kind, "by the key") for kind in ("string", "date", "timestamp", "decimal(12,2)")),
    *((kind, name) for kind in ("long", "string") for name in ("by another column", "by bucket of the key")),
]
few = hypothesis_settings(
    max_examples=5,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize(("kind", "partitioning"), CASES)
@few
@given(data=st.data())
def test_merge_gives_what_a_dictionary_gives(
    shared: Lakehouse, kind: str, partitioning: str, data: st.DataObject
) -> None:
    lake, width = shared, data.draw(st.integers(1, 2), label="key columns")
    of = made(lake, kind, partitioning)
    on = ["key", "part"][:width]
    existing = unique(data.draw(st.lists(row(kind), max_size=14), label="existing"), width)
    fill(lake, of, existing, data.draw(st.integers(0, len(existing)), label="files cut at"))
    expected = {token(r, width): token(r) for r in existing}
    for turn in range(2):
        rows = unique(data.draw(st.lists(row(kind), max_size=8), label=f"merge {turn}"), width)
        with lake.stage(of.name, commit()) as staged:
            result = staged.merge(table_of(rows, of), on)
            staged.publish()
        assert result.inserted == sum(token(r, width) not in expected for r in rows)
        assert result.inserted + result.replaced + result.unchanged == len(rows)
        assert result.deleted == 0
        expected |= {token(r, width): token(r) for r in rows}
        assert tokens(lake.read(of.name)) == Counter(expected.values())
    with lake.stage(of.name, commit()) as staged:
        again = staged.merge(table_of(rows, of), on)
    assert (again.added, again.removed, again.unchanged) == ([], [], len(rows))


@pytest.mark.parametrize(("kind", "partitioning"), CASES)
@few
@given(data=st.data())
def test_replace_leaves_exactly_the_given_rows_in_its_scope(
    shared: Lakehouse, kind: str, partitioning: str, data: st.DataObject
) -> None:
    lake, of = shared, made(shared, kind, partitioning)
    existing = data.draw(st.lists(row(kind), max_size=14), label="existing")
    fill(lake, of, existing, data.draw(st.integers(0, len(existing)), label="files cut at"))
    rows = data.draw(st.lists(row(kind), max_size=6), label="rows")
    more = data.draw(st.lists(KEYS[kind], max_size=6), label="more scope")
    scope = [*(r[0] for r in rows), *more]
    keys = pa.table({"key": pa.array(scope, to_arrow(of).field("key").type)})
    with lake.stage(of.name, commit()) as staged:
        staged.replace(table_of(rows, of), ["key"], keys)
        staged.publish()
    inside = {same(key) for key in scope}
    expected = Counter(token(r) for r in existing if same(r[0]) not in inside) + Counter(token(r) for r in rows)
    assert tokens(lake.read(of.name)) == expected
    with lake.stage(of.name, commit()) as staged:
        again = staged.replace(table_of(rows, of), ["key"], keys)
    assert (again.added, again.removed, again.unchanged) == ([], [], len(rows))


@pytest.mark.parametrize(("kind", "partitioning"), CASES)
@few
@given(data=st.data())
def test_replace_by_nothing_empties_its_scope(
    shared: Lakehouse, kind: str, partitioning: str, data: st.DataObject
) -> None:
    """No rows may be a table without any chunk, in which PyIceberg's transform to buckets found nothing to work on."""
    lake, of = shared, made(shared, kind, partitioning)
    key = data.draw(KEYS[kind], label="key")
    fill(lake, of, [(key, 0, None, None, "p"), (key, 1, None, 0.5, "q")], 1)
    with lake.stage(of.name, commit()) as staged:
        staged.replace(table_of([], of), ["key"], pa.table({"key": pa.array([key], to_arrow(of).field("key").type)}))
        staged.publish()
    assert tokens(lake.read(of.name)) == Counter()
