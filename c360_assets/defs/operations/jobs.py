"""Jobs a person or a schedule runs: a layer at a time, or everything."""

from __future__ import annotations

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
            **({"partitions_def": landing_days} if layer == "bronze" else {}),
        )
        for layer in LAYERS
    ]
    everything = dg.define_asset_job(
        "customer_360_build",
        selection=dg.AssetSelection.groups(*LAYERS),
        description="Landing files of the chosen days to the Customer 360, in one run.",
        executor_def=dg.in_process_executor,
    )

    @dg.schedule(job=everything, cron_schedule="0 3 * * *", description="Every night: the day that has just ended.")
    def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        ended = landing_days.get_last_partition_key(context.scheduled_execution_time)
        keys = landing_days.get_partition_keys(context.scheduled_execution_time)
        day = keys[-2] if len(keys) > 1 else ended
        return dg.RunRequest(run_key=day, partition_key=day)

    return dg.Definitions(jobs=[*by_layer, everything], schedules=[nightly])
