"""What must be true of the shop's tables in silver, asked by another engine than the one that made them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from c360.cdc.contracts import current_name, history_name
from c360.cdc.schema import NAMES, shop_tables
from c360_assets.resources.lake import LakehouseResource
from c360_assets.specs import CATALOG_POOL, asset_key

if TYPE_CHECKING:
    from c360.cdc.audit import Finding

WITH_VERSIONS = ("customers", "products")
"""Tables whose versions feed slowly changing dimensions."""


def _result(finding: Finding, good: str, bad: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=finding.passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description=good if finding.passed else bad,
        metadata=dict(finding.figures),
    )


def account_check(name: str) -> dg.AssetChecksDefinition:
    """Every message of bronze became something."""

    @dg.asset_check(
        asset=asset_key(history_name(name)),
        name="every_message_accounted_for",
        description="Messages in bronze = history + repeated + tombstones + silent ones + dead letters, by position.",
        pool=CATALOG_POOL,
        blocking=True,
    )
    def every_message_accounted_for(lakehouse: LakehouseResource) -> dg.AssetCheckResult:
        from c360.cdc.audit import account

        with lakehouse.open() as lake:
            found = account(lake, name)
        return _result(found, "balanced", f"{found.figures.get('unaccounted')} messages unaccounted for")

    return every_message_accounted_for


def fields_check(name: str) -> dg.AssetChecksDefinition:
    """The contract knows all that the shop tells."""

    @dg.asset_check(
        asset=asset_key(history_name(name)),
        name="contract_knows_every_field",
        description="No field of the messages is unknown to the contract; unknown ones are kept in the column more.",
        pool=CATALOG_POOL,
    )
    def contract_knows_every_field(lakehouse: LakehouseResource) -> dg.AssetCheckResult:
        from c360.cdc.audit import unknown_fields

        with lakehouse.open() as lake:
            found = unknown_fields(lake, name)
        return dg.AssetCheckResult(
            passed=not found,
            severity=dg.AssetCheckSeverity.WARN,
            description="all fields are known" if not found else f"unknown: {', '.join(found)}",
            metadata={
                **{f"rows_with/{field}": count for field, count in found.items()},
                **(
                    {"mend": f"add them to the contract silver.{name}, then materialise with full_refresh"}
                    if found
                    else {}
                ),
            },
        )

    return contract_knows_every_field


def rows_check(name: str) -> dg.AssetChecksDefinition:
    """The rows are the last state of the history."""

    @dg.asset_check(
        asset=asset_key(current_name(name)),
        name="equals_last_of_history",
        description="Each key once, with all columns as in the newest change of the history, and no deleted row.",
        pool=CATALOG_POOL,
        blocking=True,
    )
    def equals_last_of_history(lakehouse: LakehouseResource) -> dg.AssetCheckResult:
        from c360.cdc.audit import last_of_history

        with lakehouse.open() as lake:
            found = last_of_history(lake, name)
        return _result(found, "equal", "the rows are not what the history says")

    return equals_last_of_history


def versions_check(name: str) -> dg.AssetChecksDefinition:
    """The versions that a slowly changing dimension would hold fit together."""

    @dg.asset_check(
        asset=asset_key(current_name(name)),
        name="open_versions_are_the_rows",
        description="Versions (SCD2) made of the history do not overlap, and those that hold now are the rows.",
        pool=CATALOG_POOL,
    )
    def open_versions_are_the_rows(lakehouse: LakehouseResource) -> dg.AssetCheckResult:
        import polars as pl

        from c360.cdc.state import versions

        table = shop_tables()[name]
        with lakehouse.open() as lake:
            last = lake.last_commit(current_name(name))
            if last is None:
                return dg.AssetCheckResult(passed=True, description="there are no rows yet")
            rows = pl.DataFrame(lake.read(current_name(name), table.names, snapshot_id=last.snapshot_id))
            history = lake.read(history_name(name), snapshot_id=last.sources[history_name(name)])
        found = versions(pl.DataFrame(history), table)
        overlaps = found.filter(pl.col("valid_from") < pl.col("valid_to").shift(1).over(table.key)).height
        now = found.filter(pl.col("valid_to").is_null()).select(table.names).sort(table.key)
        equal = now.equals(rows.sort(table.key))
        return dg.AssetCheckResult(
            passed=equal and not overlaps,
            severity=dg.AssetCheckSeverity.ERROR,
            description="whole" if equal and not overlaps else "versions overlap, or are not the rows",
            metadata={"versions": found.height, "open": now.height, "rows": rows.height, "overlaps": overlaps},
        )

    return open_versions_are_the_rows


@dg.definitions
def shop_checks() -> dg.Definitions:
    """The checks of every table."""
    return dg.Definitions(
        asset_checks=[
            *(make(name) for name in NAMES for make in (account_check, fields_check, rows_check)),
            *(versions_check(name) for name in WITH_VERSIONS),
        ]
    )
