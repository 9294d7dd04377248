"""Topics on a real broker, and a company played into them: the ledger against what another client reads."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from c360.errors import C360Error
from c360.events import EventProducer, KeyRing, ProducerConfig, TopicConfig
from c360.events.errors import EventError, TopicError
from c360.events.topics import plan
from mock_data.company import company_of
from mock_data.play import play
from mock_data.play_source import source
from mock_data.play_spoil import SPOILED
from tests.conftest import free_port
from tests.integration.events.conftest import Engines, Record, World
from tests.unit.events.examples import KEY

pytestmark = pytest.mark.integration

Read = Callable[[str], list[Record]]

JUDGED_BY_ARRIVAL = {"future_event_time", "past_event_time"}
"""Reasons that a reader of the message alone cannot see: the streams compare the event with its arrival."""


def test_a_topic_is_created_grown_and_altered_and_shrinks_only_when_told(world: World) -> None:
    admin, name = world.engines.admin, world.topics["raw-metrics"]
    now = admin.describe(name)[name]
    wanted = replace(now, configs={k: now.configs[k] for k in ("retention.ms", "compression.type")})
    assert plan([wanted], {name: now}) == []

    bigger = replace(wanted, partitions=5, configs={"retention.ms": "1000000", "compression.type": "zstd"})
    steps = plan([bigger], {name: now})
    assert [step.kind for step in admin.apply(steps)] == ["grow", "alter"]
    after = admin.describe(name)[name]
    assert (after.partitions, after.configs["compression.type"]) == (5, "zstd")
    assert after.configs["retention.ms"] == now.configs["retention.ms"], "a shorter retention deletes messages"
    left = plan([bigger], {name: after})
    assert [step.kind for step in admin.apply(left, allow_shrink=True)] == ["held"]
    assert admin.describe(name)[name].configs["retention.ms"] == "1000000"
    assert (
        admin.apply(plan([replace(bigger, partitions=1)], {name: admin.describe(name)[name]}), allow_shrink=True) == []
    )
    assert admin.describe(name)[name].partitions == 5

    with pytest.raises(TopicError, match="already exists"):
        admin.create(TopicConfig(name, 1, 1))
    admin.ensure(TopicConfig(name, 1, 1))
    assert admin.describe(name)[name].partitions == 5
    assert admin.describe("no-such-topic") == {}


def test_a_cluster_that_does_not_answer_is_named(engines: Engines) -> None:
    from c360.events import KafkaAdminManager

    with pytest.raises(TopicError, match="No broker answers"):
        KafkaAdminManager(f"127.0.0.1:{free_port()}", timeout=1).describe()


def test_a_play_balances_with_its_ledger_message_by_message(
    world: World, read_all: Read, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("play", "play_foreign"):
        monkeypatch.setattr(f"mock_data.{module}.load_schemas", lambda: world.schemas)
    of = source(company_of(0.01, 7, date(2025, 1, 1), 60))
    until = datetime.now(UTC)
    config = ProducerConfig(world.engines.kafka, "throughput")
    with EventProducer(config, None, KeyRing("k1", {"k1": KEY}), world.schemas, world.metrics) as producer:
        made = play(of, producer, ledger, seed=7, until=until, span=timedelta(days=2), machines=False)
        with pytest.raises(C360Error, match="already holds a ledger"):
            play(of, producer, ledger)
    assert made.errors == {}
    rows = pl.read_parquet(ledger / "part-*.parquet").to_dicts()
    by_place = {(row["topic"], row["partition"], row["offset"]): row for row in rows}
    found = {
        (topic, record.partition, record.offset): record.value
        for topic in (world.topics["raw-events"], world.topics["raw-transactions"])
        for record in read_all(topic)
    }
    assert len(rows) == len(by_place) == made.sent
    assert by_place.keys() == found.keys()

    accepted = Counter[str]()
    amount = Decimal(0)
    by_topic = {schema.topic: schema for schema in world.schemas.values()}
    for place, value in found.items():
        row = by_place[place]
        if row["reason"] in (None, "conflicting_duplicate"):
            event = json.loads(value or b"", parse_float=Decimal, parse_int=Decimal)
            assert event["event_id"] == row["event_id"]
            assert datetime.fromisoformat(event["event_timestamp"]) == row["event_timestamp"] <= until
            if row["outcome"] == "accepted":
                accepted[event["event_id"]] += 1
                amount += event["payload"].get("amount", 0)
        else:
            if row["reason"] in JUDGED_BY_ARRIVAL:
                continue
            with pytest.raises(EventError):
                by_topic[place[0]].read(value)
    clean = of.web.get_column("event_id").to_list()
    assert set(accepted.values()) == {1}
    assert set(clean) < set(accepted)
    assert len(accepted) == of.total
    assert amount == of.payments.get_column("amount").sum()
    assert {row["defect"] for row in rows} >= {"", "duplicate", "contradictory", "delayed", "late"}
    counts = made.counts["topics"][world.topics["raw-events"]]
    assert counts["sent"] == sum(counts.get(k, 0) for k in ("accepted", "deduplicated", "rejected"))
    assert counts == {
        **Counter(r["outcome"] for r in rows if r["topic"] == world.topics["raw-events"]),
        **{k: v for k, v in counts.items() if ":" in k or k in ("sent", "late")},
    }


def test_each_kind_of_spoiled_message_is_refused_by_a_reader_of_the_contract(world: World) -> None:
    from tests.unit.events.examples import action

    schema = world.schemas["page_view"]
    value = schema.ready(action(), None).value
    schema.read(value)
    for reason, spoil in SPOILED.values():
        if reason not in JUDGED_BY_ARRIVAL:
            with pytest.raises(EventError):
                schema.read(spoil(value))


def test_a_rate_is_kept(world: World, ledger: Path) -> None:
    of = source(company_of(0.01, 7, date(2025, 1, 1), 30))
    with EventProducer(
        ProducerConfig(world.engines.kafka), None, KeyRing("k1", {"k1": KEY}), world.schemas, world.metrics
    ) as producer:
        made = play(of, producer, ledger, rate=200, limit=400, defects=False, machines=False)
    assert made.sent == 400
    assert 1.9 <= made.seconds < 4
