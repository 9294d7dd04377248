"""The tables of the events domain, from landing files to gold."""

from __future__ import annotations

import dagster as dg

from c360_assets.factory import bronze_asset, silver_asset


@dg.definitions
def events() -> dg.Definitions:
    """Bronze, silver and gold assets of the domain."""
    return dg.Definitions(
        assets=[
            bronze_asset("bronze.events"),
            silver_asset("silver.events"),
        ]
    )
