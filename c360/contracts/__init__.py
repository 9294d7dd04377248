"""Data contracts: each table is described once, in its YAML; everything else about its shape is compiled from there."""

from __future__ import annotations

from c360.contracts.evolution import breaking_changes
from c360.contracts.expectations import audited_columns, to_expectations, to_frame
from c360.contracts.loader import get_contract, load_contracts
from c360.contracts.model import Column, Contract, PartitionBy, Rule, Source
from c360.contracts.schema import to_arrow, to_iceberg_schema, to_partition_spec, to_properties

__all__ = [
    "Column",
    "Contract",
    "PartitionBy",
    "Rule",
    "Source",
    "audited_columns",
    "breaking_changes",
    "get_contract",
    "load_contracts",
    "to_arrow",
    "to_expectations",
    "to_frame",
    "to_iceberg_schema",
    "to_partition_spec",
    "to_properties",
]
