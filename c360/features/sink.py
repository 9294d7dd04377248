"""Read the topics of the features and store the newest row of each key; what is no row becomes a dead letter."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from c360.errors import EngineError
from c360.events.config import ConsumerConfig
from c360.events.dead_letters import DeadLetters
from c360.events.errors import BrokerUnreachable
from c360.events.places import ANSWER_WITHIN_S, ends, left_to_read, readers
from c360.features.errors import StoreStopped
from c360.features.rows import RefusedRow, Rows

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from confluent_kafka import Message

    from c360.events.places import Place
    from c360.features.rows import Row
    from c360.features.store import FeatureStore
    from c360.features.tables import FeatureTable
    from c360.features.writing import Writer

LOG = logging.getLogger("c360.features")
GROUP = "c360-features"
BATCH = 2000
WAIT_S = 0.02
LOOK_EVERY_S = 1.0
NEW_PARTITIONS_EVERY_S = 30.0
TOLD_PLACES = 20
LAGS_MS = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 60_000, 600_000)


class Counts:
    """What the sink says of itself; ``c360_features_…`` at ``/metrics``."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.read = self._counter("read", "Messages read since the start.")
        self.written = self._counter("written", "Rows that are stored.")
        self.superseded = self._counter("superseded", "Rows that are not newer than what is stored.")
        self.refused = self._counter("refused", "Messages that became dead letters.")
        self.retried = self._counter("retried", "Requests to the store that were tried again.")
        self.lag = Histogram(
            "c360_features_lag_ms", "Milliseconds from a message's timestamp until its batch is stored.",
            buckets=LAGS_MS, registry=self.registry,
        )  # fmt: skip
        self.unread = Gauge("c360_features_unread_messages", "Messages not stored yet.", registry=self.registry)

    def _counter(self, name: str, says: str) -> Counter:
        return Counter(f"c360_features_{name}", says, registry=self.registry)


class Sink:
    """Goes on where the store says that it is filled up to; a partition that it does not know is read from its start.

    A batch is read, written, its dead letters are acknowledged, and only then are its positions kept: whatever fails or
    is killed before, the batch is read again, and rows that are stored already are passed over. Nothing is held beyond
    a batch. No group is joined: two sinks would do each other no harm, only the same twice.
    """

    def __init__(
        self,
        servers: str,
        tables: Mapping[str, FeatureTable],
        store: FeatureStore,
        writer: Writer,
        counts: Counts,
        ended: threading.Event,
    ) -> None:
        # All versions of a row may be read, committed or not: a row is a function of what happened, not of its writing.
        overrides = {"fetch.wait.max.ms": 20, "isolation.level": "read_uncommitted"}
        config = ConsumerConfig(servers, GROUP, "reliability", overrides=overrides)
        self._consumer, self._asking = readers(config, LOG)
        self._letters = DeadLetters(config, LOG)
        self._rows = {table.topic: Rows(table) for table in tables.values()}
        self._store, self._writer, self._counts, self._ended = store, writer, counts, ended
        self._cluster = ""
        self._next: dict[Place, int] = {}
        self._arrived: dict[Place, float] = {}
        self._due: dict[Callable[[], None], float] = {self._assign: 0.0, self._look: 0.0}
        self._told = 0

    def step(self) -> None:
        """Read what is there, at most a batch, and store it; now and then look after the rest.

        A broker or a store that is away is waited for. Raises StoreStopped when told to end meanwhile, ClientError for
        a refusal that does not pass by itself.
        """
        for work, due in self._due.items():
            if time.monotonic() >= due:
                self._try(work)
        if not self._next:
            self._ended.wait(WAIT_S)
            return
        messages = [message for message in self._consumer.consume(BATCH, WAIT_S) if message.error() is None]
        if messages:
            self._take(messages)

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()
        self._asking.close()

    def _take(self, messages: list[Message]) -> None:
        rows: list[Row] = []
        refused: list[tuple[Message, Exception]] = []
        came: dict[int, Message] = {}
        upto: dict[Place, int] = {}
        for message in messages:
            place = (str(message.topic()), message.partition() or 0)
            upto[place] = (message.offset() or 0) + 1
            self._arrived[place] = message.timestamp()[1] / 1000
            try:
                row = self._rows[place[0]].of(message.key(), message.value())
            except RefusedRow as error:
                refused.append((message, error))
            else:
                rows.append(row)
                came[id(row)] = message
        done = self._writer.write(rows)
        refused += [(came[id(row)], RefusedRow("DynamoDB does not take it")) for row in done.refused]
        self._bury(refused)
        self._next |= upto
        self._store.keep(self._cluster, upto)
        now = time.time() * 1000
        for message in messages:
            self._counts.lag.observe(max(0.0, now - message.timestamp()[1]))
        self._counts.read.inc(len(messages))
        self._counts.written.inc(done.written)
        self._counts.superseded.inc(done.superseded)
        self._counts.refused.inc(len(refused))

    def _bury(self, refused: list[tuple[Message, Exception]]) -> None:
        """Write dead letters until the broker has them."""
        while refused:
            try:
                self._letters.begin()
                for message, reason in refused:
                    version = self._rows[str(message.topic())].table.contract_version
                    self._letters.add(message, reason, GROUP, version)
                self._letters.flush()
            except BrokerUnreachable as error:
                LOG.warning("dead letters wait for the broker: %s", error)
                if self._ended.wait(LOOK_EVERY_S):
                    raise StoreStopped("The sink was ended while dead letters waited", "start it again") from error
                continue
            for message, reason in refused:
                self._told += 1
                if self._told <= TOLD_PLACES:
                    place = f"{message.topic()}/{message.partition()}@{message.offset()}"
                    LOG.warning("dead letter from %s: %s", place, reason)
            return

    def _try(self, work: Callable[[], None]) -> None:
        from confluent_kafka import KafkaException

        every = LOOK_EVERY_S if work == self._look or not self._next else NEW_PARTITIONS_EVERY_S
        try:
            work()
        except (KafkaException, EngineError) as error:
            LOG.debug("the broker does not answer: %s", error)
            every = LOOK_EVERY_S
        self._due[work] = time.monotonic() + every

    def _assign(self) -> None:
        """Take in partitions that are new."""
        from confluent_kafka import TopicPartition

        known = self._consumer.list_topics(timeout=ANSWER_WITHIN_S)
        self._cluster = str(known.cluster_id)
        topics = known.topics
        there = {(topic, number) for topic in self._rows if topic in topics for number in topics[topic].partitions}
        new = sorted(there - self._next.keys())
        if not new:
            return
        stored = self._store.positions(self._cluster, new)
        for place in new:
            low, high = ends(self._consumer, place)
            position = stored.get(place, low)
            # A topic that was made anew is shorter than what is kept of the old one.
            self._next[place] = position if low <= position <= high else low
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._next.items()])
        LOG.info("following %d partitions", len(self._next))

    def _look(self) -> None:
        """Ask the broker how much there is, and write down how much of it is stored."""
        if self._next:
            current, unread = left_to_read(self._asking, self._next, self._arrived)
            self._counts.unread.set(unread)
            self._store.saw(current, unread)
