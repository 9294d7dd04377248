"""What became of each event of a batch, collected while the broker's answers come in."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from msgspec import Struct

from c360.events.errors import BrokerUnreachable, DeliveryRefused, EventError, EventTooLarge, TransactionAborted

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

    from c360.events.metrics import EventMetrics


class PublishResult(Struct, frozen=True):
    """One event's outcome: where it lies in its topic, or the error that says why it does not.

    ``topic`` is None where the type of the event belongs to no topic. An event that failed with BrokerUnreachable may
    still have been written; publish it again with the same ``event_id``, which readers count once.
    """

    event_id: str | None
    topic: str | None
    partition: int | None = None
    offset: int | None = None
    error: EventError | None = None

    @property
    def ok(self) -> bool:
        """True if the broker has acknowledged the event."""
        return self.error is None


class Batch:
    """Results by position; late answers, after ``close``, change nothing any more."""

    def __init__(self) -> None:
        self.results: list[PublishResult | None] = []
        self._latencies: dict[str, list[float]] = defaultdict(list)
        self._bytes: Counter[str] = Counter()
        self._closed = False

    def open(self) -> int:
        """The position of the next event."""
        self.results.append(None)
        return len(self.results) - 1

    def fail(self, index: int, event_id: str | None, topic: str | None, error: EventError) -> None:
        """The event was not published."""
        self.results[index] = PublishResult(event_id, topic, error=error)

    def answered(
        self, index: int, event_id: str, topic: str, size: int, error: KafkaError | None, message: Message
    ) -> None:
        """The broker's answer, or the client's in its place."""
        if self._closed:
            return
        if error is None:
            self.results[index] = PublishResult(event_id, topic, message.partition(), message.offset())
            self._latencies[topic].append(message.latency() or 0.0)
            self._bytes[topic] += size
        else:
            self.results[index] = PublishResult(event_id, topic, error=named(error))

    def abort(self, error: EventError) -> None:
        """No event of the transaction counts; those with an error of their own keep it."""
        self._closed = True
        for index, result in enumerate(self.results):
            if result is None or result.error is None or isinstance(result.error, TransactionAborted):
                known = (None, None) if result is None else (result.event_id, result.topic)
                self.results[index] = PublishResult(*known, error=error)
        self._latencies.clear()
        self._bytes.clear()

    def close(self, unanswered: list[tuple[str, str]], metrics: EventMetrics) -> list[PublishResult]:
        """All results; ``unanswered`` holds id and topic by position, for those that nobody answered for."""
        self._closed = True
        done: list[PublishResult] = []
        for result, (event_id, topic) in zip(self.results, unanswered, strict=True):
            done.append(result or PublishResult(event_id, topic, error=no_answer()))
        for (topic, outcome), count in Counter(
            (result.topic or "", type(result.error).__name__ if result.error else "ok") for result in done
        ).items():
            metrics.published.labels(topic, outcome).inc(count)
        for topic, seconds in self._latencies.items():
            metrics.latency.observe(topic, seconds)
            metrics.published_bytes.labels(topic).inc(self._bytes[topic])
        return done


def no_answer() -> BrokerUnreachable:
    """No broker took the event in time."""
    return BrokerUnreachable(
        "No broker took the event within the delivery time", "start the broker, then publish again"
    )


def named(error: KafkaError) -> EventError:
    """Our name for an error of the client."""
    from confluent_kafka import KafkaError

    code = error.code()
    if code in (KafkaError._MSG_TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT):
        return no_answer()
    if code == KafkaError._QUEUE_FULL:
        return BrokerUnreachable("The producer's queue stayed full", "wait for the broker, or publish less at once")
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return EventTooLarge("The topic takes no message of that size", "keep the bulk elsewhere")
    if code in (KafkaError._UNKNOWN_TOPIC, KafkaError.UNKNOWN_TOPIC_OR_PART):
        return DeliveryRefused("The topic does not exist", "run `c360 topics apply`")
    if code in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
        return TransactionAborted("The transaction was aborted", "publish the batch again")
    return DeliveryRefused(f"The broker refuses the event: {error.str()}", "look into the broker's log")
