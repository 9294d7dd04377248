"""Follow the topics and keep the newest value of each part of each customer."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from c360.errors import EngineError
from c360.events.config import ConsumerConfig
from c360.events.errors import EventError
from c360.events.places import ANSWER_WITHIN_S, ends, left_to_read, readers
from c360.live.parts import TOPICS, Values
from c360.live.store import KEPT_DAYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from confluent_kafka import Message

    from c360.events.places import Place
    from c360.live.parts import Value
    from c360.live.store import LiveStore

LOG = logging.getLogger("c360.live")
BATCH = 2000
WAIT_S = 0.02
LOOK_EVERY_S = 1.0
NEW_PARTITIONS_EVERY_S = 30.0
FORGET_EVERY_S = 3600.0


class Follower:
    """Reads on from where the store stopped; without a position from ``lookback_s`` ago on.

    Messages that nothing can be learnt from are counted in ``passed_over`` and nothing else: the streams dead-letter
    them. No group is joined and no offset committed, so that it disturbs nobody.
    """

    def __init__(self, servers: str, store: LiveStore, lookback_s: float) -> None:
        config = ConsumerConfig(servers, "c360-live", "reliability", overrides={"fetch.wait.max.ms": 50})
        self._consumer, self._asking = readers(config, LOG)
        self._store, self._lookback_s = store, lookback_s
        self._values = {topic: Values(topic) for topic in TOPICS}
        self._next: dict[Place, int] = {}
        self._arrived: dict[Place, float] = {}
        self._due = {self._assign: 0.0, self._look: 0.0, self._forget: 0.0}
        self._every = {self._assign: NEW_PARTITIONS_EVERY_S, self._look: LOOK_EVERY_S, self._forget: FORGET_EVERY_S}
        self.read = self.passed_over = self.stored = 0

    def step(self) -> None:
        """Read what is there, at most a batch, and store it; now and then look after the rest.

        A broker that does not answer is waited for. Raises sqlite3.Error where nothing can be stored.
        """
        for work, due in self._due.items():
            if time.monotonic() >= due:
                self._try(work)
        if not self._next:
            time.sleep(WAIT_S)
            return
        messages = [message for message in self._consumer.consume(BATCH, WAIT_S) if message.error() is None]
        if messages:
            self._take(messages)

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()
        self._asking.close()

    def _try(self, work: Callable[[], None]) -> None:
        from confluent_kafka import KafkaException

        try:
            work()
            # Until there are topics, they may come at any moment.
            self._due[work] = time.monotonic() + (self._every[work] if self._next else LOOK_EVERY_S)
        except (KafkaException, EngineError) as error:
            LOG.debug("the broker does not answer: %s", error)
            self._due[work] = time.monotonic() + LOOK_EVERY_S

    def _take(self, messages: list[Message]) -> None:
        newest: dict[tuple[str, str], Value] = {}
        for message in messages:
            place = (str(message.topic()), message.partition() or 0)
            _, arrived_ms = message.timestamp()
            self._next[place] = (message.offset() or 0) + 1
            self._arrived[place] = arrived_ms / 1000
            try:
                for value in self._values[place[0]].of(message.value(), arrived_ms):
                    known = newest.get((value.customer_id, value.part))
                    if known is None or known.version < value.version:
                        newest[value.customer_id, value.part] = value
            except (EventError, ValueError):
                self.passed_over += 1
        # In the order of their keys they meet the same pages of the file.
        self._store.put([newest[key] for key in sorted(newest)], self._next)
        self.read += len(messages)
        self.stored += len(newest)

    def _assign(self) -> None:
        """Take in partitions that are new."""
        from confluent_kafka import TopicPartition

        known = self._consumer.list_topics(timeout=ANSWER_WITHIN_S).topics
        there = {(topic, number) for topic in TOPICS if topic in known for number in known[topic].partitions}
        new = sorted(there - self._next.keys())
        if not new:
            return
        stored = self._store.positions()
        since = int((time.time() - self._lookback_s) * 1000)
        asked = [TopicPartition(topic, number, since) for topic, number in new if (topic, number) not in stored]
        found = self._consumer.offsets_for_times(asked, timeout=ANSWER_WITHIN_S) if asked else []
        for each in found:
            low, high = ends(self._consumer, (each.topic, each.partition))
            stored[each.topic, each.partition] = each.offset if each.offset >= low else high
        self._next |= {place: stored[place] for place in new}
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in self._next.items()])
        LOG.info("following %d partitions", len(self._next))

    def _look(self) -> None:
        """Ask the broker how much there is, and write down how much of it was read."""
        if self._next:
            current, unread = left_to_read(self._asking, self._next, self._arrived)
            self._store.saw(current, unread)

    def _forget(self) -> None:
        self._store.forget(int((time.time() - KEPT_DAYS * 86_400) * 10**6))
