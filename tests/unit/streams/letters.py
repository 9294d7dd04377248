"""Dead letters as a streaming job would have written them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from c360.contracts.loader import get_contract
from c360.lakehouse import Lakehouse

TABLE = "silver.dead_letters"
ARRIVED = datetime(2026, 1, 5, 12, 0, 0, tzinfo=UTC)
NOW = datetime(2026, 1, 6, 12, 0, 0, tzinfo=UTC)


def event(number: int, **payload: Any) -> dict[str, Any]:
    """A page view that the contract of raw-events takes."""
    return {
        "event_id": f"00000000-0000-4000-8000-{number:012d}",
        "event_type": "page_view",
        "event_timestamp": "2026-01-05T11:59:58.120000Z",
        "source_system": "web-shop",
        "schema_version": 2,
        "metadata": {"correlation_id": f"W{number}"},
        "payload": {"user_id": f"C{number}", **payload},
    }


@dataclass(frozen=True)
class Refused:
    """A letter to be written: ``body`` is a JSON document, or the bytes themselves."""

    offset: int
    body: Any
    reason: str = "missing_required"
    field: str | None = "source_system"
    topic: str = "raw-events"
    partition: int = 0
    arrived: datetime = ARRIVED

    @property
    def name(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    def row(self) -> dict[str, Any]:
        value = self.body if isinstance(self.body, bytes | None) else json.dumps(self.body).encode()
        own = self.body.get("event_id") if isinstance(self.body, dict) else None
        return {
            "source_topic": self.topic, "kafka_partition": self.partition, "kafka_offset": self.offset,
            "kafka_timestamp": self.arrived, "key": b"C1", "value": value, "reason": self.reason,
            "field_name": self.field, "event_id": own if isinstance(own, str) else None, "contract_version": "1.1.0",
        }  # fmt: skip


def write(lake: Lakehouse, *letters: Refused) -> None:
    lake.ensure(get_contract(TABLE))
    rows = pa.Table.from_pylist([letter.row() for letter in letters], schema=lake.empty(TABLE).schema)
    lake.table(TABLE).append(rows)
