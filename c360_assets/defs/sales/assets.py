"""The tables of the sales domain, from landing files to gold."""

from __future__ import annotations

import dagster as dg

from c360_assets.factory import bronze_asset, gold_asset, silver_asset


@dg.definitions
def sales() -> dg.Definitions:
    """Bronze, silver and gold assets of the domain."""
    return dg.Definitions(
        assets=[
            bronze_asset("bronze.orders"),
            silver_asset("silver.orders"),
            bronze_asset("bronze.order_items"),
            silver_asset("silver.order_items"),
            bronze_asset("bronze.transactions"),
            silver_asset("silver.transactions"),
            gold_asset("gold.dim_location"),
            gold_asset("gold.dim_date"),
            gold_asset("gold.fact_sales"),
            gold_asset("gold.sales_daily"),
        ]
    )
