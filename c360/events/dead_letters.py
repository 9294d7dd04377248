"""The dead letters of one consumer: written and acknowledged before its offsets move on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from c360.events.config import ProducerConfig
from c360.events.errors import BrokerUnreachable
from c360.events.topics import DLQ_MAX_MESSAGE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from logging import Logger

    from confluent_kafka import Consumer, KafkaError, Message, Producer

    from c360.events.config import ConsumerConfig

DLQ = "events.dlq"
TIMEOUT = 30.0
"""Seconds that dead letters and offsets may take to be written."""

MESSAGE_CHARACTERS = 2000
"""Longest reason in a header: a header larger than the message would not fit beside it."""


class DeadLetters:
    """Writes to ``events.dlq``, and commits offsets together with it."""

    def __init__(self, config: ConsumerConfig, log: Logger) -> None:
        self._config = config
        self._log = log
        self._made: Producer | None = None
        self._failed: list[str] = []
        self._waiting = 0

    def begin(self) -> None:
        """Start a batch; with exactly-once, a transaction."""
        self._failed, self._waiting = [], 0
        if self._config.transactional_id is not None:
            self._guarded(self._start)

    def add(self, message: Message, error: Exception, group: str, contract_version: str | None) -> None:
        """Hand over the message as it came, with the reason and where it came from in the headers."""
        headers: dict[str, str | bytes | None] = {
            "error_class": type(error).__name__,
            "error_message": str(error)[:MESSAGE_CHARACTERS],
            "source_topic": str(message.topic()),
            "source_partition": str(message.partition()),
            "source_offset": str(message.offset()),
            "source_timestamp": str(message.timestamp()[1]),
            "consumer_group": group,
        }
        if contract_version is not None:
            headers["contract_version"] = contract_version
        self._waiting += 1
        self._guarded(
            lambda: self._producer.produce(
                DLQ, message.value(), message.key(), headers=headers, on_delivery=self._answered
            )
        )

    def commit(self, consumer: Consumer, offsets: Mapping[tuple[str, int], int]) -> None:
        """Wait for the dead letters, then commit the offsets. BrokerUnreachable if either fails."""
        from confluent_kafka import TopicPartition

        positions = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
        self.flush()
        if self._config.transactional_id is None:
            self._guarded(lambda: consumer.commit(offsets=positions, asynchronous=False))
            return
        metadata = consumer.consumer_group_metadata()
        self._guarded(lambda: self._producer.send_offsets_to_transaction(positions, metadata, TIMEOUT))
        self._guarded(lambda: self._producer.commit_transaction(TIMEOUT))

    def flush(self) -> None:
        """Wait until the broker has the dead letters of this batch. BrokerUnreachable if it does not take them."""
        if self._waiting:
            self._producer.flush(TIMEOUT)
        if self._failed or self._waiting:
            reason = self._failed[0] if self._failed else "no answer"
            raise BrokerUnreachable(f"Dead letters could not be written to {DLQ} ({reason})", "run `c360 topics apply`")

    def abort(self) -> None:
        """Take back what the batch has written, as far as that is possible."""
        from confluent_kafka import KafkaException

        if self._config.transactional_id is not None and self._made is not None:
            try:
                self._made.abort_transaction(TIMEOUT)
            except KafkaException:
                # The broker ends an abandoned transaction by itself, and so does the next producer of this id.
                self._made = None

    @property
    def _producer(self) -> Producer:
        """Made when the first dead letter or transaction needs it."""
        if self._made is None:
            from confluent_kafka import Producer

            transactional = self._config.transactional_id
            config = ProducerConfig(
                self._config.bootstrap_servers,
                "reliability" if transactional is None else "exactly-once",
                transactional_id=transactional,
                delivery_timeout=TIMEOUT,
                overrides={"message.max.bytes": DLQ_MAX_MESSAGE},
            )
            settings: dict[str, Any] = {**config.to_librdkafka(), "error_cb": lambda _: None}
            made = Producer(settings, logger=self._log)
            if transactional is not None:
                made.init_transactions(TIMEOUT)
            self._made = made
        return self._made

    def _start(self) -> None:
        self._producer.begin_transaction()

    def _answered(self, error: KafkaError | None, _message: Message) -> None:
        self._waiting -= 1
        if error is not None:
            self._failed.append(error.str())

    def _guarded(self, step: Any) -> None:
        from confluent_kafka import KafkaException

        try:
            step()
        except (KafkaException, BufferError) as error:
            raise BrokerUnreachable(
                f"Dead letters or offsets could not be written: {error}", "start the broker; the batch is read again"
            ) from error
