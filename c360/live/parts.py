"""From an event to the parts of a customer that it renews."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import orjson

from c360.contracts.topic import MAP, load_topics
from c360.events.schema import EventSchema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from c360.contracts.model import Column

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
JSON_TYPES = ("string", "int", "long", "double", "boolean")
TIMESTAMP = "%Y-%m-%dT%H:%M:%S.%fZ"
_ENVELOPE = ("event_id", "event_type", "event_timestamp", "source_system")
_PAYLOAD = "payload."


@dataclass(frozen=True)
class Part:
    """The newest event of a customer, of these types (empty: of all), on a topic.

    ``customer`` is the field of the payload that names the customer.
    """

    name: str
    topic: str
    customer: str
    event_types: frozenset[str] = frozenset()


PARTS = (
    Part("last_event", "raw-events", "user_id"),
    Part("last_purchase", "raw-events", "user_id", frozenset({"purchase"})),
    Part("last_payment", "raw-transactions", "account_id"),
)
TOPICS = tuple(dict.fromkeys(part.topic for part in PARTS))


@dataclass(frozen=True, slots=True)
class Value:
    """A part of one customer: the event's time in microseconds since 1970, its id, and its record as JSON.

    Of two values the one with the later time holds, of two of one time that with the greater id: whatever the order in
    which they come, and however often.
    """

    customer_id: str
    part: str
    event_us: int
    event_id: str
    body: bytes

    @property
    def version(self) -> tuple[int, str]:
        """What decides between two values of a part."""
        return self.event_us, self.event_id


@cache
def columns(topic: str) -> tuple[Column, ...]:
    """The columns of a record: of the envelope what tells the event, of the payload all but direct identifiers.

    Maps of any name are left out too, as nobody can say what is in them.
    """
    fields = load_topics()[topic].fields
    kept = [field for field in fields if field.name in _ENVELOPE or field.name.startswith(_PAYLOAD)]
    kept = [field for field in kept if field.classification != "direct" and field.type != MAP]
    return tuple(replace(field, name=field.name.removeprefix(_PAYLOAD)) for field in kept)


class Values:
    """Gives the values of messages of one topic."""

    def __init__(self, topic: str) -> None:
        contract = load_topics()[topic]
        self._schema = EventSchema(contract)
        self._ahead, self._behind = contract.clock_skew * 10**6, contract.max_age_days * 86_400 * 10**6
        self._parts = [part for part in PARTS if part.topic == topic]
        self._fields = [
            (column.name, attrgetter(column.name if column.name in _ENVELOPE else _PAYLOAD + column.name))
            for column in columns(topic)
        ]
        self._unlike = [column.name for column in columns(topic) if column.type not in JSON_TYPES]

    def of(self, message: bytes | None, arrived_ms: int) -> Iterator[Value]:
        """The values in a message that arrived then (milliseconds since 1970); none if it is of no known customer.

        Raises EventError for what breaks the contract, ValueError for an event whose clock is as wrong as the streams
        refuse it for. Both are dead letters of the streams, which see every message.
        """
        event = self._schema.read(message)
        parts = [
            (part.name, customer)
            for part in self._parts
            if not part.event_types or event.event_type in part.event_types
            if (customer := getattr(event.payload, part.customer)) is not None
        ]
        if not parts:
            return
        moment: datetime = event.event_timestamp
        happened = (moment - EPOCH) // timedelta(microseconds=1)
        if not -self._behind <= happened - arrived_ms * 1000 <= self._ahead:
            raise ValueError("event time and arrival lie too far apart")
        record = {name: get(event) for name, get in self._fields}
        for name in self._unlike:
            record[name] = plain(record[name])
        body = orjson.dumps(record)
        for part, customer in parts:
            yield Value(customer, part, happened, event.event_id, body)


def plain(value: Any) -> Any:
    """As in the documents of an index: moments in UTC with microseconds, decimals as text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime(TIMESTAMP)
    return str(value) if isinstance(value, date | Decimal) else value
