"""The sales domain: orders, their items and payments, from landing files to gold."""

from __future__ import annotations

import dagster as dg

from c360_assets.factory import domain_assets


@dg.definitions
def sales() -> dg.Definitions:
    """Bronze, silver and gold assets of the domain."""
    return domain_assets("sales")
