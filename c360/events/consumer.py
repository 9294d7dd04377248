"""Reading events: each message is handled or dead-lettered, byte for byte, before its offset is committed."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

from msgspec import Struct

from c360.events.dead_letters import DLQ, DeadLetters
from c360.events.errors import BrokerUnreachable, EventError, HandlerFailed
from c360.events.metrics import EventMetrics, shared_metrics
from c360.events.model import correlated
from c360.events.schema import EventSchema, load_schemas

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from confluent_kafka import Consumer, Message

    from c360.events.config import ConsumerConfig
    from c360.events.crypto import KeyRing


JOIN_TIMEOUT = 20.0
"""Seconds that joining the group may take before they count as idle."""


class Received(Struct, frozen=True):
    """An event and where it was read. ``event`` has the contract's fields as attributes."""

    event: Any
    topic: str
    partition: int
    offset: int


class Tally(Struct, frozen=True):
    """What a run of the loop did: ``read`` = ``handled`` + the dead letters, counted by the name of their error."""

    read: int
    handled: int
    dead: Mapping[str, int]


Handler = Callable[[Received], None]


class EventConsumer:
    """Gives each event of some topics to a handler, in the order of its partition.

    A message that breaks its contract, or on which the handler fails ``handler_attempts`` times, goes to
    ``events.dlq`` with its bytes, reason and origin. Offsets are committed after that, so a crash repeats messages and
    loses none; handlers tell repetitions by ``event_id``. With the profile ``exactly-once`` the dead letters and the
    offsets are one transaction, so a crash repeats no dead letter either. While a handler runs, events made by it
    carry the correlation id of the event it handles. Use it as a context manager, or call :meth:`close`.
    """

    def __init__(
        self,
        config: ConsumerConfig,
        topics: Sequence[str],
        handler: Handler,
        keys: KeyRing | None = None,
        schemas: Mapping[str, EventSchema] | None = None,
        metrics: EventMetrics | None = None,
    ) -> None:
        import logging

        from confluent_kafka import Consumer

        self.config = config
        self._handler = handler
        self._keys = keys
        self._schemas = {schema.topic: schema for schema in (schemas or load_schemas()).values()}
        self._metrics = shared_metrics() if metrics is None else metrics
        log = logging.getLogger("c360.events.kafka")
        self._dead = DeadLetters(config, log)
        self._consumer: Consumer = Consumer({**config.to_librdkafka(), "error_cb": lambda _: None}, logger=log)
        self._stopping = False
        self._joined = False
        self._consumer.subscribe(list(topics), on_assign=self._on_assign)

    def run(self, *, idle: float | None = None, limit: int | None = None) -> Tally:
        """Read until :meth:`stop`, until nothing came for ``idle`` seconds, or until ``limit`` messages were read.

        Raises BrokerUnreachable if a dead letter or the offsets could not be written: then nothing of the last batch is
        committed, and the next run reads it again.
        """
        read = handled = 0
        dead: Counter[str] = Counter()
        began = quiet_since = time.monotonic()
        while not self._stopping and (limit is None or read < limit):
            room = self.config.batch if limit is None else min(self.config.batch, limit - read)
            messages = [m for m in self._consumer.consume(room, timeout=0.2) if _is_record(m)]
            if not messages:
                if not self._joined and time.monotonic() - began < JOIN_TIMEOUT:
                    quiet_since = time.monotonic()
                if idle is not None and time.monotonic() - quiet_since >= idle:
                    break
                continue
            refused = self._take(messages)
            read += len(messages)
            handled += len(messages) - sum(refused.values())
            dead += refused
            quiet_since = time.monotonic()
        return Tally(read, handled, dict(dead))

    def stop(self) -> None:
        """End :meth:`run` after the batch at hand; may be called from a signal handler or another thread."""
        self._stopping = True

    def close(self) -> None:
        """Leave the group; what was not committed is read again by others."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _on_assign(self, _consumer: Consumer, _partitions: object) -> None:
        self._joined = True

    def _take(self, messages: list[Message]) -> Counter[str]:
        refused: Counter[str] = Counter()
        outcomes: Counter[tuple[str, str]] = Counter()
        self._dead.begin()
        try:
            for message in messages:
                topic, outcome = str(message.topic()), "ok"
                try:
                    self._handle(message, topic)
                except EventError as error:
                    outcome = type(error).__name__
                    refused[outcome] += 1
                    schema = self._schemas.get(topic)
                    self._dead.add(message, error, self.config.group, schema.contract.version if schema else None)
                outcomes[topic, outcome] += 1
            self._dead.commit(self._consumer, _next_offsets(messages))
        except BaseException:
            self._dead.abort()
            self._rewind(messages)
            raise
        for (topic, outcome), count in outcomes.items():
            self._metrics.consumed.labels(topic, outcome).inc(count)
        return refused

    def _handle(self, message: Message, topic: str) -> None:
        schema = self._schemas.get(topic)
        if schema is None:
            raise HandlerFailed(f"No contract describes the events of {topic}", "add one, or do not subscribe to it")
        event = schema.read(message.value(), self._keys)
        received = Received(event, topic, message.partition() or 0, message.offset() or 0)
        for attempt in range(1, self.config.handler_attempts + 1):
            try:
                with correlated(event.metadata.correlation_id):
                    self._handler(received)
            except EventError:
                raise
            except Exception as error:
                if attempt == self.config.handler_attempts:
                    raise HandlerFailed(
                        f"The handler failed {attempt} times: {type(error).__name__}: {error}",
                        "mend it, then replay the event",
                    ) from error
                time.sleep(self.config.retry_wait * attempt)
            else:
                return

    def _rewind(self, messages: list[Message]) -> None:
        """Let this consumer read the batch again, as another would after a crash."""
        from confluent_kafka import KafkaException, TopicPartition

        first: dict[tuple[str, int], int] = {}
        for message in messages:
            place = (str(message.topic()), message.partition() or 0)
            first.setdefault(place, message.offset() or 0)
        for (topic, partition), offset in first.items():
            try:
                self._consumer.seek(TopicPartition(topic, partition, offset))
            except KafkaException:
                # The partition went to another consumer, which starts at the committed offset anyway.
                continue


def _is_record(message: Message) -> bool:
    from confluent_kafka import KafkaError

    error = message.error()
    if error is None:
        return True
    if error.fatal() or error.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED):
        raise BrokerUnreachable(f"The broker does not serve the topic: {error.str()}", "run `c360 topics apply`")
    return False


def _next_offsets(messages: list[Message]) -> dict[tuple[str, int], int]:
    """Topic and partition → the offset to go on with."""
    return {(str(message.topic()), message.partition() or 0): (message.offset() or 0) + 1 for message in messages}


__all__ = ["DLQ", "EventConsumer", "Handler", "Received", "Tally"]
