"""Batch beside the streams: late events folded in, tables repaired where asked, and the parity of both as checks."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import dagster as dg

from c360.errors import C360Error
from c360.streams.job import METRICS, StreamJob, event_jobs
from c360_assets.factory import failure
from c360_assets.quality.parity import figures
from c360_assets.resources.lake import LakehouseResource
from c360_assets.specs import asset_key

if TYPE_CHECKING:
    from c360.streams.parity import Difference

SILVER_PARITY, METRICS_PARITY = "silver_equals_batch", "metrics_equal_batch"
SPECS = {
    SILVER_PARITY: "Silver holds the rows that bronze gives when it is read again by other code, in all columns.",
    METRICS_PARITY: "Closed windows hold what silver gives by another engine; late events wait for the next run.",
}


class Recompute(dg.Config):
    """``repair``: also replace what differs for no known reason, after its cause was found."""

    repair: bool = False


def recomputed_key(job: StreamJob) -> dg.AssetKey:
    """The asset that stands for the batch form of a stream."""
    return dg.AssetKey(["recomputed", job.name])


def parity_result(job: StreamJob, check: str, found: "Difference") -> dg.AssetCheckResult:
    """A difference as a check: red where it is not explained, a warning where late events wait."""
    waiting = found.total == found.pending.height
    return dg.AssetCheckResult(
        asset_key=recomputed_key(job),
        check_name=check,
        passed=found.total == 0,
        severity=dg.AssetCheckSeverity.WARN if waiting else dg.AssetCheckSeverity.ERROR,
        description=f"{found.table}: {found.total} of {found.compared} differ, {found.pending.height} of them late",
        metadata={
            "table": found.table,
            **figures(found),
            "waiting_for_late_events": found.pending.height,
        },
    )


def recomputed(job: StreamJob) -> dg.AssetsDefinition:
    """The asset and the two checks of one stream."""

    @dg.asset(
        key=recomputed_key(job),
        description=f"{job.description} Computed again by batch: late events folded in, then compared with the stream.",
        group_name="streams",
        kinds={"python", "duckdb"},
        deps=[asset_key(table) for table in job.outputs],
        check_specs=[dg.AssetCheckSpec(name, asset=recomputed_key(job), description=t) for name, t in SPECS.items()],
    )
    def table(
        context: dg.AssetExecutionContext, config: Recompute, lakehouse: LakehouseResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        from c360.streams import parity, repair

        lake = lakehouse.open()
        if not all(lake.exists(name) for name in job.outputs):
            raise dg.Failure(
                f"The stream {job.name} has not written yet",
                metadata={"mend": f"start it: c360 streams start {job.name}"},
                allow_retries=False,
            )
        changed: dict[str, int] = {}
        try:
            if config.repair:
                changed[job.silver.name] = repair.recompute_silver(lake, job, context.run.run_id)
                changed[METRICS] = repair.recompute_metrics(lake, job, context.run.run_id)
            else:
                changed[METRICS] = repair.fold(lake, job, context.run.run_id)
            silver, metrics = parity.silver_parity(lake, job), parity.metrics_parity(lake, job)
        except C360Error as error:
            raise failure(error) from error
        yield dg.MaterializeResult(
            asset_key=recomputed_key(job),
            metadata={f"rows_replaced/{name}": count for name, count in changed.items()},
            check_results=[parity_result(job, SILVER_PARITY, silver), parity_result(job, METRICS_PARITY, metrics)],
        )

    return table


@dg.definitions
def stream_recomputations() -> dg.Definitions:
    """An asset for each stream, one job for all, and its hourly schedule."""
    assets = [recomputed(job) for job in event_jobs().values()]
    job = dg.define_asset_job(
        "stream_parity",
        selection=dg.AssetSelection.assets(*assets),
        description="Fold late events into their windows and compare every stream with batch.",
        executor_def=dg.in_process_executor,
    )

    @dg.schedule(
        job=job,
        cron_schedule="7 * * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Every hour, of the streams that have written.",
    )
    def hourly_stream_parity(lakehouse: LakehouseResource) -> dg.RunRequest | dg.SkipReason:
        lake = lakehouse.open()
        ready = [recomputed_key(each) for each in event_jobs().values() if all(lake.exists(t) for t in each.outputs)]
        return dg.RunRequest(asset_selection=ready) if ready else dg.SkipReason("no stream has written yet")

    return dg.Definitions(assets=assets, jobs=[job], schedules=[hourly_stream_parity])
