"""Publishing events: validated, routed by type, acknowledged by the broker, each with a result of its own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct

from c360.events.errors import DeliveryRefused, EventError, RegistryUnreachable, TransactionAborted
from c360.events.metrics import EventMetrics, shared_metrics
from c360.events.results import Batch, PublishResult, named, no_answer
from c360.events.schema import EventSchema, load_schemas, schema_for

if TYPE_CHECKING:
    from types import TracebackType

    from confluent_kafka import KafkaException, Producer

    from c360.events.config import ProducerConfig
    from c360.events.crypto import KeyRing
    from c360.events.model import Event
    from c360.events.registry import RegistryClient
    from c360.events.schema import Ready

POLL_EVERY = 500
"""Events between two looks at the broker's answers."""

_ASK_AGAIN = {True: 5.0, False: 60.0}
"""Seconds until the registry is asked again: after it did not answer (True), after it refused."""


class EventProducer:
    """Publishes events to the topics that their types belong to.

    ``registry`` admits each topic's schema before its first event; without one the contracts alone decide. ``keys``
    encrypt the fields that identify a person; without them such events are refused. Use it as a context manager, or
    call :meth:`close`. One producer may serve many threads, except with the profile ``exactly-once``.
    """

    def __init__(
        self,
        config: ProducerConfig,
        registry: RegistryClient | None = None,
        keys: KeyRing | None = None,
        schemas: Mapping[str, EventSchema] | None = None,
        metrics: EventMetrics | None = None,
    ) -> None:
        from confluent_kafka import KafkaException, Producer

        # Kept at hand: importing takes a microsecond, and each event would pay it.
        self._refusal = KafkaException
        self.config = config
        self._registry = registry
        self._keys = keys
        self._schemas = load_schemas() if schemas is None else schemas
        self._metrics = shared_metrics() if metrics is None else metrics
        self._producer: Producer = Producer({**config.to_librdkafka(), "error_cb": _ignore}, logger=_quiet())
        self._gates: dict[str, tuple[EventError | None, float]] = {}
        self._transactional = config.transactional_id is not None
        self._initialised = False

    def publish_event(self, event: Event | Mapping[str, Any]) -> PublishResult:
        """Publish one event and wait for the broker; see :meth:`publish_batch`."""
        return self.publish_batch((event,))[0]

    def publish_batch(
        self, events: Iterable[Event | Mapping[str, Any]], arrivals: Iterable[int] | None = None
    ) -> list[PublishResult]:
        """Publish events and wait until the broker has answered for all; one result for each, in their order.

        An event that cannot be published carries a named :class:`~c360.events.errors.EventError` in its result and
        does not hold up the others. With the profile ``exactly-once`` the batch is one transaction: if any event fails,
        none is visible, and the others carry TransactionAborted. Raises nothing for an event; takes at most about
        the configuration's ``delivery_timeout`` seconds longer than the events take to come.

        ``arrivals`` are the messages' own timestamps in milliseconds, one for each event, for what is played again; a
        message else carries the moment at which it is handed over.
        """
        stamps = repeat(0) if arrivals is None else iter(arrivals)
        return self._in_transaction(list(events), stamps) if self._transactional else self._publish(events, stamps)

    def close(self) -> None:
        """Wait for what is still on its way, at most ``delivery_timeout`` seconds."""
        self._producer.flush(self.config.delivery_timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _publish(self, events: Iterable[Event | Mapping[str, Any]], stamps: Iterator[int]) -> list[PublishResult]:
        batch, known = Batch(), list[tuple[str, str]]()
        for event in events:
            index, stamp = batch.open(), next(stamps)
            try:
                topic, ready = self._prepare(event)
            except EventError as error:
                known.append(("", ""))
                batch.fail(index, *self._identity(event), error)
                continue
            known.append((ready.event_id, topic))
            self._hand_over(batch, index, topic, ready, stamp)
            if index % POLL_EVERY == 0:
                self._producer.poll(0)
        # The client itself gives up on an event after the delivery time; the second is for its answer to arrive.
        self._producer.flush(self.config.delivery_timeout + 1)
        return batch.close(known, self._metrics)

    def _in_transaction(self, events: list[Event | Mapping[str, Any]], stamps: Iterator[int]) -> list[PublishResult]:
        from confluent_kafka import KafkaException

        batch, known = Batch(), list[tuple[str, str]]()
        prepared: list[tuple[str, Ready]] = []
        for event in events:
            index = batch.open()
            try:
                prepared.append(self._prepare(event))
                known.append((prepared[-1][1].event_id, prepared[-1][0]))
                batch.results[index] = PublishResult(known[-1][0], known[-1][1], error=_aborted())
            except EventError as error:
                known.append(("", ""))
                batch.fail(index, *self._identity(event), error)
        if len(prepared) < len(events) or not events:
            return batch.close(known, self._metrics)
        try:
            if not self._initialised:
                self._producer.init_transactions(self.config.delivery_timeout)
                self._initialised = True
            self._producer.begin_transaction()
            for index, ((topic, ready), stamp) in enumerate(zip(prepared, stamps, strict=False)):
                self._hand_over(batch, index, topic, ready, stamp)
                if index % POLL_EVERY == 0:
                    self._producer.poll(0)
            self._producer.flush(self.config.delivery_timeout + 1)
            if all(result is not None and result.ok for result in batch.results):
                self._commit()
            else:
                batch.abort(_aborted())
                self._producer.abort_transaction(self.config.delivery_timeout)
        except KafkaException as error:
            batch.abort(self._failed(error))
        return [
            PublishResult(identity[0], identity[1], result.partition, result.offset, result.error)
            for identity, result in zip(known, batch.close(known, self._metrics), strict=True)
        ]

    def _commit(self) -> None:
        from confluent_kafka import KafkaException

        until = time.monotonic() + self.config.delivery_timeout
        while True:
            try:
                self._producer.commit_transaction(self.config.delivery_timeout)
            except KafkaException as error:
                if error.args[0].retriable() and time.monotonic() < until:
                    continue
                raise
            return

    def _failed(self, error: KafkaException) -> EventError:
        from confluent_kafka import KafkaException

        cause = error.args[0]
        if cause.fatal():
            return DeliveryRefused(
                f"The producer was shut out: {cause.str()}",
                "see that no other producer has its transactional id; make a new one",
            )
        if self._initialised:
            try:
                self._producer.abort_transaction(self.config.delivery_timeout)
            except KafkaException:
                # The broker ends the transaction itself when its time is over.
                return no_answer()
        return named(cause)

    def _hand_over(self, batch: Batch, index: int, topic: str, ready: Ready, stamp: int) -> None:
        answered = partial(batch.answered, index, ready.event_id, topic, len(ready.value))
        until: float | None = None
        while True:
            try:
                self._producer.produce(topic, ready.value, ready.key, on_delivery=answered, timestamp=stamp)
            except BufferError:
                until = until or time.monotonic() + self.config.delivery_timeout + 1
                if time.monotonic() < until:
                    self._producer.poll(0.05)
                    continue
                batch.fail(index, ready.event_id, topic, no_answer())
            except self._refusal as error:
                batch.fail(index, ready.event_id, topic, named(error.args[0]))
            return

    def _prepare(self, event: Event | Mapping[str, Any]) -> tuple[str, Ready]:
        schema = schema_for(_type_of(event), self._schemas)
        gate = self._gates.get(schema.topic)
        if gate is None or gate[0] is not None:
            self._ask_registry(schema)
        return schema.topic, schema.ready(event, self._keys)

    def _ask_registry(self, schema: EventSchema) -> None:
        """Raise what keeps the topic's schema out; a refusal is remembered for a while, an admission for good."""
        error, until = self._gates.get(schema.topic, (None, 0.0))
        if error is None or time.monotonic() >= until:
            error = None
            if self._registry is not None:
                try:
                    self._registry.admit(schema)
                except EventError as refusal:
                    error = refusal
            wait = _ASK_AGAIN[isinstance(error, RegistryUnreachable)]
            self._gates[schema.topic] = (error, time.monotonic() + wait)
        if error is not None:
            # One refusal meets many events: without this its traceback would grow with each of them.
            raise error.with_traceback(None)

    def _identity(self, event: Event | Mapping[str, Any]) -> tuple[str | None, str | None]:
        event_id = event.get("event_id") if isinstance(event, Mapping) else getattr(event, "event_id", None)
        event_type = _type_of(event)
        schema = self._schemas.get(event_type) if isinstance(event_type, str) else None
        return event_id if isinstance(event_id, str) else None, schema.topic if schema else None


def _type_of(event: object) -> object:
    # A structure is told at once; asking for a mapping goes through abstract classes and costs a microsecond.
    if isinstance(event, Struct):
        return getattr(event, "event_type", None)
    return event.get("event_type") if isinstance(event, Mapping) else None


def _aborted() -> TransactionAborted:
    return TransactionAborted(
        "Another event of the transaction failed", "mend or leave out that event, then publish again"
    )


def _ignore(_error: object) -> None:
    """Each event's own answer tells what the client would otherwise print for the connection."""


def _quiet() -> Any:
    import logging

    return logging.getLogger("c360.events.kafka")
