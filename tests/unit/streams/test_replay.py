"""Replaying letters: each event once, under an id that stays, whatever comes in between."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from c360.contracts.loader import get_contract
from c360.errors import LakehouseError, StreamError
from c360.events import EventMetrics, EventProducer, KeyRing, ProducerConfig
from c360.lakehouse import Lakehouse
from c360.streams import replay as module
from c360.streams.dead_letters import Selection, select
from c360.streams.letter_file import Draft, export, read
from c360.streams.replay import Replayed, as_they_are, replay
from tests.conftest import free_port
from tests.unit.events.examples import KEY
from tests.unit.streams.letters import NOW, Refused, event, write

KEYS = KeyRing("k1", {"k1": KEY})
REPLAYED = "silver.replayed_letters"


class Log:
    """Stands in for the broker: what the producer hands over is in it, and acknowledged at the flush."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self._waiting: list[tuple[int, Callable[..., None]]] = []

    def produce(self, topic: str, value: bytes, key: str | None, on_delivery: Callable[..., None], **_: Any) -> None:
        self._waiting.append((len(self.messages), on_delivery))
        self.messages.append((topic, json.loads(value)))

    def poll(self, _timeout: float) -> int:
        return 0

    def flush(self, _timeout: float) -> int:
        for offset, answered in self._waiting:
            answered(None, Place(offset))
        self._waiting = []
        return 0

    @property
    def ids(self) -> list[str]:
        return [message["event_id"] for _, message in self.messages]


class Place:
    def __init__(self, offset: int) -> None:
        self._offset = offset

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def latency(self) -> float:
        return 0.01


def producer(log: Log | None) -> EventProducer:
    config = ProducerConfig(f"127.0.0.1:{free_port()}", delivery_timeout=0.3)
    made = EventProducer(config, None, KEYS, metrics=EventMetrics(CollectorRegistry()))
    if log is not None:
        cast("Any", made)._producer = log
    return made


def run(lake: Lakehouse, log: Log | None, drafts: list[Draft] | None = None, run_id: str = "r1") -> list[Replayed]:
    chosen = as_they_are(select(lake, Selection())) if drafts is None else drafts
    with producer(log) as publish:
        return replay(lake, chosen, publish, run_id, NOW, KEYS)


def recorded(lake: Lakehouse) -> list[dict[str, Any]]:
    return sorted(lake.read(REPLAYED).to_pylist(), key=lambda row: row["kafka_offset"])


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


def test_a_second_replay_adds_nothing(lake: Lakehouse) -> None:
    write(lake, *(Refused(offset, event(offset)) for offset in range(5)))
    log = Log()
    first = run(lake, log)
    assert [(r.outcome, r.topic, r.offset) for r in first] == [("published", "raw-events", i) for i in range(5)]
    again = run(lake, log, run_id="r2")
    assert [r.outcome for r in again] == ["already_replayed"] * 5
    assert [message for _, message in log.messages] == [event(i) for i in range(5)]
    rows = recorded(lake)
    assert [(r["kafka_offset"], r["event_id"], r["published_offset"]) for r in rows] == [
        (i, event(i)["event_id"], i) for i in range(5)
    ]
    assert {(r["outcome"], r["run_id"], r["replayed_at"]) for r in rows} == {("published_as_it_was", "r1", NOW)}
    commit = lake.last_commit(REPLAYED)
    assert commit is not None
    assert (commit.run_id, commit.contract_version) == ("r1", "1.0.0")
    write(lake, Refused(9, event(9)))
    assert [r.outcome for r in run(lake, log)] == ["already_replayed"] * 5 + ["published"]


