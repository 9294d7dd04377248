"""A producer beside the SDK, for what the SDK refuses to send."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from c360.events.errors import EventError
from c360.events.model import Event, LogEvent, TransactionEvent, UserActionEvent
from c360.events.schema import load_schemas
from mock_data.play_ledger import millis
from mock_data.play_spoil import SPOILED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from c360.events.config import ProducerConfig


class Item(Protocol):
    """Something to send: an event, the defect its message gets, and when it arrives."""

    @property
    def event(self) -> Event:
        """What the message is made from."""

    @property
    def defect(self) -> str:
        """A key of ``SPOILED``."""

    @property
    def arrived(self) -> datetime:
        """When the message arrives."""


class Foreign:
    """A producer that knows nothing of contracts: what the SDK refuses to send must come from somewhere."""

    def __init__(self, config: ProducerConfig) -> None:
        from confluent_kafka import Producer

        settings = {k: v for k, v in config.to_librdkafka().items() if not k.startswith("transaction")}
        self._producer = Producer(settings, logger=logging.getLogger("mock_data.play"))
        self._timeout = config.delivery_timeout

    def send(self, items: Sequence[Item], *, stamped: bool) -> list[tuple[str, int, int] | None]:
        """Topic, partition and offset of each spoiled message; None where it was not taken."""
        places: list[tuple[str, int, int] | None] = [None] * len(items)
        schemas = load_schemas()

        def answered(index: int, error: object, message: Any) -> None:
            if error is None:
                places[index] = (message.topic(), message.partition(), message.offset())

        for index, item in enumerate(items):
            schema = schemas[item.event.event_type]  # type: ignore[attr-defined]  # each class of events has one
            try:
                ready = schema.ready(_without_secrets(item.event), None)
            except EventError:
                continue
            value = SPOILED[item.defect][1](ready.value)
            stamp = millis(item.arrived) if stamped else 0
            self._producer.produce(
                schema.topic, value, ready.key, on_delivery=partial(answered, index), timestamp=stamp
            )
        self._producer.flush(self._timeout + 1)
        return places


def _without_secrets(event: Event) -> Event:
    """The event without what would have to be encrypted: a careless producer has no keys."""
    changed: Any
    match event:
        case TransactionEvent():
            changed = msgspec.structs.replace(event.payload, account_holder=None)
        case UserActionEvent():
            changed = msgspec.structs.replace(event.payload, ip_address=None, email=None)
        case LogEvent():
            changed = msgspec.structs.replace(event.payload, client_ip=None)
        case _:
            return event
    return msgspec.structs.replace(event, payload=changed)
