"""Which observations are told, and what survives in the cursor."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c360_assets.alerts.core import OPEN_LIMIT, Open, advance
from c360_assets.alerts.model import Alert, Cleared, Notice, Observation, Severity
from c360_assets.alerts.state import State, dump, load, storable

NOW = datetime(2025, 3, 1, 10, 0, tzinfo=UTC)


def bad(key: str, severity: Severity = "error", minutes: int = 0) -> Alert:
    return Alert(key, severity, f"{key} is bad", "why", f"http://ui/{key}", NOW + timedelta(minutes=minutes))


def good(key: str, minutes: int = 0) -> Cleared:
    return Cleared(key, "well again", "", NOW + timedelta(minutes=minutes))


def kinds(notices: list[Notice]) -> list[tuple[str, str]]:
    return [(notice.kind, notice.key) for notice in notices]


def test_an_alert_is_told_once_and_its_recovery_once() -> None:
    notices, opened = advance({}, [bad("a"), bad("b", "warning")])
    assert kinds(notices) == [("raised", "a"), ("raised", "b")]
    notices, opened = advance(opened, [bad("a", minutes=1), bad("b", "warning")])
    assert notices == []
    notices, opened = advance(opened, [good("a", minutes=5), good("never raised")])
    assert kinds(notices) == [("recovered", "a")]
    assert notices[0].link == "http://ui/a"
    assert "open since 2025-03-01 10:00:00 UTC" in notices[0].text
    assert list(opened) == ["b"]
    assert advance(opened, [good("a")])[0] == []


def test_a_worse_severity_is_told_once_and_a_milder_one_never() -> None:
    told = []
    opened: dict[str, Open] = {}
    for severity in ("warning", "error", "warning", "error"):
        notices, opened = advance(opened, [bad("a", severity)])
        told.append(kinds(notices))
    assert told == [[("raised", "a")], [("worsened", "a")], [], []]


def test_what_happens_between_two_looks_is_told_in_its_order_and_counted() -> None:
    notices, opened = advance({}, [bad("a"), bad("a"), bad("a"), good("a"), bad("a"), bad("b")])
    assert kinds(notices) == [("raised", "a"), ("recovered", "a"), ("raised", "a"), ("raised", "b")]
    assert notices[0].text == "(3 times since the last look) why"
    assert notices[2].text == "why"
    assert set(opened) == {"a", "b"}


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["warning", "error", "good"])), max_size=30),
    st.integers(1, 7),
)
def test_notices_tell_the_same_story_however_the_looks_are_cut(steps: list[tuple[str, str]], size: int) -> None:
    observed: list[Observation] = [
        good(key) if state == "good" else bad(key, state)  # type: ignore[arg-type]
        for key, state in steps
    ]
    at_once, end = advance({}, observed)
    opened: dict[str, Open] = {}
    told: list[Notice] = []
    for start in range(0, len(observed), size):
        notices, opened = advance(opened, observed[start : start + size])
        told += notices
    assert kinds(told) == kinds(at_once)
    assert opened == end
    # The oracle: what is open is what was last seen bad, and notices of a key alternate.
    assert set(end) == {key for key, state in dict(steps).items() if state != "good"}
    for key in "abc":
        story = [kind for kind, of in kinds(told) if of == key and kind != "worsened"]
        assert story == ["raised", "recovered"] * (len(story) // 2) + ["raised"] * (len(story) % 2)


def test_open_alerts_are_bounded_and_the_oldest_are_forgotten() -> None:
    _, opened = advance({}, [bad(f"k{n}", minutes=n) for n in range(OPEN_LIMIT + 20)])
    assert len(opened) == OPEN_LIMIT
    assert "k19" not in opened
    assert "k20" in opened


def test_the_state_survives_the_cursor() -> None:
    notices, opened = advance({}, [bad("a"), bad("ü\n'\"", "warning")])
    state = State(
        opened=opened,
        parts={"runs": {"after": 12}},
        waiting={"webhook": notices},
        dropped={"smtp": 3},
        complained={"webhook": NOW},
    )
    assert load(dump(state)) == state
    assert load(None) == State()


@pytest.mark.parametrize(
    "cursor",
    ["", "{", "null", "[]", "17", '{"version": 2}', '{"opened": {"a": 1}}', '{"waiting": {"w": [{}]}}', "[" * 100_000],
)
def test_a_damaged_cursor_is_seen_as_damaged(cursor: str) -> None:
    assert load(cursor) is None


@pytest.mark.parametrize("cut", [1, 7, 40, 100])
def test_a_cut_cursor_is_seen_as_damaged(cut: int) -> None:
    _, opened = advance({}, [bad("a")])
    assert load(dump(State(opened=opened))[:-cut]) is None


def test_a_position_that_the_cursor_cannot_hold_is_refused() -> None:
    assert storable({"after": 1}) == {"after": 1}
    with pytest.raises(ValueError, match="does not fit"):
        storable({"seen": list(range(60_000))})
    with pytest.raises(TypeError):
        storable({"seen": object()})


def test_texts_are_cleaned_before_they_are_cut() -> None:
    secret = "s3cret-value"
    alert = Alert("k", "error", "a\r\ntitle", "x" * 490 + secret, "l", NOW)
    text = alert.bounded(lambda text: text.replace(secret, "***")).text
    assert text == "x" * 490 + "***"
    assert alert.bounded(str).title == "a title"
    assert len(alert.bounded(str).text) == 500
    assert json.loads(dump(State()))["version"] == 1
