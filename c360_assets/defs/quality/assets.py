"""What silver did not accept: tables fed by every silver asset, shown in the graph as what they are."""

from __future__ import annotations

import dagster as dg

from c360.contracts import get_contract, load_contracts
from c360_assets.specs import asset_key, is_conformed, is_streamed, owner, pii_level, table_schema

SIDE_TABLES = ("silver.rejected", "silver.deduplicated")


@dg.definitions
def quality() -> dg.Definitions:
    """External assets: each silver run appends to them in its own step."""
    feeding = [asset_key(name) for name, c in load_contracts().items() if is_conformed(c) and not is_streamed(name)]
    specs = [
        dg.AssetSpec(
            key=asset_key(name),
            deps=feeding,
            description=contract.description,
            group_name="silver",
            owners=[owner(contract)],
            kinds={"iceberg", "polars"},
            tags={"layer": "silver", "domain": contract.domain, "pii": pii_level(contract)},
            metadata={
                "dagster/column_schema": table_schema(contract),
                "dagster/table_name": f"lake.{name}",
                "contract_version": contract.version,
            },
        )
        for name in SIDE_TABLES
        for contract in [get_contract(name)]
    ]
    return dg.Definitions(assets=specs)
