"""Dead letters looked for, looked at, and taken out to a file: by the kernel, and by the command."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from c360.cli.dlq import app
from c360.contracts.topic import load_topics
from c360.errors import C360Error, StreamError
from c360.lakehouse import Lakehouse
from c360.streams.dead_letters import Position, Selection, counts, describe, get, select
from c360.streams.letter_file import export, read
from c360.streams.letter_text import mask, restore
from tests.unit.streams.letters import ARRIVED, Refused, event, write

SECRETS = ("ana@example.com", "203.0.113.7", "Ana Silva")
CARELESS: dict[str, Any] = {
    **event(7, email="ana@example.com", ip_address={"v4": "203.0.113.7"}, e_mail="ana@example.com"),
    "payload.user_id": "Ana Silva",
    "source_system": ["Ana Silva"],
}
MANY = [
    Refused(1, event(1)),
    Refused(2, event(2), arrived=ARRIVED + timedelta(hours=1)),
    Refused(3, b"\xff\xfe", "bad_encoding", None),
    Refused(2, event(4), "conflicting_duplicate", "event_id", partition=1),
    Refused(9, {"event_type": "payment"}, topic="raw-transactions", arrived=ARRIVED + timedelta(days=1)),
    Refused(5, None, "malformed_record", None),
    Refused(6, b'{"event_id": "x", "payload": {"email": "ana@example.com"', "malformed_record", None),
    Refused(7, CARELESS, "not_allowed", "payload.e_mail"),
]


@pytest.fixture
def call(lake: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("C360_HOME", str(lake.settings.home))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments))
        if isinstance(result.exception, C360Error):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_letters_are_counted_by_topic_reason_and_field_and_filtered(lake: Lakehouse) -> None:
    assert counts(lake, Selection()) == []
    assert select(lake, Selection()) == []
    write(lake, *MANY)
    found = {(row["topic"], row["reason"], row["field"]): row for row in counts(lake, Selection())}
    assert {key: row["letters"] for key, row in found.items()} == Counter((r.topic, r.reason, r.field) for r in MANY)
    both = found["raw-events", "missing_required", "source_system"]
    assert (both["first"], both["last"], both["replayed"]) == (ARRIVED, ARRIVED + timedelta(hours=1), 0)
    choices: list[tuple[Selection, Callable[[Refused], bool]]] = [
        (Selection.of("raw-transactions"), lambda r: r.topic == "raw-transactions"),
        (Selection.of(reason="missing_required"), lambda r: r.reason == "missing_required"),
        (Selection.of(since="2026-01-05T13:00:00+00:00"), lambda r: r.arrived >= ARRIVED + timedelta(hours=1)),
        (Selection.of(until="2026-01-05T14:00:00+01:00"), lambda r: r.arrived < ARRIVED + timedelta(hours=1)),
        (
            Selection.of("raw-events", "missing_required", "2026-01-05", "2026-01-06"),
            lambda r: r.topic == "raw-events" and r.reason == "missing_required",
        ),
    ]
    for selection, wanted in choices:
        names = [str(letter.position) for letter in select(lake, selection)]
        assert sorted(names) == sorted(r.name for r in MANY if wanted(r)), selection


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Selection.of("raw-event"), "no topic 'raw-event'.*raw-events"),
        (lambda: Selection.of("events.dlq"), "no topic"),
        (lambda: Selection.of(reason="bad"), "no reason 'bad'.*bad_type"),
        (lambda: Selection.of(since="yesterday"), "no moment"),
        (lambda: Selection.of(since="2026-01-05T12:00"), "no time zone"),
        (lambda: Position.parse("raw-events/0"), "no position"),
        (lambda: Position.parse("raw-events/0/-1"), "no position"),
    ],
)
def test_a_wrong_choice_is_refused_with_its_mend(wrong: Any, words: str) -> None:
    with pytest.raises(StreamError, match=words):
        wrong()


def test_a_letter_tells_why_and_hides_persons_unless_asked(lake: Lakehouse) -> None:
    write(lake, *MANY)
    found = describe(get(lake, Position("raw-events", 0, 7)))
    text = json.dumps(found, default=str)
    assert not [secret for secret in SECRETS if secret in text]
    assert found["meaning"].startswith("a value is not in the list")
    assert "raw-events" in str(found["now"])
    assert found["event"]["payload"]["user_id"] == "C7"
    assert found["event"]["payload"]["email"] == "<masked payload.email>"
    clear = json.dumps(describe(get(lake, Position("raw-events", 0, 7)), clear=True), default=str)
    assert all(secret in clear for secret in SECRETS)
    assert describe(get(lake, Position("raw-events", 0, 1)))["now"] is None, "the contract takes it today"
    broken = Position("raw-events", 0, 6)
    assert "ana" not in str(describe(get(lake, broken)))
    assert "ana@" in describe(get(lake, broken), clear=True)["text"]
    assert describe(get(lake, Position("raw-events", 0, 3)), clear=True)["hex"] == "ff fe"
    assert describe(get(lake, Position("raw-events", 0, 5)), clear=True)["event"] is None
    with pytest.raises(StreamError, match="no dead letter raw-events/0/99"):
        get(lake, Position("raw-events", 0, 99))


_NAMES = st.sampled_from(["event_id", "payload", "email", "user_id", "properties", "a.b", "~0", "payload.email", "x"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.just("SECRET"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_NAMES, _JSON, max_size=5))
def test_masks_hide_all_that_is_not_known_and_give_back_all(document: dict[str, Any]) -> None:
    topic = load_topics()["raw-events"]
    masked = mask(document, topic)
    assert restore(masked, document) == document
    masked.pop("event_id", None)
    if isinstance(inner := masked.get("payload"), dict):
        for known in ("user_id", "properties"):
            inner.pop(known, None)
    assert "SECRET" not in json.dumps(masked)


def test_an_exported_file_comes_back_as_it_was(lake: Lakehouse, tmp_path: Path) -> None:
    exact = (
        b'{"event_id": "a", "amount": 12345678901234567.89, "big": 9007199254740993, "n": 1.10, "e": "\xc3\xb6\\u2028"}'
    )
    write(lake, *MANY, Refused(20, exact))
    path = tmp_path / "letters.jsonl"
    assert export(select(lake, Selection()), path) == len(MANY) + 1
    assert path.stat().st_mode & 0o77 == 0
    text = path.read_text()
    assert not [secret for secret in SECRETS if secret in text]
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["letter"]["offset"] for line in lines] == [1, 2, 3, 5, 6, 7, 20, 2, 9]
    assert [line["event"] is None for line in lines] == [False, False, True, True, True, False, False, False, False]
    kept = [line for line in lines if line["event"] is not None and line["letter"]["offset"] != 20]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in kept))
    drafts = read(path, lake)
    assert not any(draft.mended for draft in drafts)
    assert [draft.event for draft in drafts] == [event(1), event(2), CARELESS, event(4), {"event_type": "payment"}]

    other = tmp_path / "clear.jsonl"
    export([get(lake, Position("raw-events", 0, offset)) for offset in (20, 3, 6)], other, clear=True)
    first, second, third = other.read_text().strip().split("\n")
    assert "12345678901234567.89" in first
    assert "9007199254740993" in first
    assert json.loads(second)["base64"] == "//4="
    assert json.loads(third)["text"] == MANY[6].body.decode()
    other.write_text(first)
    assert not read(other, lake)[0].mended
    with pytest.raises(StreamError, match="exists already"):
        export([], other)
    with pytest.raises(StreamError, match="cannot be written"):
        export([], tmp_path / "nowhere" / "x.jsonl")


def line(letter: str, body: Any, **more: Any) -> str:
    topic, partition, offset = letter.rsplit("/", 2)
    place = {"topic": topic, "partition": int(partition), "offset": int(offset)}
    return json.dumps({"letter": place, "event": body, **more})


GOOD = line("raw-events/0/1", event(1))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ('{"letter": ', "line 3: no JSON object"),
        ("[1]", "line 3: no JSON object"),
        (line("raw-events/0/5", None), "line 3: holds no event.*take the line out"),
        (line("raw-events/0/5", "text"), "line 3: holds no event"),
        (line("raw-events/0/99", event(1)), "line 3: there is no dead letter raw-events/0/99"),
        (line("x' or 1=1/0/1", event(1)), "line 3: there is no dead letter"),
        (GOOD, "line 3: letter raw-events/0/1 is in line 1 too"),
        (line("raw-events/0/2", event(2), evnt={}), "line 3: .*unknown field `evnt`"),
        ('{"letter": {"topic": "raw-events", "partition": "0", "offset": 2}, "event": {}}', r"line 3: .*partition"),
        (line("raw-events/0/2", {"a": "<masked payload.email>"}), "line 3: <masked payload.email> hides nothing"),
        (line("raw-events/0/5", {"a": "<masked b>"}), "line 3: <masked b> hides nothing"),
        ("{\n" + GOOD, r"line 3: .*1 more lines are bad.*nothing was sent"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_with_its_mend(lake: Lakehouse, tmp_path: Path, bad: str, words: str) -> None:
    write(lake, *MANY)
    path = tmp_path / "mended.jsonl"
    path.write_text(f"{GOOD}\r\n\n{bad}\n", encoding="utf-8-sig", newline="")
    with pytest.raises(StreamError, match=words):
        read(path, lake)


def test_a_file_that_is_none_is_refused(lake: Lakehouse, tmp_path: Path) -> None:
    with pytest.raises(StreamError, match="cannot be read"):
        read(tmp_path / "absent.jsonl", lake)
    (tmp_path / "x").write_bytes(b"\xff\xfe")
    with pytest.raises(StreamError, match="not UTF-8"):
        read(tmp_path / "x", lake)


def test_the_command_lists_shows_and_exports(call: Any, lake: Lakehouse, tmp_path: Path) -> None:
    assert "no such dead letters" in call("list")
    assert json.loads(call("list", "--json")) == []
    write(lake, *MANY)
    assert sum(row["letters"] for row in json.loads(call("list", "--json"))) == len(MANY)
    assert "conflicting_duplicate" in call("list", "--topic", "raw-events")
    shown = call("show", "raw-events/0/7")
    assert "a value is not in the list" in shown
    assert not [secret for secret in SECRETS if secret in shown]
    assert json.loads(call("show", "raw-events/0/7", "--clear", "--json"))["event"] == CARELESS
    path = tmp_path / "out.jsonl"
    assert json.loads(call("export", str(path), "--reason", "missing_required", "--json"))["letters"] == 3
    assert "2 letters" in call(
        "export", str(tmp_path / "b"), "--letter", "raw-events/0/7", "--letter", "raw-events/1/2"
    )
    with pytest.raises(StreamError, match="either --letter or filters"):
        call("export", str(tmp_path / "c"), "--letter", "raw-events/0/7", "--topic", "raw-events")
    for arguments in ([], [str(path), "--topic", "raw-events"]):
        with pytest.raises(StreamError, match="exclude each other"):
            call("replay", *arguments)
