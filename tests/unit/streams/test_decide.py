"""The next step over every combination of what is wanted and seen, against rules told without the product's code."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest

from c360.streams.decide import MAX_FAILURES, Observed, back_off, decide
from c360.streams.flink import FlinkJob
from c360.streams.record import Wanted

START = datetime(2026, 1, 1, tzinfo=UTC)
STATES = ("INITIALIZING", "CREATED", "RUNNING", "RESTARTING", "FAILING", "CANCELLING")


def job(name: str, state: str = "RUNNING", minutes: int = 0) -> FlinkJob:
    return FlinkJob(name, "orders", state, START + timedelta(minutes=minutes))


def expected(wanted: str, seen: Observed) -> str:
    """The rules as a person would say them, from the most urgent to the last."""
    ending = {"FAILING", "CANCELLING"}
    rules = [
        (seen.unready is not None and wanted == "stopped" and not seen.active, "leave"),
        (seen.unready is not None, "wait"),
        (len(seen.active) == 2, "cancel_duplicates"),
        (len(seen.active) == 1 and seen.active[0].state in ending, "wait"),
        (len(seen.active) == 1 and wanted == "running" and seen.broken is None, "leave"),
        (len(seen.active) == 1 and wanted == "running" and seen.active[0].state == "RUNNING", "renew"),
        (len(seen.active) == 1 and wanted == "running", "wait"),
        (len(seen.active) == 1 and seen.active[0].state == "RUNNING", "stop"),
        (len(seen.active) == 1, "cancel"),
        (wanted == "stopped", "leave"),
        (seen.ended in {"CANCELED", "FINISHED"}, "hold"),
        (seen.unconfirmed_s == 1.0, "wait"),
        (seen.failures == MAX_FAILURES, "give_up"),
        (seen.failures > 0 and seen.since_failure_s == 1.0, "wait"),
        (seen.state is not None, "resume"),
        (seen.committed, "give_up"),
    ]
    return next((kind for holds, kind in rules if holds), "start")


def combinations() -> list[tuple[Wanted, Observed]]:
    wanted: tuple[Wanted, ...] = ("running", "stopped")
    found = itertools.product(
        wanted,
        (None, "no slot"),
        ((), *((job("a", state),) for state in STATES), (job("a"), job("b"))),
        (None, "FAILED", "CANCELED", "FINISHED", "SUSPENDED"),
        (None, 1.0, 3600.0),
        (None, "/checkpoints/a/chk-7"),
        (False, True),
        ((0, 0.0), (1, 1.0), (1, 3600.0), (MAX_FAILURES, 3600.0)),
        (None, "its checkpoint is gone"),
    )
    return [
        (want, Observed(unready, active, "a", ended, unconfirmed, state, committed, failures, since, "because", broken))
        for want, unready, active, ended, unconfirmed, state, committed, (failures, since), broken in found
    ]


def test_every_combination() -> None:
    cases = combinations()
    wrong = [
        (want, seen, decide(want, seen)) for want, seen in cases if decide(want, seen).kind != expected(want, seen)
    ]
    assert len(cases) > 7000
    assert wrong == []


def test_what_may_never_happen() -> None:
    for want, seen in combinations():
        action = decide(want, seen)
        assert action.reason
        if action.kind == "start":
            assert not seen.committed
            assert seen.state is None
        if action.kind in {"start", "resume"}:
            assert want == "running"
            assert not seen.active
        if action.kind == "resume":
            assert action.path == seen.state


@pytest.mark.parametrize(
    ("active", "newest", "cancelled"),
    [
        ((job("old"), job("new", minutes=1)), "new", ("old",)),
        ((job("old"), job("new", minutes=1)), "old", ("new",)),
        ((job("old"), job("new", minutes=1)), None, ("new",)),
        ((job("old", "RESTARTING"), job("new", minutes=1)), None, ("old",)),
        ((job("a"), job("b", minutes=1), job("c", minutes=2)), "b", ("a", "c")),
    ],
)
def test_of_many_the_recorded_one_stays(
    active: tuple[FlinkJob, ...], newest: str | None, cancelled: tuple[str, ...]
) -> None:
    action = decide("running", Observed(active=active, newest=newest))
    assert (action.kind, action.jobs) == ("cancel_duplicates", cancelled)


def test_duplicate_that_ends_already_is_awaited() -> None:
    seen = Observed(active=(job("a"), job("b", "CANCELLING")), newest="a")
    assert decide("running", seen).kind == "wait"


def test_back_off_doubles_up_to_five_minutes() -> None:
    assert [back_off(failures) for failures in (0, 1, 2, 3, 5, 6, 60)] == [0, 10, 20, 40, 160, 300, 300]
