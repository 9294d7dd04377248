"""What the oracle reads: the generator's clean truth, in DuckDB under the specified types."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import duckdb

_TYPES: Mapping[str, pa.DataType] = {
    "text": pa.string(),
    "date": pa.date32(),
    "moment": pa.timestamp("us", tz="UTC"),
    "money": pa.decimal128(12, 2),
    "double": pa.float64(),
    "long": pa.int64(),
    "boolean": pa.bool_(),
}

_COLUMNS = {
    "customers": "customer_id first_name last_name email phone birth_date:date location_id language loyalty_tier "
    "acquisition_channel registered_at:moment updated_at:moment",
    "locations": "location_id street city postal_code region country_code latitude:double longitude:double "
    "updated_at:moment",
    "consents": "customer_id purpose granted:boolean source updated_at:moment",
    "products": "product_id product_name category subcategory brand unit_price:money unit_cost:money "
    "weight_kg:double status introduced_at:moment updated_at:moment",
    "stock": "movement_id product_id warehouse movement_type quantity:long moved_at:moment",
    "orders": "order_id customer_id ordered_at:moment status channel location_id currency shipping_amount:money "
    "updated_at:moment",
    "order_items": "order_item_id order_id line_number:long product_id quantity:long unit_price:money "
    "discount_amount:money returned_quantity:long updated_at:moment",
    "transactions": "transaction_id order_id transaction_type amount:money currency method status occurred_at:moment",
    "shipments": "shipment_id order_id carrier service_level warehouse location_id status shipped_at:moment "
    "promised_at:moment delivered_at:moment shipping_cost:money weight_kg:double updated_at:moment",
    "events": "event_id event_type event_timestamp:moment source_system customer_id session_id product_id order_id "
    "device payload schema_version:long",
}


def _field(name: str, kind: str) -> pa.Field[pa.DataType]:
    return pa.field(name, _TYPES[kind or "text"])


SCHEMAS: Mapping[str, pa.Schema] = {
    entity: pa.schema([_field(*part.partition(":")[::2]) for part in columns.split()])
    for entity, columns in _COLUMNS.items()
}
"""The silver business columns of every entity, in order."""

VERSIONED = ("locations", "orders", "order_items", "shipments")
KEYS: Mapping[str, tuple[str, ...]] = {
    "customers": ("customer_id", "updated_at"),
    "locations": ("location_id", "updated_at"),
    "consents": ("customer_id", "purpose", "updated_at"),
    "products": ("product_id", "updated_at"),
    "stock": ("movement_id",),
    "orders": ("order_id", "updated_at"),
    "order_items": ("order_item_id", "updated_at"),
    "transactions": ("transaction_id", "occurred_at"),
    "shipments": ("shipment_id", "updated_at"),
    "events": ("event_id",),
}
"""Primary keys: a clean truth that breaks them is no truth."""


def read_truth(truth: Path) -> dict[str, pa.Table]:
    """The tables of ``<truth>/clean``, in the specified column order and types.

    Raises AssertionError where a file or column is missing, or a value does not fit the type.
    """
    return {entity: _shaped(entity, pq.read_table(truth / "clean" / f"{entity}.parquet")) for entity in SCHEMAS}


def _shaped(entity: str, table: pa.Table) -> pa.Table:
    schema = SCHEMAS[entity]
    missing = [name for name in schema.names if name not in table.column_names]
    assert not missing, f"the clean truth of {entity} lacks {missing}; it has {table.column_names}"
    return table.select(schema.names).cast(schema)


def load(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> None:
    """Put the silver tables, and a ``latest_<entity>`` view of each versioned one, into the connection.

    Moments become naive UTC timestamps, so that no time zone data is needed. Raises AssertionError on duplicate or
    null primary keys.
    """
    for entity, schema in SCHEMAS.items():
        naive = pa.schema([(f.name, pa.timestamp("us") if pa.types.is_timestamp(f.type) else f.type) for f in schema])
        connection.register("incoming", _shaped(entity, tables[entity]).cast(naive))
        connection.execute(f"CREATE TABLE {entity} AS SELECT * FROM incoming")
        connection.unregister("incoming")
        keys = KEYS[entity]
        broken = connection.execute(
            f"SELECT {', '.join(keys)}, count(*) FROM {entity} GROUP BY ALL "
            f"HAVING count(*) > 1 OR {' OR '.join(f'{key} IS NULL' for key in keys)} LIMIT 5"
        ).fetchall()
        assert not broken, f"the clean truth of {entity} breaks its primary key {keys}, for instance {broken}"
    for entity in VERSIONED:
        connection.execute(
            f"CREATE TABLE latest_{entity} AS SELECT * FROM {entity} QUALIFY row_number() OVER "
            f"(PARTITION BY {KEYS[entity][0]} ORDER BY updated_at DESC) = 1"
        )
    connection.execute(
        "CREATE TABLE latest_transactions AS SELECT * FROM transactions QUALIFY row_number() OVER "
        "(PARTITION BY transaction_id ORDER BY occurred_at DESC) = 1"
    )
