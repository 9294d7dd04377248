"""Visits and abandoned carts of the stream beside those of batch."""

from __future__ import annotations

import dagster as dg

from c360.errors import C360Error
from c360.streams.journeys import CARTS, SESSIONS, journey_parity
from c360_assets.factory import failure
from c360_assets.quality.parity import parity_result
from c360_assets.resources.lake import LakehouseResource
from c360_assets.specs import asset_key

CHECK = "equals_batch"


def equals_batch(name: str) -> dg.AssetChecksDefinition:
    """The check of one table."""

    @dg.asset_check(
        asset=asset_key(name),
        name=CHECK,
        description="As of the newest moment that both have reached, the rows are those that silver gives by DuckDB.",
    )
    def check(lakehouse: LakehouseResource) -> dg.AssetCheckResult:
        try:
            with lakehouse.open() as lake:
                return parity_result(journey_parity(lake, name))
        except C360Error as error:
            raise failure(error) from error

    return check


@dg.definitions
def journeys() -> dg.Definitions:
    """A check for each table."""
    return dg.Definitions(asset_checks=[equals_batch(name) for name in (SESSIONS, CARTS)])
