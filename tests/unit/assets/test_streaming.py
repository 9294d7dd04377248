"""Streams in Dagster without a Flink: the graph of a job, the cursor over commits, and what sensors say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
import pyarrow as pa
import pytest

from c360.lakehouse import Lakehouse
from c360.streams.job import StreamJob
from c360.streams.record import Launch, Record, Records, new_job_id
from c360.streams.snapshots import Position, commits_after
from c360_assets.defs.streaming import assets, checks, sensors
from c360_assets.defs.streaming.reports import Told
from c360_assets.resources.streams import StreamsResource

if TYPE_CHECKING:
    from c360.settings import Settings

TABLE = "bronze.clicks"
JOB = StreamJob("clicks", "Clicks as received.", Path(), ("raw-events",), (TABLE, "silver.orders"))
ROWS = pa.table({"id": pa.array([1, 2], pa.int64())})


@pytest.fixture(autouse=True)
def one_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (
        *("c360_assets.specs", "c360_assets.defs.streaming.assets", "c360_assets.defs.streaming.checks"),
        *("c360_assets.defs.streaming.sensors", "c360.streams.runner"),
    ):
        monkeypatch.setattr(f"{module}.load_jobs", lambda: {JOB.name: JOB})


@pytest.fixture
def lake(settings: Settings) -> Iterator[Lakehouse]:
    with Lakehouse(settings) as lake:
        lake.catalog.create_namespace("bronze")
        lake.catalog.create_table(TABLE, ROWS.schema)
        yield lake


def append(lake: Lakehouse, checkpoint: int | None, job_id: str = "a" * 32) -> int:
    """One commit as Flink would write it, or as a batch run would; returns its snapshot's id."""
    flink = {"flink.job-id": job_id, "flink.max-committed-checkpoint-id": str(checkpoint)} if checkpoint else {}
    table = lake.catalog.load_table(TABLE)
    table.append(ROWS, snapshot_properties=flink)
    snapshot = table.current_snapshot()
    assert snapshot is not None
    return snapshot.snapshot_id


def test_topic_stream_and_table_stand_in_line_and_a_batch_table_keeps_its_asset() -> None:
    graph = dg.Definitions.merge(
        assets.streaming_assets(), checks.streaming_checks(), dg.Definitions(resources={"streams": StreamsResource()})
    ).resolve_asset_graph()
    parents = {
        key.to_user_string(): {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for key in graph.get_all_asset_keys()
    }
    assert parents == {
        "topics/raw_events": set(),
        "streams/clicks": {"topics/raw_events"},
        "bronze/clicks": {"streams/clicks", "topics/raw_events"},
    }
    table = graph.get(dg.AssetKey(["bronze", "clicks"]))
    assert (table.is_external, table.kinds) == (True, {"flink", "iceberg"})
    names = {check.name for check in graph.get(dg.AssetKey(["streams", "clicks"])).check_keys}
    assert names == {
        *("running", "lag", "checkpoint_age", "restarts", "commit_freshness", "event_time_freshness", "dead_letters"),
    }


def test_every_commit_is_told_once_through_limits_rollback_and_a_new_table(lake: Lakehouse) -> None:
    ids = [append(lake, checkpoint) for checkpoint in (1, None, 3, 4, 5)]
    told: list[int] = []
    position: Position | None = None
    for _ in range(4):
        found = commits_after(lake, TABLE, position, 2)
        told += [commit.snapshot_id for commit in found]
        position = found[-1].position if found else position
    assert told == ids
    lake.catalog.load_table(TABLE).manage_snapshots().set_current_snapshot(snapshot_id=ids[2]).commit()
    assert commits_after(lake, TABLE, position, 9) == []
    after = append(lake, 6)
    assert [commit.snapshot_id for commit in commits_after(lake, TABLE, position, 9)] == [after]
    lake.catalog.drop_table(TABLE)
    assert commits_after(lake, TABLE, position, 9) == []
    lake.catalog.create_table(TABLE, ROWS.schema)
    begun = append(lake, 1)
    [only] = commits_after(lake, TABLE, position, 9)
    assert (only.snapshot_id, only.rows_added, only.total_rows, only.checkpoint_id) == (begun, 2, 2, 1)


def test_upkeep_makes_nothing_fresher(lake: Lakehouse) -> None:
    append(lake, 1)
    table = lake.catalog.load_table(TABLE)
    table.append(ROWS.slice(0, 0), snapshot_properties={"c360.operation": "retention"})
    data, upkeep = commits_after(lake, TABLE, None, 9)
    assert (data.data, upkeep.data) == (True, False)


def tick(
    instance: dg.DagsterInstance, sensor: dg.SensorDefinition, settings: Settings, cursor: str | None = None
) -> dg.SensorResult:
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"streams": StreamsResource(home=str(settings.home))}
    )
    result = sensor(context)
    assert isinstance(result, dg.SensorResult)
    return result


