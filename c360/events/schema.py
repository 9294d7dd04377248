"""A topic's contract at work: it encodes and validates events on their way out, and reads messages on their way in.

What is validated is the very bytes that go to the broker, by decoders compiled from the contract: an event costs a few
microseconds, and nothing that was not checked can be sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache, cached_property
from math import isfinite
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from c360.contracts.topic import TopicContract, load_topics
from c360.contracts.vocabulary import decimal_of
from c360.events.decoder import to_struct
from c360.events.errors import EncryptionKeyMissing, EventTooLarge, InvalidEvent, UnknownEventType, UnknownSchemaVersion
from c360.events.json_schema import to_json_schema

if TYPE_CHECKING:
    from c360.contracts.model import Column
    from c360.events.crypto import KeyRing
    from c360.events.model import Event

MAX_EVENT_BYTES = 1_000_000
"""Largest encoded event; key and framing still fit into a message of 1 MiB."""

_UTC_OFFSET = timedelta(0)
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class Ready(Struct, frozen=True, gc=False):
    """An event that may go out: its id, key (None: any partition) and bytes."""

    event_id: str
    key: str | None
    value: bytes


class EventSchema:
    """The events of one topic: ``ready`` for publishing, ``read`` for consuming, ``json_schema`` for the registry."""

    def __init__(self, contract: TopicContract) -> None:
        self.contract = contract
        self.topic = contract.name
        self.version = contract.schema_versions
        self.event_types = contract.event_types
        self._clear = msgspec.json.Decoder(to_struct(contract, sealed=False))
        self._wire = msgspec.json.Decoder(to_struct(contract, sealed=True))
        self._keys = tuple(attrgetter(name) for name in contract.key)
        self._sealed = tuple((*_split(name), name) for name in contract.encrypted)
        self._decimals = tuple((attrgetter(f.name), f) for f in contract.fields if decimal_of(f.type))
        self._moments = tuple((attrgetter(f.name), f.name) for f in contract.fields if f.type == "timestamp")

    @cached_property
    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of the messages."""
        return to_json_schema(self.contract)

    def ready(self, event: Event | Mapping[str, Any], keys: KeyRing | None) -> Ready:
        """Encode, validate, and encrypt what the contract says must be.

        Raises InvalidEvent, EventTooLarge, or EncryptionKeyMissing if there is such a field and ``keys`` is None.
        """
        try:
            value = _ENCODER.encode(event)
            record: Any = self._clear.decode(value)
        except (msgspec.MsgspecError, TypeError, ValueError, RecursionError, OverflowError) as error:
            raise self._invalid(str(error)) from None
        if b"null" in value:
            # Not-a-number and infinities are encoded as null: an optional field would lose its value without a word.
            self._refuse_not_finite(event)
        self._check(record)
        sealed = [place for place in self._sealed if getattr(place[0](record), place[1]) is not None]
        if sealed:
            if keys is None:
                names = ", ".join(path for _, _, path in sealed)
                raise EncryptionKeyMissing(
                    f"{names} must be encrypted and there is no key", "give the producer a key ring (C360_EVENT_KEYS)"
                )
            for parent, name, path in sealed:
                holder = parent(record)
                setattr(holder, name, keys.seal(getattr(holder, name), self.topic, path, record.event_id))
        if sealed or self._decimals or not isinstance(event, Struct):
            # Written anew, a foreign spelling of a number or moment becomes the one that the contract promises.
            value = _ENCODER.encode(record)
        if len(value) > MAX_EVENT_BYTES:
            raise EventTooLarge(
                f"The event has {len(value):,} bytes, more than {MAX_EVENT_BYTES:,}",
                "put the bulk elsewhere and refer to it",
            )
        for key in self._keys:
            found = key(record)
            if found is not None:
                return Ready(record.event_id, found, value)
        return Ready(record.event_id, None, value)

    def read(self, value: bytes | None, keys: KeyRing | None = None) -> Any:
        """The event in a message, with the contract's fields as attributes (``event.payload.user_id``).

        With ``keys`` encrypted fields are opened; one whose key is gone stays sealed, for its loss must not stop the
        rest. Raises InvalidEvent, UnknownSchemaVersion or DecryptionFailed.
        """
        if not value:
            raise self._invalid("the message is empty" if value is not None else "the message is a tombstone")
        try:
            record: Any = self._wire.decode(value)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            self._refuse_newer(value)
            raise self._invalid(str(error)) from None
        self._check(record)
        if keys is not None:
            for parent, name, path in self._sealed:
                holder = parent(record)
                text = getattr(holder, name)
                if text is not None:
                    try:
                        setattr(holder, name, keys.open(text, self.topic, path, record.event_id))
                    except EncryptionKeyMissing:
                        continue
        return record

    def _check(self, record: Any) -> None:
        for get, name in self._moments:
            moment = get(record)
            if moment is not None and moment.tzinfo is not UTC and moment.utcoffset() != _UTC_OFFSET:
                raise self._invalid(f"{name} is not in UTC")
        for get, field in self._decimals:
            amount = get(record)
            if amount is not None:
                self._check_decimal(amount, field)

    def _check_decimal(self, amount: Decimal, field: Column) -> None:
        precision, scale = decimal_of(field.type) or (0, 0)
        exponent = amount.as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -scale or abs(amount) >= Decimal(10) ** (precision - scale):
            raise self._invalid(f"{field.name} is no {field.type}")
        low, high = field.minimum, field.maximum
        if (low is not None and amount < Decimal(low)) or (high is not None and amount > Decimal(high)):
            raise self._invalid(f"{field.name} is out of range")

    def _refuse_not_finite(self, event: object) -> None:
        pending = [msgspec.to_builtins(event, builtin_types=(datetime, date, Decimal))]
        while pending:
            value = pending.pop()
            if isinstance(value, float) and not isfinite(value):
                raise self._invalid("a number is not finite")
            if isinstance(value, dict):
                pending += value.values()
            elif isinstance(value, list | tuple):
                pending += value

    def _refuse_newer(self, value: bytes) -> None:
        try:
            version = msgspec.json.decode(value, type=_Version).schema_version
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return
        if not 1 <= version <= self.version:
            raise UnknownSchemaVersion(
                f"Schema version {version} of {self.topic} is unknown: the newest is {self.version}",
                "update the reader, or mend the source",
            )

    def _invalid(self, reason: str) -> InvalidEvent:
        return InvalidEvent(
            f"The event breaks the contract of {self.topic} {self.contract.version}: {reason}",
            "mend the event as the contract says",
        )


