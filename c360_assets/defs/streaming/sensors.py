"""What Dagster does about streams by itself: keep them running, tell their commits, judge their health."""

import json
import time
from typing import Any

import dagster as dg

from c360.errors import C360Error
from c360.streams.job import load_jobs
from c360_assets.defs.streaming.checks import evaluation, findings, running_finding
from c360_assets.defs.streaming.reports import Told, table_events
from c360_assets.resources.streams import StreamsResource
from c360_assets.specs import is_streamed

TICK_BUDGET_S = 25.0
"""A tick must end within Dagster's 60 s although one submission may take 40; streams left over come first next time."""
COMMITS_PER_TICK = 200


@dg.sensor(
    name="stream_reconciler",
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts, resumes or stops streams until each does what is wanted; says so where it cannot.",
)
def stream_reconciler(context: dg.SensorEvaluationContext, streams: StreamsResource) -> dg.SensorResult:
    """One step for each stream."""
    from c360.streams.decide import CHANGES
    from c360.streams.reconcile import heal, reconcile

    told, until = Told.load(context.cursor), time.monotonic() + TICK_BUDGET_S
    events: list[Any] = []
    try:
        for name in heal(streams.settings()):
            context.log.info("%s had died and was started again", name)
    except C360Error as error:
        context.log.warning("%s", error)
    with streams.open() as opened:
        names = list(opened.jobs)
        first = names.index(told.next) if told.next in names else 0
        told.next = ""
        for name in [*names[first:], *names[:first]]:
            if time.monotonic() > until:
                told.next = name
                break
            outcome = reconcile(opened, name)
            text = f"{outcome.action.kind}: {outcome.error or outcome.action.reason}"
            if outcome.action.kind in CHANGES or not outcome.ok:
                context.log.info("%s: %s %s", name, text, outcome.job_id or "")
            finding = running_finding(outcome.wanted, ok=outcome.ok, text=text)
            if told.is_news(name, finding, f"{outcome.wanted} {outcome.action.kind}"):
                events.append(dg.AssetCheckEvaluation(**evaluation(name, finding)))
    return dg.SensorResult(asset_events=events, cursor=told.dump())


@dg.sensor(
    name="stream_snapshots",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells every commit of every table that streams write, each once, with its rows and its checkpoint.",
)
def stream_snapshots(context: dg.SensorEvaluationContext, streams: StreamsResource) -> dg.SensorResult:
    """Commits since the last tick."""
    from c360.lakehouse import Lakehouse

    cursor: dict[str, Any] = json.loads(context.cursor or "{}")
    tables = sorted({table for job in load_jobs().values() for table in job.outputs})
    events: list[Any] = []
    with Lakehouse(streams.settings()) as lake:
        for table in tables:
            left = COMMITS_PER_TICK - len(events)
            try:
                found = table_events(
                    context.instance, lake, table, cursor.get(table), left, shared=not is_streamed(table)
                )
            except C360Error as error:
                context.log.warning("%s", error)
                continue
            events += found.events
            cursor[table] = found.position
    return dg.SensorResult(asset_events=events, cursor=json.dumps(cursor))


@dg.sensor(
    name="stream_health",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Judges lag, checkpoints, restarts, freshness and dead letters of every stream that was ever started.",
)
def stream_health(context: dg.SensorEvaluationContext, streams: StreamsResource) -> dg.SensorResult:
    """Findings that differ from what was told last."""
    told = Told.load(context.cursor)
    events: list[Any] = []
    with streams.open() as opened:
        for name in opened.jobs:
            try:
                record = opened.records.read(name)
                if not record.launches:
                    continue
                found, _ = findings(opened, name, told.restarts(opened, name, record))
            except C360Error as error:
                context.log.warning("%s", error)
                continue
            events += [
                dg.AssetCheckEvaluation(**evaluation(name, finding)) for finding in found if told.is_news(name, finding)
            ]
    return dg.SensorResult(asset_events=events, cursor=told.dump())


@dg.definitions
def streaming_sensors() -> dg.Definitions:
    """The three sensors, present also where no stream is defined yet."""
    return dg.Definitions(sensors=[stream_reconciler, stream_snapshots, stream_health])