def test_sensor_tells_after_a_crash_only_what_the_log_does_not_hold(lake: Lakehouse, settings: Settings) -> None:
    ids = [append(lake, 1), append(lake, None), append(lake, 2)]
    with dg.DagsterInstance.ephemeral() as instance:
        first = tick(instance, sensors.stream_snapshots, settings)
        assert [event.metadata["snapshot_id"].value for event in first.asset_events] == [str(each) for each in ids]
        for event in first.asset_events[:2]:
            instance.report_runless_asset_event(event)
        again = tick(instance, sensors.stream_snapshots, settings)
        assert [event.metadata["snapshot_id"].value for event in again.asset_events] == [str(ids[2])]
        assert tick(instance, sensors.stream_snapshots, settings, first.cursor).asset_events == []


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_without_any_flink_a_new_home_is_quiet_and_a_started_stream_is_an_alert(settings: Settings) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        [quiet] = tick(instance, sensors.stream_reconciler, settings).asset_events
        assert isinstance(quiet, dg.AssetCheckEvaluation)
        assert quiet.passed
        records = Records(settings.home)
        started = Launch(new_job_id("clicks", datetime.now(UTC)), "f")
        records.write(Record("clicks").launched(started))
        [alert] = tick(instance, sensors.stream_reconciler, settings).asset_events
        assert isinstance(alert, dg.AssetCheckEvaluation)
        assert (alert.passed, alert.severity) == (False, dg.AssetCheckSeverity.ERROR)
        assert "does not answer" in str(alert.description)


def test_a_stop_and_start_by_a_person_is_no_restart(settings: Settings) -> None:
    def launch(restored_from: str | None) -> Launch:
        return Launch(new_job_id("clicks", datetime.now(UTC)), "f", restored_from)

    record = Record("clicks").launched(launch(None)).launched(launch("file:/savepoints/savepoint-1"))
    with StreamsResource(home=str(settings.home)).open() as streams:
        assert Told().restarts(streams, "clicks", record) == 0
        assert Told().restarts(streams, "clicks", record.launched(launch("file:/checkpoints/a/chk-7"))) == 1


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning")
def test_health_is_no_random_number_and_every_sensor_of_streams_keeps_a_cursor(
    lake: Lakehouse, settings: Settings
) -> None:
    append(lake, 1)
    records = Records(settings.home)
    launched = Record("clicks").launched(Launch(new_job_id("clicks", datetime.now(UTC)), "f"))
    records.write(launched)

    def told(instance: dg.DagsterInstance, sensor: dg.SensorDefinition, cursor: str | None = None) -> list[str]:
        found.append(tick(instance, sensor, settings, cursor))
        return [
            f"{e.check_name} {e.passed} {e.metadata['level'].value}"
            if isinstance(e, dg.AssetCheckEvaluation)
            else str(e.metadata["snapshot_id"].value)
            for e in found[-1].asset_events
        ]

    for sensor in (sensors.stream_health, sensors.stream_snapshots, sensors.stream_reconciler):
        found: list[dg.SensorResult] = []
        with dg.DagsterInstance.ephemeral() as instance:
            first = told(instance, sensor)
            assert first
            for _ in range(10):
                assert told(instance, sensor) == first
                # What has been told once is not told again.
                assert told(instance, sensor, found[0].cursor) == []
            cursor = found[0].cursor
            if sensor is sensors.stream_health:
                # What it says follows from what there is: the same table, but a stream that a person has stopped.
                records.write(replace(launched, wanted="stopped", wanted_by="a person"))
                changed = told(instance, sensor, cursor)
                assert changed
                assert all(each.endswith("True ok") for each in changed)
                records.write(launched)
