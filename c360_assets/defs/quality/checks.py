"""Nothing is dropped silently: every bronze record is in silver, repeated or refused, counted on the tables."""

from __future__ import annotations

from typing import Any

import dagster as dg

from c360.contracts import load_contracts
from c360_assets.resources.lake import LakehouseResource
from c360_assets.specs import CATALOG_POOL, asset_key, is_conformed, is_streamed


def balance_check(name: str) -> dg.AssetChecksDefinition:
    """Received = accepted + deduplicated + rejected, for one silver table."""

    @dg.asset_check(
        asset=asset_key(name),
        name="every_record_accounted_for",
        description="Bronze records = silver rows + repeated records + refused records, by the files bronze holds.",
        pool=CATALOG_POOL,
        blocking=True,
    )
    def every_record_accounted_for(lakehouse: LakehouseResource) -> dg.AssetCheckResult:
        from c360_assets.pipeline.silver import counts

        found: dict[str, Any] = counts(lakehouse.open(), name)
        missing = found["received"] - found["accepted"] - found["deduplicated"] - found["rejected"]
        return dg.AssetCheckResult(
            passed=missing == 0,
            severity=dg.AssetCheckSeverity.ERROR,
            description="balanced" if missing == 0 else f"{missing} records unaccounted for",
            metadata={**found, "unaccounted": missing},
        )

    return every_record_accounted_for


@dg.definitions
def balance_checks() -> dg.Definitions:
    """One balance check per silver table that has a bronze source."""
    return dg.Definitions(
        asset_checks=[
            balance_check(name)
            for name, contract in load_contracts().items()
            if is_conformed(contract) and not is_streamed(name)
        ]
    )
