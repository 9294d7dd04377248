"""A contract as Arrow and Iceberg see it.

Heavy libraries are imported where they are used, because every command reads contracts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from c360.contracts.vocabulary import decimal_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.partitioning import PartitionSpec
    from pyiceberg.schema import Schema
    from pyiceberg.types import IcebergType

    from c360.contracts.model import Contract

VERSION_PROPERTY = "c360.contract-version"
RETENTION_PROPERTY = "c360.retention-days"


def to_arrow(contract: Contract) -> pa.Schema:
    """The Arrow schema: required columns are not nullable, timestamps are UTC in microseconds."""
    import pyarrow as pa

    return pa.schema([pa.field(c.name, _arrow_type(c.type), nullable=not c.required) for c in contract.columns])


def to_iceberg_schema(contract: Contract) -> Schema:
    """The Iceberg schema of a new table.

    Field ids are the columns' positions from 1, so they stay as long as columns are only added at the end; the catalog
    keeps the ids of an existing table, which evolves by name. The identifier fields are the primary key.
    """
    from pyiceberg.schema import Schema
    from pyiceberg.types import NestedField

    fields = [
        NestedField(field_id=i, name=c.name, field_type=_iceberg_type(c.type), required=c.required, doc=c.description)
        for i, c in enumerate(contract.columns, start=1)
    ]
    # Iceberg allows only required columns as identifiers. Flink would delete by them what it has just written.
    keyed = contract.writer != "flink" and all(contract.column(name).required for name in contract.primary_key)
    key = [f.field_id for f in fields if f.name in contract.primary_key] if keyed else []
    return Schema(*fields, identifier_field_ids=key)


def to_partition_spec(contract: Contract, schema: Schema) -> PartitionSpec:
    """The partition spec over ``schema``, which may carry other field ids than a new table's."""
    from pyiceberg.partitioning import PARTITION_FIELD_ID_START, PartitionField, PartitionSpec
    from pyiceberg.transforms import parse_transform

    return PartitionSpec(
        *(
            PartitionField(
                source_id=schema.find_field(part.column).field_id,
                field_id=PARTITION_FIELD_ID_START + i,
                transform=parse_transform(part.transform),
                name=_partition_name(part.column, part.transform),
            )
            for i, part in enumerate(contract.partitioning)
        )
    )


ROW_GROUP = 20_000
"""Rows of a row group in gold: what a look-up reads at least; 50 of them in a file of a million rows."""


def to_properties(contract: Contract) -> dict[str, str]:
    """The Iceberg table properties. Retries are many and short: writers of one table meet on a busy laptop catalog."""
    properties = {
        "format-version": "2",
        "write.parquet.compression-codec": "zstd",
        "commit.retry.num-retries": "20",
        "commit.retry.min-wait-ms": "50",
        "comment": contract.description,
        "owner": contract.owner,
        VERSION_PROPERTY: contract.version,
    }
    if contract.layer == "gold":
        # Single customers are looked up as of past moments: whoever wants one row need not unpack a million.
        properties["write.parquet.row-group-limit"] = str(ROW_GROUP)
    if contract.writer == "flink":
        # Files of seconds, full of ids that never repeat: a large dictionary is filled, found useless and thrown away.
        properties |= {"write.parquet.dict-size-bytes": str(128 * 1024), "write.parquet.compression-level": "1"}
    if contract.retention_days is not None:
        properties[RETENTION_PROPERTY] = str(contract.retention_days)
    return {**properties, **contract.properties}


def _partition_name(column: str, transform: str) -> str:
    """Names as Spark gives them, so that a table made by either engine looks the same."""
    return column if transform == "identity" else f"{column}_{transform.partition('[')[0]}"


def _arrow_type(type_: str) -> pa.DataType:
    import pyarrow as pa

    decimal = decimal_of(type_)
    if decimal is not None:
        return pa.decimal128(*decimal)
    types: dict[str, pa.DataType] = {
        "string": pa.string(),
        "int": pa.int32(),
        "long": pa.int64(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
        "binary": pa.binary(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }
    return types[type_]


def _iceberg_type(type_: str) -> IcebergType:
    from pyiceberg import types

    decimal = decimal_of(type_)
    if decimal is not None:
        return types.DecimalType(*decimal)
    known: dict[str, IcebergType] = {
        "string": types.StringType(),
        "int": types.IntegerType(),
        "long": types.LongType(),
        "double": types.DoubleType(),
        "boolean": types.BooleanType(),
        "binary": types.BinaryType(),
        "date": types.DateType(),
        "timestamp": types.TimestamptzType(),
    }
    return known[type_]
