"""The tables of the customers domain, from landing files to gold."""

from __future__ import annotations

import dagster as dg

from c360_assets.factory import bronze_asset, gold_asset, silver_asset


@dg.definitions
def customers() -> dg.Definitions:
    """Bronze, silver and gold assets of the domain."""
    return dg.Definitions(
        assets=[
            bronze_asset("bronze.customers"),
            silver_asset("silver.customers"),
            bronze_asset("bronze.locations"),
            silver_asset("silver.locations"),
            bronze_asset("bronze.consents"),
            silver_asset("silver.consents"),
            gold_asset("gold.dim_customer"),
            gold_asset("gold.customer_value"),
        ]
    )
