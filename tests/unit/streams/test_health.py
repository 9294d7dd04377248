"""Every check warns before it fails, and says so where nothing can be measured."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from c360.streams.health import CHECKS, judge
from c360.streams.job import StreamJob
from c360.streams.sinks import SinkCommit
from c360.streams.status import Status

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
JOB = StreamJob("orders", "", Path(), ("t",), ("bronze.a", "silver.b"), checkpoint_seconds=10.0)
FINE = Status(
    *("orders", "running", "job.yaml", "RUNNING", "j", NOW, "leave", "", True, False, None),
    checkpoint_age_s=5.0,
    pending=10,
    watermark=NOW - timedelta(minutes=1),
    restarts=0,
)


def levels(
    seen: Status = FINE, age_s: float = 5.0, restarts: int | None = 0, dead: tuple[int, int] | None = (0, 100)
) -> dict[str, str]:
    # The staler of two tables counts: one sink that has stopped to commit must not hide behind the other.
    commits = [
        SinkCommit("bronze.a", "j", 7, NOW, 1),
        SinkCommit("silver.b", "j", 7, NOW - timedelta(seconds=age_s), 2),
        SinkCommit("silver.c", "x", 7, NOW - timedelta(days=9), 3, known=False),
    ]
    return {each.check: each.level for each in judge(JOB, seen, commits, restarts, dead, NOW)}


def test_healthy_unknown_and_stopped() -> None:
    assert levels() == dict.fromkeys(CHECKS, "ok")
    unknown = replace(FINE, checkpoint_age_s=None, pending=None, watermark=None)
    assert levels(unknown, restarts=None, dead=None) == dict.fromkeys(CHECKS, "unknown") | {"commit_freshness": "ok"}
    assert levels(replace(FINE, wanted="stopped", pending=10**9)) == dict.fromkeys(CHECKS, "ok")


@pytest.mark.parametrize(
    ("check", "warned", "failed"),
    [
        ("lag", levels(replace(FINE, pending=60_000)), levels(replace(FINE, pending=600_000))),
        ("checkpoint_age", levels(replace(FINE, checkpoint_age_s=61.0)), levels(replace(FINE, checkpoint_age_s=181.0))),
        ("restarts", levels(restarts=1), levels(restarts=3)),
        ("commit_freshness", levels(age_s=201.0), levels(age_s=601.0)),
        (
            "event_time_freshness",
            levels(replace(FINE, watermark=NOW - timedelta(minutes=16))),
            levels(replace(FINE, watermark=NOW - timedelta(minutes=61))),
        ),
        ("dead_letters", levels(dead=(2, 100)), levels(dead=(11, 100))),
    ],
)
def test_warns_before_it_fails_and_alone(check: str, warned: dict[str, str], failed: dict[str, str]) -> None:
    assert warned == dict.fromkeys(CHECKS, "ok") | {check: "warn"}
    assert failed == dict.fromkeys(CHECKS, "ok") | {check: "error"}
