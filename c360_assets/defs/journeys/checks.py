"""Visits and abandoned carts of the stream beside those of batch."""

from __future__ import annotations

import dagster as dg

from c360.errors import C360Error
from c360_assets.resources.lake import LakehouseResource
from c360_assets.specs import asset_key

CHECK = "equals_batch"
TABLES = ("features.customer_sessions", "features.abandoned_carts")


def equals_batch(name: str) -> dg.AssetChecksDefinition:
    """The check of one table."""

    @dg.asset_check(
        asset=asset_key(name),
        name=CHECK,
        description="As of the newest moment that both have reached, the rows are those that silver gives by DuckDB.",
    )
    def check(lakehouse: LakehouseResource) -> dg.AssetCheckResult:
        from c360.streams.journeys import journey_parity

        try:
            with lakehouse.open() as lake:
                found = journey_parity(lake, name)
        except C360Error as error:
            raise dg.Failure(error.problem, metadata={"mend": error.mend}, allow_retries=False) from error
        return dg.AssetCheckResult(
            passed=found.total == 0,
            description=f"{name}: {found.total} of {found.compared} differ as of {found.as_of}",
            metadata={
                "as_of": str(found.as_of),
                "compared": found.compared,
                "missing": found.missing.height,
                "surplus": found.surplus.height,
                "changed": found.changed.height,
                "examples": dg.MetadataValue.json([{k: str(v) for k, v in each.items()} for each in found.examples()]),
            },
        )

    return check


@dg.definitions
def journeys() -> dg.Definitions:
    """A check for each table."""
    return dg.Definitions(asset_checks=[equals_batch(name) for name in TABLES])
