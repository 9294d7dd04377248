"""A backfill makes a stream's commits young, and its events no younger: on commits of a real Iceberg table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from c360.contracts import Column, PartitionBy, to_arrow
from c360.streams.health import EVENT_TIME_S, judge, newest_event
from c360.streams.job import StreamJob
from c360.streams.record import Record, new_job_id
from c360.streams.sinks import CHECKPOINT_ID, JOB_ID, last_commits
from c360.streams.status import Status
from tests.unit.lakehouse.shapes import contract

if TYPE_CHECKING:
    from c360.lakehouse import Lakehouse

STREAM, TABLE = "things", "silver.things"
JOB = StreamJob(STREAM, "", Path(), ("things",), ("bronze.things", TABLE, "silver.late_events"))
COLUMNS = (Column("id", "long", required=True), Column("event_timestamp", "timestamp", required=True))
THINGS = contract(COLUMNS, partitioning=(PartitionBy("event_timestamp", "month"),))


def commit(lake: Lakehouse, *ages: timedelta) -> None:
    """As Flink commits: events of these ages, in one snapshot."""
    now = datetime.now(UTC)
    rows: dict[str, Any] = {"id": list(range(len(ages))), "event_timestamp": [now - age for age in ages]}
    summary = {JOB_ID: new_job_id(STREAM, now), CHECKPOINT_ID: "7"}
    lake.table(TABLE).append(pa.table(rows, schema=to_arrow(THINGS)), snapshot_properties=summary)


def levels(lake: Lakehouse, watermark: datetime | None) -> tuple[str, str, float | None]:
    """Freshness of commits and of events, and the age of the latter."""
    now = datetime.now(UTC)
    seen = Status(
        *(STREAM, "running", "job.yaml", "RUNNING", "j", now, "leave", "", True, False, None), watermark=watermark
    )
    commits = last_commits(lake, JOB.outputs, Record(STREAM), [STREAM])
    found = {each.check: each for each in judge(JOB, seen, commits, 0, None, now, newest_event(lake, JOB, now))}
    events = found["event_time_freshness"]
    return found["commit_freshness"].level, events.level, events.value


def test_a_commit_of_old_events_is_young_and_its_events_stay_old(lake: Lakehouse) -> None:
    lake.ensure(THINGS)
    # Old messages that arrive now move the watermark, which follows their arrival.
    arrived = datetime.now(UTC) - timedelta(seconds=600)
    assert levels(lake, arrived)[:2] == ("unknown", "ok")
    commit(lake, timedelta(days=3), timedelta(hours=30))
    assert levels(lake, arrived)[:2] == ("ok", "error")
    assert levels(lake, None)[:2] == ("ok", "error")
    commit(lake, timedelta(minutes=30), timedelta(days=3))
    fresh, events, age = levels(lake, arrived)
    assert (fresh, events) == ("ok", "warn")
    assert age is not None
    assert 1800 <= age < 1860
    commit(lake, timedelta(days=40))
    assert levels(lake, arrived)[:2] == ("ok", "warn")
    commit(lake, timedelta(seconds=1))
    assert levels(lake, arrived)[:2] == ("ok", "ok")
    assert levels(lake, datetime.now(UTC) - timedelta(seconds=EVENT_TIME_S.error + 1))[:2] == ("ok", "error")
