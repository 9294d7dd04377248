"""The asset without a broker: a choice that meets no letter, letters that cannot be sent, a run that says nothing."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from c360.lakehouse import Lakehouse
from c360_assets.defs.dead_letters.assets import Replay, replayed_letters
from c360_assets.resources.lake import LakehouseResource
from tests.unit.streams.letters import Refused, event, write

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


def run(lake: Lakehouse, **config: str) -> dict[str, Any]:
    done = dg.materialize(
        [replayed_letters],
        resources={"lakehouse": LakehouseResource(home=str(lake.settings.home))},
        run_config=dg.RunConfig(ops={replayed_letters.op.name: Replay(**config)}),
    )
    (made,) = done.get_asset_materialization_events()
    (check,) = done.get_asset_check_evaluations()
    assert check.passed
    return {name: value.value for name, value in made.materialization.metadata.items()}


def test_nothing_to_replay_is_no_failure(lake: Lakehouse) -> None:
    found = run(lake, topic="raw-logs")
    assert [found[name] for name in ("letters", "published", "already_replayed", "refused")] == [0, 0, 0, 0]


def test_refusals_are_named_in_the_metadata(lake: Lakehouse) -> None:
    write(lake, Refused(1, event(1), "conflicting_duplicate", "event_id"), Refused(2, None, "malformed_record", None))
    found = run(lake, topic="raw-events")
    assert (found["refused"], found["refused_by_error"]) == (2, {"RefusedAgain": 1, "InvalidEvent": 1})
    assert "new event_id" in str([record.data for record in found["refusals"].records])


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "exclude each other"),
        ({"file": "x", "topic": "raw-events"}, "exclude each other"),
        ({"file": "/nowhere/x.jsonl"}, "cannot be read"),
        ({"topic": "raw-event"}, "no topic"),
    ],
)
def test_a_run_that_does_not_say_which_letters_fails_with_the_mend(
    lake: Lakehouse, config: dict[str, str], words: str
) -> None:
    with pytest.raises(dg.Failure, match=words) as failure:
        run(lake, **config)
    assert "mend" in failure.value.metadata
