"""Partitions of topics as places: how far each goes, and what a reader without a group has still before it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from c360.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from logging import Logger

    from confluent_kafka import Consumer

    from c360.events.config import ConsumerConfig

ANSWER_WITHIN_S = 5.0
Place = tuple[str, int]
"""Topic and partition."""


def readers(config: ConsumerConfig, logger: Logger) -> tuple[Consumer, Consumer]:
    """A consumer to read with, and one to ask with.

    On the connection of the first each question would wait behind a fetch that waits, and hold up the next.
    """
    from confluent_kafka import Consumer

    known = {**config.to_librdkafka(), "error_cb": lambda _: None}
    return Consumer(known, logger=logger), Consumer(known, logger=logger)


def ends(consumer: Consumer, place: Place) -> tuple[int, int]:
    """The offset of the first message that is kept, and that of the next one to come.

    Raises:
        EngineError: there was no answer in time; KafkaException: the broker is away.
    """
    from confluent_kafka import TopicPartition

    found = consumer.get_watermark_offsets(TopicPartition(*place), timeout=ANSWER_WITHIN_S)
    if found is None:
        raise EngineError("The broker did not answer in time", "see its log")
    return found


def left_to_read(consumer: Consumer, upto: Mapping[Place, int], arrived: Mapping[Place, float]) -> tuple[float, int]:
    """By when all that arrived is read (seconds since 1970; now if nothing waits), and how many messages wait.

    ``upto`` are the offsets to go on with, ``arrived`` the moments at which the last messages read had arrived.
    Raises as :func:`ends`.
    """
    current, unread = time.time(), 0
    for place, offset in upto.items():
        _, high = ends(consumer, place)
        if high > offset:
            unread += high - offset
            current = min(current, arrived.get(place, 0.0))
    return current, unread
