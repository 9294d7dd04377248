"""Messages that a careless producer would send, made from a real event's bytes, and why each is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

Message = bytes | None


def _changed(**fields: Any) -> Callable[[bytes], Message]:
    """The event with other values in its envelope; a value of None takes the field out."""

    def change(value: bytes) -> Message:
        event = json.loads(value)
        for name, other in fields.items():
            if other is None:
                del event[name]
            else:
                event[name] = other
        return _written(event)

    return change


def _written(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


def _years(count: int) -> Callable[[bytes], Message]:
    """The event as if it had happened this many years later."""

    def change(value: bytes) -> Message:
        event = json.loads(value)
        moment = event["event_timestamp"]
        event["event_timestamp"] = f"{int(moment[:4]) + count}-02-01{moment[10:]}"
        return _written(event)

    return change


def _version(text: str) -> Callable[[bytes], Message]:
    """The event with this JSON text for its schema version."""

    def change(value: bytes) -> Message:
        return _written({**json.loads(value), "schema_version": "@"}).replace(b'"@"', text.encode())

    return change


def _local_time(value: bytes) -> Message:
    event = json.loads(value)
    event["event_timestamp"] = event["event_timestamp"].removesuffix("Z")
    return _written(event)


SPOILED: Mapping[str, tuple[str, Callable[[bytes], Message]]] = {
    "truncated": ("malformed_record", lambda value: value[: len(value) // 2]),
    "no_json": ("malformed_record", lambda _: b"event_id=42;event_type=page_view"),
    "empty": ("malformed_record", lambda _: b""),
    "tombstone": ("malformed_record", lambda _: None),
    "array_root": ("malformed_record", lambda value: b"[" + value + b"]"),
    "too_deep": ("malformed_record", lambda _: b'{"a":' * 2000 + b"1" + b"}" * 2000),
    "bad_encoding": (
        "bad_encoding",
        lambda value: value.replace(b'system":"', b'system":"\xff\xfe', 1),
    ),
    "missing_id": ("missing_required", _changed(event_id=None)),
    "missing_time": ("missing_required", _changed(event_timestamp=None)),
    "bad_id": ("not_allowed", _changed(event_id="42")),
    "unknown_type": ("not_allowed", _changed(event_type="daydream")),
    "no_zone": ("bad_type", _local_time),
    "text_time": ("bad_type", _changed(event_timestamp="yesterday")),
    "millisecond_time": ("bad_type", _changed(event_timestamp=1_735_689_600_000)),
    "not_a_number": ("bad_type", _version("NaN")),
    "huge_number": ("bad_type", _version("1e400")),
    "year_ahead": ("future_event_time", _years(2)),
    "years_late": ("past_event_time", _years(-3)),
    "byte_order_mark": ("malformed_record", lambda value: b"\xef\xbb\xbf" + value),
    "payload_text": ("bad_type", _changed(payload="page=/sale")),
    "version_zero": ("out_of_range", _changed(schema_version=0)),
    "version_unknown": ("unknown_schema_version", _changed(schema_version=99)),
}
"""Defect → the reason a reader refuses it for, and how the bytes come about."""
