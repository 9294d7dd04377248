"""Change messages as they stand in bronze: texts as Debezium 3.6.3 writes them, and small ones made by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence

NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)
NOON_US = 1_735_732_800_000_000


def order_row() -> dict[str, Any]:
    """A row of orders as it stands in an envelope."""
    return {
        "order_id": "O1",
        "customer_id": "C1",
        "ordered_at": "2025-01-01T12:00:00.000000Z",
        "status": "placed",
        "channel": "web",
        "location_id": None,
        "currency": "USD",
        "shipping_amount": "Ae8=",
        "updated_at": "2025-01-01T12:00:00.000000Z",
        "total_amount": "AMFc",
    }


ORDER: dict[str, Any] = {
    "before": None,
    "after": order_row(),
    "source": {"lsn": 100, "txId": 7, "ts_ms": NOON_US // 1000, "ts_us": NOON_US, "snapshot": "false"},
    "op": "c",
    "ts_ms": NOON_US // 1000,
}

_SOURCE = (
    '"source":{"version":"3.6.3.Final","connector":"postgresql","name":"dbserver1","ts_ms":1735892407123,"snapshot":"%s",'
    '"db":"shop","sequence":"[\\"27310000\\",\\"%d\\"]","ts_us":1735892407123456,"ts_ns":1735892407123456000,'
    '"schema":"public","table":"orders","txId":%d,"lsn":%d,"xmin":null,"origin":null,"origin_lsn":null},'
    '"transaction":null,"op":"%s","ts_ms":1735892407300,"ts_us":1735892407300123,"ts_ns":1735892407300123456}'
)
_PLACED = (
    '{"order_id":"O000000007","customer_id":"C0000012","ordered_at":"2025-01-03T08:20:07.000000Z","status":"placed",'
    '"channel":null,"location_id":"L0000012","currency":"USD","shipping_amount":"Ae8=",'
    '"updated_at":"2025-01-03T08:20:07.000000Z","total_amount":"AOjUpQ//"}'
)
_PAID = (
    '{"order_id":"O000000007","customer_id":"C0000012","ordered_at":"2025-01-03T08:20:07.000000Z","status":"paid",'
    '"channel":null,"location_id":"L0000012","currency":"USD","shipping_amount":"/w==",'
    '"updated_at":"2025-01-03T09:00:00.120000Z","total_amount":"AOjUpQ//"}'
)
_TEXTS = {
    "order_created": f'{{"before":null,"after":{_PLACED},' + _SOURCE % ("false", 27310912, 771, 27310912, "c"),
    "order_updated": f'{{"before":{_PLACED},"after":{_PAID},' + _SOURCE % ("false", 27311584, 772, 27311584, "u"),
    "order_deleted": f'{{"before":{_PAID},"after":null,' + _SOURCE % ("false", 27312000, 773, 27312000, "d"),
    "order_read": f'{{"before":null,"after":{_PLACED},'
    + _SOURCE % ("last_in_data_collection", 27400000, 790, 27400000, "r"),
    "truncated": '{"before":null,"after":null,' + _SOURCE % ("false", 27399000, 789, 27399000, "t"),
}


def debezium(name: str) -> bytes:
    """The text of a message."""
    return _TEXTS[name].encode()


def bronze_rows(
    table: str, messages: Sequence[tuple[bytes | None, bytes | None]], first: int = 0, partition: int = 0
) -> pa.Table:
    """Messages of a table's topic (key, value) as bronze holds them, with offsets from ``first`` on."""
    count = len(messages)
    return pa.table(
        {
            "topic": pa.array([f"dbserver1.public.{table}"] * count, pa.string()),
            "kafka_partition": pa.array([partition] * count, pa.int32()),
            "kafka_offset": pa.array(range(first, first + count), pa.int64()),
            "kafka_timestamp": pa.array([NOON] * count, pa.timestamp("us", tz="UTC")),
            "key": pa.array([key for key, _ in messages], pa.binary()),
            "value": pa.array([value for _, value in messages], pa.binary()),
        }
    )
