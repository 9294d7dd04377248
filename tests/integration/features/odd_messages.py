"""Messages about orders as no well-behaved capture writes them, and what they say."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.integration.features.shop_stream import micros, plain

if TYPE_CHECKING:
    from datetime import datetime

HOUR = timedelta(hours=1)
TICK = timedelta(microseconds=1)


def odd_messages(moment: datetime) -> list[tuple[str, bytes, str | None]]:
    """Name, message, and the amount of the order ``odd:<name>`` if it tells of that."""

    def row(name: str, amount: Any, **more: Any) -> dict[str, Any]:
        return {
            "order_id": f"odd:{name}", "customer_id": f"odd:{name}", "ordered_at": plain(moment), "status": "placed",
            "total_amount": amount, "updated_at": plain(moment), **more,
        }  # fmt: skip

    def told(name: str, amount: Any, **more: Any) -> bytes:
        body = {"op": "c", "before": None, "after": row(name, amount), "source": {"lsn": 1, "ts_us": micros(moment)}}
        return json.dumps({**body, **more}).encode()

    def scaled(unscaled: int, scale: int) -> dict[str, Any]:
        return {"scale": scale, "value": base64.b64encode(unscaled.to_bytes(8, "big", signed=True)).decode()}

    good = told("good", "ZA==")
    amounts: list[tuple[str, Any, str | None]] = [
        ("scale_0", scaled(10, 0), "10.00"), ("scale_1", scaled(-15, 1), "-1.50"), ("scale_3", scaled(1230, 3), "1.23"),
        ("scale_3_and_not_whole_cents", scaled(1234, 3), None), ("scale_below_0", scaled(5, -3), "5000.00"),
        ("least_scale", scaled(1, -(2**31)), None), ("least_scale_of_zeros", scaled(100, -(2**31)), None),
        ("scale_beyond_32_bits", scaled(1, 2**31), None), ("greatest_scale", scaled(1, 2**31 - 1), None),
        ("no_scale", {"value": "ZA=="}, None), ("number", 12.5, "12.50"), ("whole_number", 7, "7.00"),
        ("three_digits", 0.125, None), ("text", "12.50", None), ("empty_text", "", None), ("truth", True, None),
        ("list", [1], None), ("null", None, None), ("least_cent", "/w==", "-0.01"),
        ("greatest", base64.b64encode((10**12 - 1).to_bytes(8, "big")).decode(), "9999999999.99"),
        ("too_great", base64.b64encode((10**12).to_bytes(8, "big")).decode(), None),
        ("a_megabyte", base64.b64encode(b"\x01" + bytes(600_000)).decode(), None),
    ]  # fmt: skip
    rows: list[tuple[str, dict[str, Any], str | None]] = [
        ("no_customer", {"customer_id": None}, None), ("a_number_as_an_id", {"order_id": 5}, None),
        ("no_moment", {"ordered_at": "yesterday"}, None), ("no_status", {"status": None}, None),
        ("the_thirtieth_of_february", {"ordered_at": "2025-02-30T00:00:00Z"}, None),
        ("an_hour_ahead", {"ordered_at": plain(moment + HOUR)}, None),
        ("more_than_an_hour_ahead", {"ordered_at": plain(moment + HOUR + TICK)}, None),
        ("a_clock_ahead", {"updated_at": "9999-12-31T23:59:59.999999Z"}, "1.00"),
        ("columns_that_nobody_knows", {"new": {"a": [1, {"b": None}]}}, "1.00"),
        ("a_letter_of_four_bytes", {"status": "\N{GRINNING FACE}"}, "1.00"),
    ]  # fmt: skip
    rows[5] = (*rows[5][:2], "1.00")
    messages = [(name, told(name, amount), wanted) for name, amount, wanted in amounts]
    messages += [(name, told(name, 0, after=row(name, "ZA==", **more)), wanted) for name, more, wanted in rows]
    messages += [
        ("good", good, "1.00"), ("cut_off", good[:-2], None), ("two_in_one", good + good, None), ("nothing", b"", None),
        ("no_object", b"[1]", None), ("no_text", b"\xff\xfe", None), ("a_word", b"null", None),
        ("in_utf_16", told("in_utf_16", "ZA==").decode().encode("utf-16"), None),
        ("a_letter_that_is_none", told("a_letter_that_is_none", "ZA==")[:-1] + b',"x":"\xff"}', None),
        ("deep", told("deep", "ZA==")[:-1] + b',"x":' + b"[" * 5000 + b"]" * 5000 + b"}", None),
        ("a_number_of_many_digits", told("a_number_of_many_digits", 0).replace(b": 0,", b": 1E+2147483648,"), None),
        ("a_number_of_many_zeros", told("a_number_of_many_zeros", 0).replace(b": 0,", b": 1E-2147483648,"), None),
        ("no_operation", told("no_operation", "ZA==", op=None), None),
        ("new_operation", told("new_operation", "ZA==", op="x"), None),
        ("truncated", told("truncated", None, op="t", after=None), None),
        ("message", told("message", None, op="m", after=None), None),
        ("no_source", told("no_source", "ZA==", source=None), None),
        ("no_commit", told("no_commit", "ZA==", source={"lsn": 1}), None),
        ("milliseconds", told("milliseconds", "ZA==", source={"lsn": 1, "ts_ms": micros(moment) // 1000}), "1.00"),
        ("with_a_schema", b'{"schema":{},"payload":' + told("with_a_schema", "ZA==") + b"}", "1.00"),
        ("garbage_before", told("garbage_before", "ZA==", op="u", before={"total_amount": [], "order_id": 1}), "1.00"),
        ("key_only", told("key_only", 0, op="d", after=None, before={"order_id": "odd:key_only"}), None),
        ("deleted", told("deleted", 0, op="d", after=None, before=row("deleted", "ZA==")), "1.00"),
        ("to_nothing", told("to_nothing", 0, op="u", after=None, before=row("to_nothing", "ZA==")), None),
    ]  # fmt: skip
    return messages
