"""Messages that no producer should send, through the real stream: each is accepted, or refused for the reason given."""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Producer

from c360.lakehouse import Lakehouse
from c360.streams.parity import silver_parity

if TYPE_CHECKING:
    from tests.integration.streams.conftest import World

pytestmark = pytest.mark.integration
TOPIC, BRONZE, SILVER, LETTERS = "raw-metrics", "bronze.raw_metrics", "silver.metric_events", "silver.dead_letters"
NOW = datetime.now(UTC)
FIRST = str(uuid.uuid4())


def metric(**changes: Any) -> dict[str, Any]:
    """A valid event; ``None`` takes a field of the envelope out."""
    event: dict[str, Any] = {
        "event_id": str(uuid.uuid4()),
        "event_timestamp": moment(NOW),
        "source_system": "checkout",
        "schema_version": 1,
        "metadata": {"correlation_id": "c-1"},
        "event_type": "metric",
        "payload": {"metric_name": "latency", "kind": "gauge", "value": 1.5},
    }
    event |= changes
    return {name: value for name, value in event.items() if value is not None}


def moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def text(event: dict[str, Any]) -> bytes:
    return json.dumps(event).encode()


def payload(raw: str) -> bytes:
    """The event with this JSON for its payload."""
    return text(metric(payload="@")).replace(b'"@"', raw.encode())


def value(raw: str) -> bytes:
    """The event with this JSON for its value."""
    return payload(f'{{"metric_name":"latency","kind":"gauge","value":{raw}}}')


def labels(raw: str) -> bytes:
    """The event with this JSON for its labels."""
    return payload(f'{{"metric_name":"latency","kind":"gauge","value":1,"labels":{raw}}}')


def named(name: str) -> bytes:
    return text(metric(payload={"metric_name": name, "kind": "gauge", "value": 1}))


OK = "accepted"
CASES: dict[str, tuple[bytes | None, str]] = {
    "plain": (text(metric(event_id=FIRST)), OK),
    "the same again": (text(metric(event_id=FIRST)), "repeated"),
    "the same id, another body": (text(metric(event_id=FIRST, source_system="cart")), "conflicting_duplicate"),
    "empty": (b"", "malformed_record"),
    "tombstone": (None, "malformed_record"),
    "white space": (b" \n", "malformed_record"),
    "truncated": (text(metric())[:-9], "malformed_record"),
    "two documents": (text(metric()) * 2, "malformed_record"),
    "byte order mark": (b"\xef\xbb\xbf" + text(metric()), "malformed_record"),
    "UTF-16": (json.dumps(metric()).encode("utf-16-le"), "malformed_record"),
    "array root": (b"[" + text(metric()) + b"]", "malformed_record"),
    "100,000 deep": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "malformed_record"),
    "deep labels": (labels('{"a":' * 100_000 + "1" + "}" * 100_000), "malformed_record"),
    "not UTF-8": (text(metric()).replace(b"checkout", b"check\xff\xfe"), "bad_encoding"),
    "overlong UTF-8": (text(metric()).replace(b"checkout", b"check\xc0\x80"), "bad_encoding"),
    "lone surrogate": (text(metric()).replace(b"checkout", b"\\ud800x"), "malformed_record"),
    "control character": (text(metric()).replace(b"checkout", b"che\tck"), "malformed_record"),
    "a name twice": (value("1") .replace(b'"value":1', b'"value":1,"value":2'), OK),
    "NaN": (value("NaN"), "bad_type"),
    "infinite": (value("-Infinity"), "bad_type"),
    "1e400": (value("1e400"), "bad_type"),
    "1e300": (value("1e300"), OK),
    "smallest double": (value("4.9e-324"), OK),
    "whole number as double": (value("7"), OK),
    "number as text": (value('"7"'), "bad_type"),
    "no value": (payload('{"metric_name":"latency","kind":"gauge"}'), "missing_required"),
    "null value": (value("null"), "missing_required"),
    "missing id": (text(metric(event_id=None)), "missing_required"),
    "id is no UUID": (text(metric(event_id="42")), "not_allowed"),
    "id in capitals": (text(metric(event_id=FIRST.upper())), "not_allowed"),
    "id is a number": (text(metric(event_id=42)), "bad_type"),
    "no time zone": (text(metric(event_timestamp=moment(NOW)[:-1])), "bad_type"),
    "another time zone": (text(metric(event_timestamp=moment(NOW)[:-1] + "+02:00")), "bad_type"),
    "zero offset": (text(metric(event_timestamp=moment(NOW)[:-1] + "+00:00")), OK),
    "small letters": (text(metric(event_timestamp=moment(NOW).lower())), OK),
    "nanoseconds": (text(metric(event_timestamp=moment(NOW)[:-1] + "789Z")), OK),
    "seconds since 1970": (text(metric(event_timestamp=int(NOW.timestamp()))), "bad_type"),
    "milliseconds as text": (text(metric(event_timestamp=str(int(NOW.timestamp() * 1000)))), "bad_type"),
    "30 February": (text(metric(event_timestamp="2026-02-30T00:00:00Z")), "bad_type"),
    "leap second": (text(metric(event_timestamp="2016-12-31T23:59:60Z")), "bad_type"),
    "two years late": (text(metric(event_timestamp=moment(NOW - timedelta(days=730)))), "past_event_time"),
    "a year ahead": (text(metric(event_timestamp=moment(NOW + timedelta(days=365)))), "future_event_time"),
    "the year 9999": (text(metric(event_timestamp="9999-12-31T23:59:59Z")), "future_event_time"),
    "an hour late": (text(metric(event_timestamp=moment(NOW - timedelta(hours=1)))), OK),
    "unknown event type": (text(metric(event_type="daydream")), "not_allowed"),
    "unknown schema version": (text(metric(schema_version=99)), "unknown_schema_version"),
    "schema version 0": (text(metric(schema_version=0)), "out_of_range"),
    "schema version 1.0": (text(metric()).replace(b'"schema_version": 1', b'"schema_version": 1.0'), "bad_type"),
    "schema version 10^30": (text(metric(schema_version=10**30)), "out_of_range"),
    "unknown field": (text(metric(extra=1)), "not_allowed"),
    "no metadata": (text(metric(metadata=None)), "missing_required"),
    "metadata is a text": (text(metric(metadata="c-1")), "bad_type"),
    "payload is null": (payload("null"), "missing_required"),
    "blank name": (named(" \u00a0"), "not_allowed"),
    "long name": (named("x" * 121), "out_of_range"),
    "120 letters beyond the first plane": (named("\U0001f600" * 120), OK),
    "NUL in a name": (named("a\x00b"), OK),
    "labels": (labels('{"b": "x", "a": 1.50, "c": true, "d": 9223372036854775807}'), OK),
    "label null": (labels('{"a": null}'), "bad_type"),
    "label list": (labels('{"a": [1]}'), "bad_type"),
    "label too large": (labels('{"a": 9223372036854775808}'), "out_of_range"),
    "label infinite": (labels('{"a": 1e999}'), "bad_type"),
    "labels are a list": (labels("[]"), "bad_type"),
    "a megabyte and one byte": (named("x" * (1_000_001 - len(named("")))), "out_of_range"),
}  # fmt: skip


