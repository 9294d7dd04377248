"""Batch beside the features: every table of features compared with what Spark makes of the history of the shop."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg

from c360.cdc.contracts import BRONZE
from c360.errors import C360Error
from c360.streams.features import load_features
from c360_assets.features.catalogue import FEATURES, FeatureTable
from c360_assets.resources.lake import LakehouseResource
from c360_assets.resources.spark import SparkResource
from c360_assets.specs import asset_key, known_contract

if TYPE_CHECKING:
    from c360.streams.parity import Difference

PARITY = "features_equal_batch"


def compared() -> Iterator[FeatureTable]:
    """The tables of features that streams write and that batch makes too."""
    return (table for name, table in FEATURES.items() if name in load_features())


def parity_result(found: "Difference") -> dg.AssetCheckResult:
    """A comparison as a check: red where it is not explained; which entities have moved on is told beside it."""
    moment = "nothing yet" if found.as_of is None else f"as of {found.as_of.isoformat()}"
    return dg.AssetCheckResult(
        passed=found.unexplained == 0,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{found.table}, {moment}: {found.total} of {found.compared} differ, "
        f"{found.pending.height} of them have moved on",
        metadata={
            "as_of": moment,
            "compared": found.compared,
            "missing": found.missing.height,
            "surplus": found.surplus.height,
            "changed": found.changed.height,
            "moved_on": found.pending.height,
            "examples": dg.MetadataValue.json(found.examples()),
        },
    )


def parity_check(table: FeatureTable) -> dg.AssetChecksDefinition:
    """The check of one table."""

    @dg.asset_check(
        asset=asset_key(table.name),
        name=PARITY,
        description="The rows that hold are those that Spark makes of the shop's history, as of a moment both reached.",
        additional_deps=[asset_key(name) for name in table.tables if known_contract(name)],
    )
    def features_equal_batch(lakehouse: LakehouseResource, spark: SparkResource) -> dg.AssetCheckResult:
        from c360_assets.features.parity import feature_parity

        try:
            with spark.session() as session:
                return parity_result(feature_parity(lakehouse.open(), session, table.name))
        except C360Error as error:
            raise dg.Failure(error.problem, metadata={"mend": error.mend}, allow_retries=False) from error

    return features_equal_batch


@dg.definitions
def feature_checks() -> dg.Definitions:
    """A check for each table, one job for all, and its hourly schedule."""
    tables = list(compared())
    checks = [parity_check(table) for table in tables]
    job = dg.define_asset_job(
        "feature_parity",
        selection=dg.AssetSelection.groups("shop")
        | dg.AssetSelection.checks(*(dg.AssetCheckKey(asset_key(table.name), PARITY) for table in tables)),
        description="Bring silver up to the shop, then compare every table of features with batch.",
        executor_def=dg.in_process_executor,
    )

    @dg.schedule(
        job=job,
        cron_schedule="27 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every hour, once the streams have written.",
    )
    def hourly_feature_parity(lakehouse: LakehouseResource) -> dg.RunRequest | dg.SkipReason:
        lake = lakehouse.open()
        needed = {BRONZE, *(table.name for table in tables)}
        missing = sorted(name for name in needed if not lake.exists(name))
        return dg.SkipReason(f"not written yet: {', '.join(missing)}") if missing else dg.RunRequest()

    return dg.Definitions(asset_checks=checks, jobs=[job], schedules=[hourly_feature_parity])
