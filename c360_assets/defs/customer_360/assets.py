"""The wide table this product exists for."""

from __future__ import annotations

import dagster as dg

from c360_assets.factory import gold_asset


@dg.definitions
def customer_360() -> dg.Definitions:
    """One row per customer, drawn from every domain."""
    return dg.Definitions(assets=[gold_asset("gold.customer_360")])
