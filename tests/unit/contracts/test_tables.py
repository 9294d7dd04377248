"""The product's own contracts: complete, and consistent with each other."""

from __future__ import annotations

import re

import pytest

from c360.contracts import Contract, get_contract, load_contracts
from c360.contracts.loader import TABLES
from c360.contracts.standard import read_yaml
from c360.errors import ContractError

ENTITIES = [
    *("consents", "customers", "events", "locations", "order_items"),
    *("orders", "products", "shipments", "stock", "transactions"),
]
GOLD = [
    *(
        "anomaly_alerts",
        "customer_360",
        "customer_activity",
        "customer_value",
        "delivery_performance",
        "dim_customer",
        "dim_date",
        "dim_location",
    ),
    *("dim_product", "fact_logistics", "fact_orders", "fact_sales", "inventory_insights"),
    *("product_performance", "sales_daily"),
]
ALL = list(load_contracts().values())


def of(layer: str) -> list[Contract]:
    return [contract for contract in ALL if contract.layer == layer]


def test_every_table_has_a_contract() -> None:
    assert [c.table for c in of("bronze")] == ENTITIES
    assert [c.table for c in of("silver")] == sorted([*ENTITIES, "deduplicated", "rejected"])
    assert [c.table for c in of("gold")] == GOLD
    assert len(list(TABLES.glob("*/*.yaml"))) == len(ALL)


def test_unknown_table_names_the_known_ones() -> None:
    with pytest.raises(ContractError, match=r"no contract silver\.nothing.*silver\.orders"):
        get_contract("silver.nothing")


def test_contracts_are_read_once() -> None:
    assert load_contracts() is load_contracts()


@pytest.mark.parametrize("contract", ALL, ids=lambda c: c.name)
def test_what_the_asset_graph_and_the_docs_need(contract: Contract) -> None:
    assert re.fullmatch(r"[1-9]\d*\.\d+\.\d+", contract.version)
    assert contract.domain in {"customers", "products", "sales", "logistics", "events", "customer_360", "quality"}
    assert contract.owner
    assert contract.granularity.startswith("One row per")
    assert len(contract.description) > 30
    assert contract.kinds[0] == "iceberg"
    assert contract.retention_days == {"bronze": 90, "silver": 2 * 365, "gold": 7 * 365}[contract.layer]
    assert bool(contract.freshness_hours) == (contract.domain != "quality")
    assert all(len(column.description) > 5 and column.description.endswith((".", ")")) for column in contract.columns)
    assert all(contract.column(name).required for name in contract.primary_key)


@pytest.mark.parametrize("contract", of("bronze"), ids=lambda c: c.name)
def test_bronze_keeps_text_and_position(contract: Contract) -> None:
    assert contract.source is not None
    assert contract.source.entity == contract.table
    assert contract.names[-8:] == (
        *("_raw", "_extra", "_error", "_source_file", "_source_row"),
        *("_file_sha256", "_batch_date", "_ingested_at"),
    )
    assert {(c.type, c.required) for c in contract.columns[:-8]} == {("string", False)}
    assert contract.primary_key == ("_source_file", "_source_row")
    assert [(p.column, p.transform) for p in contract.partitioning] == [("_batch_date", "identity")]


@pytest.mark.parametrize("entity", ENTITIES)
def test_silver_types_exactly_what_bronze_received(entity: str) -> None:
    bronze, silver = get_contract(f"bronze.{entity}"), get_contract(f"silver.{entity}")
    assert [c.source for c in silver.columns[:-3]] == list(bronze.names[:-8])
    assert silver.names[-3:] == ("_source_file", "_source_row", "_batch_date")
    assert silver.upstream == (bronze.name,)
    assert all(column.standardise[:1] in {("trim",), ("nfc",)} for column in silver.columns[:-3])
    assert [c.classification for c in silver.columns[:-3]] == [c.classification for c in bronze.columns[:-8]]
    for column in silver.columns:
        assert ("timestamp_utc" in column.standardise) == (column.type == "timestamp")
    assert silver.business_key == tuple(name for name in silver.primary_key if name != silver.version_column)


def test_shared_columns_are_described_in_one_place() -> None:
    for path in TABLES.glob("*/*.yaml"):
        names = [item["name"] for item in read_yaml(path)["schema"][0]["properties"]]
        assert not [name for name in names if name.startswith("_")], path


def test_gold_allows_the_values_that_silver_allows() -> None:
    pairs = {
        ("dim_customer", "loyalty_tier"): ("customers", "loyalty_tier"),
        ("dim_customer", "acquisition_channel"): ("customers", "acquisition_channel"),
        ("dim_product", "status"): ("products", "status"),
        ("fact_sales", "order_status"): ("orders", "status"),
        ("fact_sales", "sales_channel"): ("orders", "channel"),
        ("fact_sales", "currency"): ("orders", "currency"),
        ("fact_logistics", "status"): ("shipments", "status"),
        ("fact_logistics", "service_level"): ("shipments", "service_level"),
        ("product_performance", "status"): ("products", "status"),
        ("customer_360", "loyalty_tier"): ("customers", "loyalty_tier"),
        ("customer_360", "last_order_status"): ("orders", "status"),
    }
    for (gold, column), (silver, source) in pairs.items():
        assert get_contract(f"gold.{gold}").column(column).enum == get_contract(f"silver.{silver}").column(source).enum


def test_personal_columns_stay_personal_on_their_way_to_gold() -> None:
    marked = {c.name: c.classification for s in of("silver") for c in s.columns if c.classification != "none"}
    for contract in of("gold"):
        for column in contract.columns:
            # The shipping address of an order is personal; the key of the address dimension itself says nothing.
            if column.name in marked and (contract.table, column.name) != ("dim_location", "location_id"):
                assert column.classification == marked[column.name], f"{contract.name}.{column.name}"


def test_examples_obey_their_own_column() -> None:
    for contract in ALL:
        for column in contract.columns:
            for example in column.examples:
                if column.enum:
                    assert example in column.enum
                if column.pattern and contract.layer != "bronze":
                    assert re.search(column.pattern, example)
