"""The catalogue, the SQL files and the contracts name the same tables."""

from __future__ import annotations

import re

import pytest

from c360.contracts import get_contract, load_contracts
from c360_assets.features.catalogue import FEATURES
from c360_assets.gold import GOLD, GoldTable
from c360_assets.gold.catalogue import DEFS
from c360_assets.gold.query import casts, latest, statement


def test_every_gold_contract_has_a_table_and_every_file_is_used() -> None:
    assert set(GOLD) == {name for name in load_contracts() if name.startswith("gold.")}
    features = {file for table in FEATURES.values() for file in table.files}
    assert {DEFS / table.file for table in GOLD.values()} | features == set(DEFS.glob("*/*.sql"))


def test_each_table_comes_after_its_inputs() -> None:
    built: set[str] = set()
    for table in GOLD.values():
        assert {name for name in table.tables if name.startswith("gold.")} <= built
        built.add(table.name)


@pytest.mark.parametrize("table", GOLD.values(), ids=lambda table: table.name)
def test_the_file_reads_exactly_its_named_inputs(table: GoldTable) -> None:
    code = re.sub(r"--.*", "", table.sql)
    read = set(re.findall(r"\b(?:from|join)\s+([a-z_0-9]+)", code))
    own = set(re.findall(r"\b([a-z_0-9]+) as \(", code))
    unknown_member = {"with_unknown"} if table.unknown_member else set()
    assert read - own == {*table.inputs, *table.carried} | unknown_member
    assert "lake." not in code
    assert not re.search(r"\bcurrent_(date|timestamp)\b|\bnow\(|\brand\(", code), "a transform reads no clock"


@pytest.mark.parametrize("table", GOLD.values(), ids=lambda table: table.name)
def test_the_latest_version_can_be_told(table: GoldTable) -> None:
    for view, source in table.inputs.items():
        if view.startswith("latest_"):
            contract = get_contract(source)
            assert contract.version_column is not None
            assert f"order by {contract.version_column} desc" in latest("t", contract)


@pytest.mark.parametrize("table", GOLD.values(), ids=lambda table: table.name)
def test_the_contract_names_what_the_table_reads(table: GoldTable) -> None:
    # the asset graph is made of the contracts: a missing input may be built after the table that reads it
    assert set(get_contract(table.name).upstream) - {"gold.dim_date"} == set(table.tables)


def test_an_as_of_input_is_an_input_that_depends_on_it() -> None:
    for table in GOLD.values():
        dependent = {name for name in table.tables if name in GOLD and GOLD[name].uses_as_of}
        assert set(table.as_of_inputs) == dependent


def test_the_select_is_cast_to_the_contract_column_by_column() -> None:
    assert casts(get_contract("gold.dim_date"))[:2] == [
        "cast(`date_sk` as int) as `date_sk`",
        "cast(`date` as date) as `date`",
    ]
    assert "cast(`orders` as bigint) as `orders`" in casts(get_contract("gold.customer_value"))


def test_inputs_are_bound_inside_the_statement() -> None:
    assert (
        statement("select * from a", {"a": "select 1"}) == "with a as (select 1)\nselect * from (\nselect * from a\n)"
    )
