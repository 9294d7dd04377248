"""Batch beside the features: every table of features compared with what Spark makes of the history of the shop."""

import dagster as dg

from c360.cdc.contracts import BRONZE
from c360.errors import C360Error
from c360_assets.factory import failure
from c360_assets.features.catalogue import FEATURES, FeatureTable
from c360_assets.quality.parity import parity_result
from c360_assets.resources.lake import LakehouseResource
from c360_assets.resources.spark import SparkResource
from c360_assets.specs import asset_key

PARITY = "features_equal_batch"


def parity_check(table: FeatureTable) -> dg.AssetChecksDefinition:
    """The check of one table."""

    @dg.asset_check(
        asset=asset_key(table.name),
        name=PARITY,
        description="The rows that hold are those that Spark makes of the shop's history, as of a moment both reached.",
        additional_deps=[asset_key(name) for name in table.history],
    )
    def features_equal_batch(lakehouse: LakehouseResource, spark: SparkResource) -> dg.AssetCheckResult:
        from c360_assets.features.parity import feature_parity

        try:
            with spark.session() as session:
                return parity_result(feature_parity(lakehouse.open(), session, table.name))
        except C360Error as error:
            raise failure(error) from error

    return features_equal_batch


@dg.definitions
def feature_checks() -> dg.Definitions:
    """A check for each table, one job for all, and its hourly schedule."""
    checks = [parity_check(table) for table in FEATURES.values()]
    job = dg.define_asset_job(
        "feature_parity",
        selection=dg.AssetSelection.groups("shop")
        | dg.AssetSelection.checks(*(dg.AssetCheckKey(asset_key(name), PARITY) for name in FEATURES)),
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
        needed = {BRONZE, *FEATURES}
        missing = sorted(name for name in needed if not lake.exists(name))
        return dg.SkipReason(f"not written yet: {', '.join(missing)}") if missing else dg.RunRequest()

    return dg.Definitions(asset_checks=checks, jobs=[job], schedules=[hourly_feature_parity])
