"""The tables of the logistics domain, from landing files to gold."""

from __future__ import annotations

import dagster as dg

from c360_assets.factory import bronze_asset, gold_asset, silver_asset


@dg.definitions
def logistics() -> dg.Definitions:
    """Bronze, silver and gold assets of the domain."""
    return dg.Definitions(
        assets=[
            bronze_asset("bronze.shipments"),
            silver_asset("silver.shipments"),
            gold_asset("gold.fact_logistics"),
            gold_asset("gold.delivery_performance"),
        ]
    )