def test_an_event_without_an_id_gets_one_that_stays(lake: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    write(lake, *(Refused(offset, without(event(1), "event_id"), partition=offset % 2) for offset in range(4)))
    log = Log()
    failing(monkeypatch, lake)
    with pytest.raises(StreamError, match=r"4 letters were published and are not recorded.*same replay again"):
        run(lake, log)
    assert [r.outcome for r in run(lake, log)] == ["published"] * 4
    assert [r.outcome for r in run(lake, log)] == ["already_replayed"] * 4
    assert log.ids[:4] == log.ids[4:]
    assert len(set(log.ids)) == 4
    assert all(uuid.UUID(text).version == 5 for text in log.ids)
    # Written down: another way of making them would double what a crash left behind.
    assert log.ids[0] == str(uuid.uuid5(uuid.UUID("5d0c2c0e-9d8a-5b0f-8a4e-6c3f0c360d19"), "raw-events/0/0"))


def failing(monkeypatch: pytest.MonkeyPatch, lake: Lakehouse) -> None:
    """The next commit of records fails, as if the process had ended between publishing and recording."""
    true = lake.commit

    def once(name: str, change: Any, action: str) -> Any:
        if not action.startswith("record"):
            return true(name, change, action)
        monkeypatch.setattr(lake, "commit", true)
        raise LakehouseError("The disk is full", "free space")

    monkeypatch.setattr(lake, "commit", once)


def test_a_crash_costs_one_batch_at_most(lake: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 3)
    write(lake, *(Refused(offset, event(offset)) for offset in range(8)))
    log, true, commits = Log(), lake.commit, 0

    def second_fails(name: str, change: Any, action: str) -> Any:
        nonlocal commits
        commits += action.startswith("record")
        if commits == 2:
            raise LakehouseError("x", "y")
        return true(name, change, action)

    monkeypatch.setattr(lake, "commit", second_fails)
    with pytest.raises(StreamError, match="3 letters were published"):
        run(lake, log)
    assert [r["kafka_offset"] for r in recorded(lake)] == [0, 1, 2]
    monkeypatch.setattr(lake, "commit", true)
    assert [r.outcome for r in run(lake, log)] == ["already_replayed"] * 3 + ["published"] * 5
    assert log.ids == [event(i)["event_id"] for i in (0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7)]
    assert [r["kafka_offset"] for r in recorded(lake)] == list(range(8))


def test_each_refusal_has_a_name_and_holds_up_no_other(lake: Lakehouse) -> None:
    late = {**event(5), "event_timestamp": "2024-01-05T11:59:58Z"}
    write(
        lake,
        Refused(0, event(0)),
        Refused(1, event(1), "conflicting_duplicate", "event_id"),
        Refused(2, without(event(2), "source_system")),
        Refused(3, None, "malformed_record", None),
        Refused(4, b'{"a": ', "malformed_record", None),
        Refused(5, late, "past_event_time", "event_timestamp"),
        Refused(6, {**event(6), "event_timestamp": "2026-02-01T00:00:00Z"}, "future_event_time", "event_timestamp"),
        Refused(7, {**event(7), "event_id": 42}, "bad_type", "event_id"),
        Refused(8, {**event(8), "event_type": "daydream"}, "not_allowed", "event_type"),
        Refused(9, event(9, email="enc1.k1.AAAA"), "bad_type"),
        Refused(10, event(10), "future_event_time", "event_timestamp"),
    )
    log = Log()
    found = run(lake, log)
    assert [type(r.error).__name__ for r in found] == [
        "NoneType", "RefusedAgain", "InvalidEvent", "InvalidEvent", "InvalidEvent", "RefusedAgain", "RefusedAgain",
        "InvalidEvent", "UnknownEventType", "DecryptionFailed", "NoneType",
    ]  # fmt: skip
    assert log.ids == [event(0)["event_id"], event(10)["event_id"]]
    assert [r["kafka_offset"] for r in recorded(lake)] == [0, 10]
    assert found[1].error is not None
    assert "new event_id" in found[1].error.mend
    assert {r.outcome for r in run(lake, log)} == {"already_replayed", "refused"}
    assert len(log.messages) == 2


def test_a_mended_file_is_published_with_its_secrets_and_without_masks(lake: Lakehouse, tmp_path: Path) -> None:
    sealed = KEYS.seal("ana@example.com", "raw-events", "payload.email", event(1)["event_id"])
    write(
        lake,
        Refused(1, event(1, email=sealed), "conflicting_duplicate", "event_id"),
        Refused(2, event(2, e_mail="bo@example.com"), "not_allowed", "payload.e_mail"),
        Refused(3, event(3), "conflicting_duplicate", "event_id"),
    )
    path = tmp_path / "mended.jsonl"
    export(select(lake, Selection()), path)
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    lines[0]["event"]["event_id"] = "00000000-0000-4000-8000-0000000000ff"
    lines[1]["event"]["payload"]["email"] = lines[1]["event"]["payload"].pop("e_mail")
    del lines[2]["event"]["event_id"]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    log = Log()
    assert [r.outcome for r in run(lake, log, read(path, lake))] == ["published"] * 3
    opened = []
    for (_, message), secret in zip(log.messages[:2], ("ana@example.com", "bo@example.com"), strict=True):
        text = message["payload"]["email"]
        assert secret not in json.dumps(message)
        opened.append(KEYS.open(text, "raw-events", "payload.email", message["event_id"]) == secret)
    assert opened == [True, True]
    assert log.ids[0].endswith("ff")
    assert uuid.UUID(log.ids[2]).version == 5
    assert {r["outcome"] for r in recorded(lake)} == {"published_mended"}
    assert [r.outcome for r in run(lake, log, read(path, lake))] == ["already_replayed"] * 3
    assert len(log.messages) == 3


def test_where_no_broker_answers_nothing_is_recorded_and_time_is_bounded(
    lake: Lakehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    write(lake, *(Refused(offset, event(offset)) for offset in range(20)))
    began = time.monotonic()
    found = run(lake, None)
    assert {type(r.error).__name__ for r in found} == {"BrokerUnreachable"}
    assert time.monotonic() - began < 5, "ten batches do not wait ten times"
    assert recorded(lake) == []
    log = Log()
    assert {r.outcome for r in run(lake, log)} == {"published"}
    assert len(log.messages) == 20


def test_two_replays_at_once_record_each_letter_once(lake: Lakehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    write(lake, *(Refused(offset, event(offset)) for offset in range(4)))
    first, second, true = Log(), Log(), lake.commit

    def other_is_faster(name: str, change: Any, action: str) -> Any:
        monkeypatch.setattr(lake, "commit", true)
        run(lake, second, as_they_are(select(lake, Selection())[:2]), "r2")
        return true(name, change, action)

    lake.ensure(get_contract(REPLAYED))
    monkeypatch.setattr(lake, "commit", other_is_faster)
    assert [r.outcome for r in run(lake, first)] == ["published"] * 4
    assert [(r["kafka_offset"], r["run_id"]) for r in recorded(lake)] == [(0, "r2"), (1, "r2"), (2, "r1"), (3, "r1")]
    assert set(second.ids) < set(first.ids)
