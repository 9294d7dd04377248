"""Jobs a person or a schedule runs: a layer at a time, or everything."""

from __future__ import annotations

from datetime import UTC, timedelta

import dagster as dg

from c360_assets.partitions import landing_days

LAYERS = ("bronze", "silver", "gold")


@dg.definitions
def operations() -> dg.Definitions:
    """A job per layer, the whole graph as one job, and the nightly schedule."""
    by_layer = [
        dg.define_asset_job(
            f"{layer}_layer",
            selection=dg.AssetSelection.groups(layer),
            description=f"Everything in {layer}.",
            executor_def=dg.in_process_executor,
            partitions_def=landing_days if layer == "bronze" else None,
        )
        for layer in LAYERS
    ]
    everything = dg.define_asset_job(
        "customer_360_build",
        selection=dg.AssetSelection.groups(*LAYERS, "serving"),
        description="Landing files of the chosen days to the Customer 360, in one run.",
        executor_def=dg.in_process_executor,
    )

    @dg.schedule(job=everything, cron_schedule="0 3 * * *", description="Every night: the day that has just ended.")
    def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        ended = context.scheduled_execution_time.astimezone(UTC).date() - timedelta(days=1)
        day = ended.isoformat()
        return dg.RunRequest(run_key=day, partition_key=day)

    return dg.Definitions(jobs=[*by_layer, everything], schedules=[nightly])
