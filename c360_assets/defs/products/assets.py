"""The tables of the products domain, from landing files to gold."""

from __future__ import annotations

import dagster as dg

from c360_assets.factory import bronze_asset, gold_asset, silver_asset


@dg.definitions
def products() -> dg.Definitions:
    """Bronze, silver and gold assets of the domain."""
    return dg.Definitions(
        assets=[
            bronze_asset("bronze.products"),
            silver_asset("silver.products"),
            bronze_asset("bronze.stock"),
            silver_asset("silver.stock"),
            gold_asset("gold.dim_product"),
            gold_asset("gold.product_performance"),
        ]
    )
