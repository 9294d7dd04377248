"""Arrow and Iceberg agree with each other, proven by a real catalog."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.io.pyarrow import schema_to_pyarrow

from c360.contracts import (
    Contract,
    get_contract,
    load_contracts,
    to_arrow,
    to_iceberg_schema,
    to_partition_spec,
    to_properties,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ALL = list(load_contracts().values())
VALUES = {
    "string": "é",
    "int": 2**31 - 1,
    "long": 2**63 - 1,
    "double": 0.1,
    "boolean": True,
    "date": date(2025, 3, 14),
    "timestamp": datetime(2025, 3, 14, 9, 26, 53, 589793, UTC),
}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlCatalog]:
    folder = tmp_path_factory.mktemp("lake")
    catalog = SqlCatalog("lake", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}/warehouse")
    for layer in ("bronze", "silver", "gold"):
        catalog.create_namespace(layer)
    yield catalog
    catalog.close()


@pytest.mark.parametrize("contract", ALL, ids=lambda c: c.name)
def test_iceberg_gives_back_the_arrow_schema(contract: Contract) -> None:
    arrow = to_arrow(contract)
    seen = schema_to_pyarrow(to_iceberg_schema(contract), include_field_ids=False)
    # PyIceberg states text as large_string, the same type to Iceberg.
    plain = [f.with_type(pa.string()) if f.type == pa.large_string() else f for f in seen]
    assert [(f.name, f.type, f.nullable) for f in plain] == [(f.name, f.type, f.nullable) for f in arrow]


@pytest.mark.parametrize("name", ["bronze.orders", "silver.orders", "gold.fact_sales", "gold.dim_location"])
def test_a_row_survives_a_real_table(name: str, catalog: SqlCatalog) -> None:
    contract = get_contract(name)
    schema = to_iceberg_schema(contract)
    spec = to_partition_spec(contract, schema)
    table = catalog.create_table(name, schema, partition_spec=spec, properties=to_properties(contract))
    decimals = {c.type for c in contract.columns if c.type.startswith("decimal")}
    values = {**VALUES, **{type_: Decimal("-12.34") for type_ in decimals}}
    full = {c.name: values[c.type] for c in contract.columns}
    sparse = {c.name: values[c.type] if c.required else None for c in contract.columns}
    written = pa.Table.from_pylist([full, sparse], schema=to_arrow(contract))

    table.append(written)

    read = catalog.load_table(name)
    assert read.scan().to_arrow().cast(to_arrow(contract)).sort_by(contract.primary_key[0]).to_pylist() == (
        written.to_pylist()
    )
    assert [f.field_id for f in read.schema().fields] == list(range(1, len(contract.columns) + 1))
    assert read.schema().identifier_field_names() == set(contract.primary_key)
    assert read.format_version == 2
    assert read.schema().find_field(contract.names[0]).doc == contract.columns[0].description


def test_a_null_in_a_required_column_is_refused(catalog: SqlCatalog) -> None:
    contract = get_contract("silver.stock")
    table = catalog.create_table(contract.name, to_iceberg_schema(contract))
    with pytest.raises(ValueError, match="Mismatch in fields"):
        table.append(pa.table({f.name: pa.nulls(1, f.type) for f in to_arrow(contract)}))


def test_partitions_are_named_as_spark_names_them() -> None:
    names = {}
    for contract in ALL:
        spec = to_partition_spec(contract, to_iceberg_schema(contract))
        names[contract.name] = [(field.name, str(field.transform)) for field in spec.fields]
    assert names["bronze.events"] == [("_batch_date", "identity")]
    assert names["silver.transactions"] == [("occurred_at_month", "month")]
    assert names["silver.rejected"] == [("source_table", "identity")]
    assert names["gold.fact_sales"] == [("ordered_at_month", "month")]
    assert names["silver.customers"] == []


def test_the_spec_follows_the_ids_of_a_table_that_evolved(catalog: SqlCatalog) -> None:
    contract = get_contract("silver.events")
    table = catalog.create_table("silver.evolved", to_iceberg_schema(get_contract("silver.stock")))
    with table.update_schema(allow_incompatible_changes=True) as update:
        update.union_by_name(to_iceberg_schema(contract))
    spec = to_partition_spec(contract, table.schema())
    assert table.schema().find_column_name(spec.fields[0].source_id) == "event_timestamp"


def test_properties_carry_version_owner_and_retention() -> None:
    properties = to_properties(get_contract("silver.orders"))
    assert properties["format-version"] == "2"
    assert properties["write.parquet.compression-codec"] == "zstd"
    assert properties["commit.retry.num-retries"] == "20"
    assert properties["commit.retry.min-wait-ms"] == "50"
    assert properties["owner"] == "sales-data"
    assert properties["c360.contract-version"] == "1.0.0"
    assert properties["c360.retention-days"] == "730"


def test_contracts_import_nothing_heavy() -> None:
    code = (
        "import sys, c360.contracts\n"
        "heavy = {'pyarrow', 'pyiceberg', 'pandas', 'great_expectations', 'jsonschema', 'pyspark', 'polars'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
