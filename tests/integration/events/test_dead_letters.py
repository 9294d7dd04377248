"""Dead letters on a real broker: mended, published again, read by another client; a second time adds nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from c360.contracts.topic import TopicContract, load_topics
from c360.errors import LakehouseError, StreamError
from c360.events import EventProducer, KeyRing, ProducerConfig, RegistryClient, TopicConfig
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from c360.streams.dead_letters import Position, Selection, get, select
from c360.streams.letter_file import export, read
from c360.streams.replay import Replayed, as_they_are, replay
from tests.integration.events.conftest import Engines, Record, World
from tests.unit.events.examples import KEY
from tests.unit.streams.letters import ARRIVED, Refused, event, write

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::dagster.BetaWarning")]

KEYS = KeyRing("k1", {"k1": KEY})
Read = Callable[[str], list[Record]]


@pytest.fixture
def lake(settings: Settings) -> Iterator[Lakehouse]:
    with Lakehouse(settings) as lake:
        yield lake


def today(number: int, **payload: Any) -> dict[str, Any]:
    moment = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="microseconds")
    return {**event(number, **payload), "event_timestamp": moment.replace("+00:00", "Z")}


def lacking(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


def play(world: World, lake: Lakehouse, drafts: Any, run_id: str) -> list[Replayed]:
    topics: dict[str, TopicContract] = {schema.topic: schema.contract for schema in world.schemas.values()}
    config, registry = ProducerConfig(world.engines.kafka), RegistryClient(world.engines.registry)
    with EventProducer(config, registry, KEYS, world.schemas, world.metrics) as producer:
        return replay(lake, drafts, producer, run_id, datetime.now(UTC), KEYS, topics)


def test_letters_are_mended_published_once_and_found_where_the_record_says(
    world: World, lake: Lakehouse, read_all: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, payments = world.topics["raw-events"], world.topics["raw-transactions"]
    documents = {offset: today(offset, email=f"c{offset}@example.com") for offset in range(1, 31)}
    payment = {
        **today(100), "event_type": "payment", "schema_version": 1,
        "payload": {"transaction_id": "T1", "account_id": "C1", "order_id": "O1", "amount": "free",
                    "currency": "USD", "status": "captured"},
    }  # fmt: skip
    write(
        lake,
        *(Refused(n, lacking(document, "source_system"), topic=events, partition=n % 4)
          for n, document in documents.items()),
        Refused(31, b'{"event_id": ', "malformed_record", None, topic=events),
        Refused(32, documents[1] | {"source_system": "other"}, "conflicting_duplicate", "event_id", topic=events),
        Refused(33, lacking(today(33), "event_id"), "missing_required", "event_id", topic=events),
        Refused(7, payment, "bad_type", "payload.amount", topic=payments),
    )  # fmt: skip
    path = tmp_path / "letters.jsonl"
    topics = {schema.topic: schema.contract for schema in world.schemas.values()}
    assert export(select(lake, Selection()), path, topics=topics) == 34
    assert "@example.com" not in path.read_text()

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line["reason"] == "missing_required":
            line["event"]["source_system"] = "web-shop"
        elif line["reason"] == "bad_type":
            line["event"]["payload"]["amount"] = 12.5
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    with pytest.raises(StreamError, match=r"line \d+: holds no event"):
        read(path, lake)
    assert read_all(events) == []

    kept = [line for line in lines if line["event"] is not None]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in kept))
    true, fails = lake.commit, [True]

    def fails_once(name: str, change: Any, action: str) -> Any:
        if action.startswith("record") and fails.pop():
            raise LakehouseError("The process ends here", "run it again")
        return true(name, change, action)

    monkeypatch.setattr(lake, "commit", fails_once)
    with pytest.raises(StreamError, match="32 letters were published and are not recorded"):
        play(world, lake, read(path, lake), "crashed")
    monkeypatch.setattr(lake, "commit", true)
    results = play(world, lake, read(path, lake), "second")
    assert Counter(result.outcome for result in results) == {"published": 32, "refused": 1}
    assert [type(r.error).__name__ for r in results if r.error] == ["RefusedAgain"]

    messages = {(r.partition, r.offset): json.loads(r.value or b"") for r in read_all(events)}
    twice = Counter(message["event_id"] for message in messages.values())
    assert set(twice.values()) == {2}, "what was published before the crash has the same id after it"
    assert len(twice) == 31
    assert "@example.com" not in json.dumps(list(messages.values()))
    for result in results:
        if result.outcome == "published" and result.position.topic == events:
            message = messages[result.partition or 0, result.offset or 0]
            assert message["event_id"] == result.event_id
            if result.position.offset in documents:
                wanted = documents[result.position.offset]
                email = KEYS.open(message["payload"]["email"], events, "payload.email", message["event_id"])
                message = {**message, "payload": {**message["payload"], "email": email}}
                assert message == wanted
    (_, paid) = read_all(payments)
    assert json.loads(paid.value or b"")["payload"]["amount"] == 12.5
    assert paid.key == b"C1"

    before = len(messages)
    again = play(world, lake, read(path, lake), "third")
    again += play(world, lake, as_they_are([get(lake, Position(events, 1, 1))]), "fourth")
    assert Counter(result.outcome for result in again) == {"already_replayed": 33, "refused": 1}
    assert len(read_all(events)) == before
    rows = lake.read("silver.replayed_letters").to_pylist()
    assert Counter(row["run_id"] for row in rows) == {"second": 32}
    assert {
        (row["published_partition"], row["published_offset"]) for row in rows if row["source_topic"] == events
    } < set(messages)


@pytest.fixture
def true_topics(engines: Engines) -> Iterator[dict[str, int]]:
    """The product's own topics, made for the test if the cluster lacks them; messages that each holds."""
    admin = engines.admin
    wanted = [c for name, c in load_topics().items() if name in ("raw-events", "raw-metrics")]
    made = [contract for contract in wanted if not admin.describe(contract.name)]
    admin.create(*(TopicConfig.of(contract, admin.brokers()) for contract in made))
    yield {}
    admin.delete(*(contract.name for contract in made))


