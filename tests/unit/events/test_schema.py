"""Validation, routing and keys; the verdicts are compared with those of the jsonschema package on the wire schema."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from jsonschema import Draft7Validator, FormatChecker

from c360.events import MAX_EVENT_BYTES, Event, KeyRing, MetricEvent, load_schemas
from c360.events.errors import EventError, EventTooLarge, InvalidEvent, UnknownEventType, UnknownSchemaVersion
from c360.events.schema import schema_for
from tests.unit.events.examples import AT, FULL, KEY, LEAN, action, payment

KEYS = KeyRing("k1", {"k1": KEY})
SCHEMAS = load_schemas()
NOW = "2025-03-14T09:26:53.120Z"


def oracle(topic_type: str) -> Draft7Validator:
    return Draft7Validator(SCHEMAS[topic_type].json_schema, format_checker=FormatChecker())


def kind(event: Event) -> str:
    return str(event.event_type)  # type: ignore[attr-defined]


def document(event: Event) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SCHEMAS[kind(event)].ready(event, KEYS).value)
    return found


@pytest.mark.parametrize(
    ("event_type", "topic"),
    [
        ("page_view", "raw-events"),
        ("support_ticket", "raw-events"),
        ("payment", "raw-transactions"),
        ("refund", "raw-transactions"),
        ("incident", "raw-system-events"),
        ("metric", "raw-metrics"),
        ("log", "raw-logs"),
    ],
)
def test_the_type_decides_the_topic(event_type: str, topic: str) -> None:
    assert schema_for(event_type, SCHEMAS).topic == topic


@pytest.mark.parametrize("event_type", ["daydream", "", None, 7, ["page_view"]])
def test_an_unknown_type_has_no_topic(event_type: object) -> None:
    with pytest.raises(UnknownEventType, match="use one of add_to_cart"):
        schema_for(event_type, SCHEMAS)


def test_keys_by_type() -> None:
    expected = ["C1", "C1", "web-shop", "latency", "web-shop"]
    assert [SCHEMAS[kind(e)].ready(e, KEYS).key for e in FULL] == expected
    assert SCHEMAS["search"].ready(action(user_id=None, session_id="W7"), None).key == "W7"
    assert SCHEMAS["search"].ready(action(user_id=None), None).key is None


@pytest.mark.parametrize("event", [*FULL, *LEAN], ids=lambda e: type(e).__name__)
def test_what_goes_out_is_valid_json_schema_and_reads_back_equal(event: Event) -> None:
    schema = SCHEMAS[kind(event)]
    ready = schema.ready(event, KEYS)
    oracle(kind(event)).validate(json.loads(ready.value))
    back = schema.read(ready.value, KEYS)
    encoder = msgspec.json.Encoder(decimal_format="number", order="sorted")
    assert encoder.encode(back) == encoder.encode(event)
    assert ready.event_id == event.event_id


def test_numbers_keep_their_digits() -> None:
    value = SCHEMAS["payment"].ready(payment(Decimal("9999999999.99")), None).value
    assert json.loads(value, parse_float=str)["payload"]["amount"] == "9999999999.99"


BROKEN: list[tuple[str, str, Any]] = [
    ("page_view", "event_id", "42"),
    ("page_view", "event_id", "6F1C2D3E-4B5A-4C6D-8E7F-901A2B3C4D5E"),
    ("page_view", "event_id", None),
    ("page_view", "event_timestamp", "yesterday"),
    ("page_view", "event_timestamp", 1735689600000),
    ("page_view", "source_system", ""),
    ("page_view", "source_system", "s" * 41),
    ("page_view", "schema_version", 0),
    ("page_view", "schema_version", "1"),
    ("page_view", "metadata", {}),
    ("page_view", "surprise", 1),
    ("page_view", "payload.user_id", " "),
    ("page_view", "payload.user_id", 7),
    ("page_view", "payload.device", "fridge"),
    ("page_view", "payload.properties", {"deep": {"er": 1}}),
    ("page_view", "payload.properties", {"null": None}),
    ("page_view", "payload.surprise", 1),
    ("page_view", "payload", "page=/sale"),
    ("payment", "payload.amount", -0.01),
    ("payment", "payload.currency", "EUR"),
    ("payment", "payload.transaction_id", None),
    ("metric", "payload.value", "12"),
    ("metric", "payload.value", None),
    ("metric", "payload.kind", "sum"),
    ("log", "payload.message", "m" * 65537),
    ("incident", "payload.duration_ms", -1),
    ("incident", "payload.duration_ms", 1.5),
]


def changed(event_type: str, path: str, value: Any) -> dict[str, Any]:
    found = document(next(event for event in FULL if SCHEMAS[kind(event)] is SCHEMAS[event_type]))
    for sealed in ("ip_address", "email", "account_holder", "client_ip"):
        found["payload"].pop(sealed, None)
    found["event_type"] = event_type
    SCHEMAS[event_type].ready(found, None)  # only the change below may be what is refused
    here, (*parents, name) = found, path.split(".")
    for parent in parents:
        here = here[parent]
    here[name] = value
    return found


@pytest.mark.parametrize(("event_type", "path", "value"), BROKEN)
def test_what_the_oracle_refuses_is_refused_both_ways(event_type: str, path: str, value: Any) -> None:
    wrong = changed(event_type, path, value)
    assert not oracle(event_type).is_valid(wrong) or path == "event_timestamp"  # the oracle takes any text for a moment
    with pytest.raises(InvalidEvent):
        SCHEMAS[event_type].ready(wrong, KEYS)
    with pytest.raises(InvalidEvent):
        SCHEMAS[event_type].read(json.dumps(wrong).encode())


@pytest.mark.parametrize(
    "amount", [Decimal("1.001"), Decimal("1e10"), Decimal("-0.01"), Decimal("NaN"), Decimal("Infinity")]
)
def test_an_amount_that_does_not_fit_is_refused(amount: Decimal) -> None:
    with pytest.raises(InvalidEvent):
        SCHEMAS["payment"].ready(payment(amount), None)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_refused_also_where_a_value_is_optional(value: float) -> None:
    metric = FULL[3]
    assert isinstance(metric, MetricEvent)
    wrong = msgspec.structs.replace(metric, payload=msgspec.structs.replace(metric.payload, value=value))
    with pytest.raises(InvalidEvent):
        SCHEMAS["metric"].ready(wrong, None)
    with pytest.raises(InvalidEvent):
        SCHEMAS["page_view"].ready(action(properties={"ratio": value}), None)


def test_moments_must_be_utc() -> None:
    for wrong in (AT.replace(tzinfo=None), AT.astimezone(timezone(timedelta(hours=2)))):
        with pytest.raises(InvalidEvent):
            SCHEMAS["page_view"].ready(msgspec.structs.replace(action(), event_timestamp=wrong), None)
    for right in ("2025-03-14T09:26:53+00:00", "2025-03-14T09:26:53Z"):
        value = SCHEMAS["page_view"].ready(changed("page_view", "event_timestamp", right), KEYS).value
        assert json.loads(value)["event_timestamp"] == "2025-03-14T09:26:53Z"
    assert datetime.fromisoformat(document(action())["event_timestamp"]) == AT


def test_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(InvalidEvent):
        SCHEMAS["page_view"].ready(action(properties={"page": "\ud800"}), None)
    with pytest.raises(InvalidEvent):
        SCHEMAS["page_view"].ready(action(properties={"page": object()}), None)


def test_the_size_limit_is_met_exactly() -> None:
    def sized(length: int) -> int:
        return len(SCHEMAS["page_view"].ready(action(properties={"p": "x" * length}), None).value)

    frame = sized(0)
    assert sized(MAX_EVENT_BYTES - frame) == MAX_EVENT_BYTES
    with pytest.raises(EventTooLarge, match="1,000,001 bytes"):
        sized(MAX_EVENT_BYTES - frame + 1)


def test_versions_up_to_the_contracts_are_read_and_newer_ones_named() -> None:
    for version in (1, 2):
        assert SCHEMAS["page_view"].read(json.dumps(changed("page_view", "schema_version", version)).encode())
    newer = {**changed("page_view", "schema_version", 3), "field_of_tomorrow": 1}
    with pytest.raises(UnknownSchemaVersion, match="the newest is 2"):
        SCHEMAS["page_view"].read(json.dumps(newer).encode())


@pytest.mark.parametrize(
    "message",
    [
        None,
        b"",
        b"\xef\xbb\xbf{}",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"NaN",
        b"null",
    ],
    ids=["tombstone", "empty", "bom", "array", "cut", "bytes", "deep", "nan", "null"],
)
def test_hostile_messages_are_refused_by_name(message: bytes | None) -> None:
    with pytest.raises(EventError):
        SCHEMAS["page_view"].read(message)
