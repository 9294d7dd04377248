"""The one sensor that tells of failed runs, red checks and late tables."""

from datetime import UTC, datetime

import dagster as dg

from c360.settings import Settings
from c360_assets.alerts import Links, View, look, sinks_of

INTERVAL = 30
"""Seconds between two looks."""


@dg.sensor(
    name="alerts",
    minimum_interval_seconds=INTERVAL,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Failed runs, red checks and late tables to the sinks of C360_ALERT_SINKS, once each, with recovery.",
)
def alerts_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Look from the sensor's own cursor on; it starts no run."""
    assert context.repository_def is not None
    settings = Settings()
    done = look(
        View(context.instance, context.repository_def.asset_graph, Links(settings.dagster_address)),
        context.cursor,
        settings,
        sinks_of(settings, context.log),
        datetime.now(UTC),
        context.log,
    )
    context.update_cursor(done.cursor)
    return dg.SkipReason(done.summary)


@dg.definitions
def alerting() -> dg.Definitions:
    """The sensor. Settings that name a sink without its address are refused here, when the location is loaded."""
    Settings()
    return dg.Definitions(sensors=[alerts_sensor])