def test_each_message_is_accepted_or_refused_for_its_reason_and_none_is_lost(world: World) -> None:
    if not world.streams.look("metrics").active:
        world.streams.start("metrics")
    outcomes = Counter(outcome for _, outcome in CASES.values())
    due = {BRONZE: len(CASES), SILVER: outcomes[OK], LETTERS: len(CASES) - outcomes[OK] - outcomes["repeated"]}
    due = {table: world.rows(table) + count for table, count in due.items()}
    places: dict[tuple[int, int], str] = {}
    producer = Producer({"bootstrap.servers": world.settings.kafka_servers, "message.max.bytes": 1_048_576})
    for name, (message, _) in CASES.items():

        def answered(error: object, got: Any, name: str = name) -> None:
            assert error is None, name
            places[got.partition(), got.offset()] = name

        producer.produce(TOPIC, message, "one key", on_delivery=answered)
        assert producer.flush(20) == 0  # one after another: repetitions follow what they repeat
    deadline = time.monotonic() + 90
    while any(world.rows(table) < count for table, count in due.items()):
        assert time.monotonic() < deadline, world.streams.flink.root_cause(world.streams.look("metrics").active[0].id)
        time.sleep(1)

    found = dict.fromkeys(CASES, "repeated")
    columns = ("kafka_partition", "kafka_offset")
    assert {places.get(row) for row in world.read(BRONZE, *columns).iter_rows()} - {None} == CASES.keys()
    for row in world.read(SILVER, *columns).iter_rows():
        if row in places:
            found[places[row]] = OK
    for partition, offset, reason in world.of(LETTERS, TOPIC, *columns, "reason").iter_rows():
        if (partition, offset) in places:
            found[places[partition, offset]] = reason
    assert found == {name: outcome for name, (_, outcome) in CASES.items()}

    kept = {(row[0], row[1]): row[2] for row in world.read(BRONZE, *columns, "value").iter_rows()}
    for place, name in places.items():
        assert kept[place] == CASES[name][0], name  # byte for byte
    with Lakehouse(world.settings) as lake:
        assert silver_parity(lake, world.streams.job("metrics")).examples() == []
    world.streams.stop("metrics")