class _Version(Struct):
    schema_version: int


def load_schemas(topics: Mapping[str, TopicContract] | None = None) -> Mapping[str, EventSchema]:
    """Event type → schema, of the product's own contracts unless others are given."""
    return _packaged() if topics is None else _by_type(topics)


def schema_for(event_type: object, schemas: Mapping[str, EventSchema]) -> EventSchema:
    """The schema that takes events of this type; UnknownEventType if none does."""
    found = schemas.get(event_type) if isinstance(event_type, str) else None
    if found is None:
        shown = event_type[:60] if isinstance(event_type, str) else type(event_type).__name__
        raise UnknownEventType(f"No topic takes events of type '{shown}'", f"use one of {', '.join(sorted(schemas))}")
    return found


@cache
def _packaged() -> Mapping[str, EventSchema]:
    return _by_type(load_topics())


def _by_type(topics: Mapping[str, TopicContract]) -> Mapping[str, EventSchema]:
    schemas = [EventSchema(topic) for topic in topics.values() if topic.format == "json"]
    return MappingProxyType({event_type: schema for schema in schemas for event_type in schema.event_types})


def _split(name: str) -> tuple[Any, str]:
    parent, _, leaf = name.rpartition(".")
    return (attrgetter(parent) if parent else lambda record: record), leaf
