from __future__ import annotations

import random
from pathlib import Path
from urllib.parse import urlparse

import pyarrow as pa
import pytest

from c360.contracts import PartitionBy
from c360.errors import LakehouseError
from c360.lakehouse import Lakehouse
from c360.lakehouse.lookup import lookup
from tests.unit.lakehouse.shapes import contract, put, things

NAME = contract().name


def keys(ids: list[int]) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.int64())})


def files(lake: Lakehouse) -> list[Path]:
    return [Path(urlparse(task.file.file_path).path) for task in lake.table(NAME).scan().plan_files()]


@pytest.mark.parametrize("partitioning", [(), (PartitionBy("day", "month"),)], ids=["flat", "by month"])
@pytest.mark.parametrize("seed", range(5))
def test_the_rows_that_a_filter_over_the_whole_table_gives(
    lake: Lakehouse, partitioning: tuple[PartitionBy, ...], seed: int
) -> None:
    chance = random.Random(seed)
    lake.ensure(contract(partitioning=partitioning))
    for _ in range(4):  # ids repeat within and between files, in no order
        put(lake, NAME, things(chance.choices(range(60), k=chance.randint(1, 40)), f"v{seed}-"))
    wanted = chance.sample(range(-5, 70), k=chance.randint(1, 30))
    expected = [row for row in lake.read(NAME).to_pylist() if row["id"] in set(wanted)]
    found = lookup(lake, NAME, keys([*wanted, wanted[0]]))
    assert sorted(found.to_pylist(), key=str) == sorted(expected, key=str)
    by_name = lookup(lake, NAME, found.select(["name"]))
    assert sorted(by_name.to_pylist(), key=str) == sorted(expected, key=str)


def test_files_that_cannot_hold_a_key_are_not_opened(lake: Lakehouse) -> None:
    lake.ensure(contract())
    put(lake, NAME, things(range(100)))
    [first] = files(lake)
    put(lake, NAME, things(range(100, 200)))
    first.unlink()
    assert lookup(lake, NAME, keys([150, 250])).to_pylist() == things([150]).to_pylist()
    with pytest.raises((LakehouseError, FileNotFoundError)):
        lookup(lake, NAME, keys([50]))


def test_no_keys_and_no_rows(lake: Lakehouse) -> None:
    lake.ensure(contract())
    assert lookup(lake, NAME, keys([1])).num_rows == 0
    put(lake, NAME, things([1]))
    found = lookup(lake, NAME, keys([]))
    assert (found.num_rows, found.schema) == (0, lake.read(NAME).schema)
