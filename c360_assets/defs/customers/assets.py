"""The customers domain: customers, where they live and what they agreed to, from landing files to gold."""

from __future__ import annotations

import dagster as dg

from c360_assets.factory import domain_assets


@dg.definitions
def customers() -> dg.Definitions:
    """Bronze, silver and gold assets of the domain."""
    return domain_assets("customers")