def test_the_command_and_the_asset_replay_and_a_second_run_adds_nothing(
    engines: Engines, true_topics: object, settings: Settings, read_all: Read, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    offset = 10_000
    metric = {
        **lacking(today(1), "payload"), "event_type": "metric", "schema_version": 1,
        "payload": {"metric_name": "m", "kind": "gauge", "value": 1.5},
    }  # fmt: skip
    with Lakehouse(settings) as lake:
        write(
            lake,
            Refused(offset, today(1), "not_allowed", "payload.user_id"),
            Refused(offset + 1, today(2), "conflicting_duplicate", "event_id"),
            Refused(offset, metric, "not_allowed", "payload.kind", topic="raw-metrics", arrived=ARRIVED),
        )
    held = {topic: len(read_all(topic)) for topic in ("raw-events", "raw-metrics")}
    environment = {
        "C360_HOME": str(settings.home), "C360_KAFKA_BOOTSTRAP": engines.kafka, "C360_REGISTRY_URL": engines.registry,
    }  # fmt: skip

    def command(*arguments: str) -> tuple[int, Any]:
        code = "from c360.cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", code, "dlq", *arguments, "--json"],
            capture_output=True, text=True, timeout=120, env={**os.environ, **environment},
        )  # fmt: skip
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    for outcome in ("published", "already_replayed"):
        code, rows = command("replay", "--topic", "raw-events")
        assert [(row["outcome"], row["error"]) for row in rows] == [(outcome, None), ("refused", "RefusedAgain")]
        assert code == 1
    assert {row["reason"]: row["replayed"] for row in command("list", "--topic", "raw-events")[1]} == {
        "not_allowed": 1, "conflicting_duplicate": 0,
    }  # fmt: skip
    path = tmp_path / "mended.jsonl"
    command("export", str(path), "--letter", f"raw-events/0/{offset + 1}")
    mended = json.loads(path.read_text())
    mended["event"]["event_id"] = "00000000-0000-4000-8000-00000000aaaa"
    path.write_text(json.dumps(mended))

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert materialise(file=str(path)) == {"letters": 1, "published": 1, "already_replayed": 0, "refused": 0}
    assert materialise(topic="raw-metrics") == {"letters": 1, "published": 1, "already_replayed": 0, "refused": 0}
    assert materialise(since="2026-01-01") == {"letters": 3, "published": 0, "already_replayed": 3, "refused": 0}
    with pytest.raises(dg.Failure, match="exclude each other"):
        materialise()
    assert {topic: len(read_all(topic)) - count for topic, count in held.items()} == {"raw-events": 2, "raw-metrics": 1}


def materialise(**config: str) -> dict[str, Any]:
    from c360_assets.defs.dead_letters.assets import Replay, replayed_letters
    from c360_assets.resources.lake import LakehouseResource

    done = dg.materialize(
        [replayed_letters],
        resources={"lakehouse": LakehouseResource()},
        run_config=dg.RunConfig(ops={replayed_letters.op.name: Replay(**config)}),
    )
    (event,) = done.get_asset_materialization_events()
    (check,) = done.get_asset_check_evaluations()
    assert check.passed
    metadata = event.materialization.metadata
    return {name: metadata[name].value for name in ("letters", "published", "already_replayed", "refused")}
