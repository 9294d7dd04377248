"""The light path: the shop's changes as Debezium would tell them, straight to Kafka, without a database."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

import orjson

from c360.cdc.connector import HEARTBEATS, SERVER, topic
from c360.cdc.envelope import Position, message_key, message_value
from c360.cdc.schema import shop_tables
from c360.errors import C360Error

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from confluent_kafka import Producer

    from c360.settings import Settings
    from mock_data.shop_changes import Transaction
    from mock_data.shop_ledger import ShopLedger
    from mock_data.shop_spoil import Spoiler

BATCH = 500
"""Transactions of the shop that are one transaction of Kafka, at most."""

TIMEOUT = 60.0
HEARTBEAT_S = 1.0
LAST_HEARTBEATS = 3
TICK = timedelta(milliseconds=1)
FIRST_LSN = 1 << 24
LSN_STEP = 64
PRODUCER = "mock_data.shop"

Message = tuple[str, bytes, bytes | None]


def messages(transaction: Transaction, position: int) -> Iterator[Message]:
    """Topic, key and value of each message about a transaction whose first change has this position (from 1)."""
    for index, change in enumerate(transaction.changes):
        table = shop_tables()[change.table]
        where = Position(FIRST_LSN + (position + index) * LSN_STEP, transaction.number, transaction.at)
        key = message_key(table, change.row)
        yield (
            topic(table.name),
            key,
            message_value(table, change.op, change.before, change.after, where, transaction.at),
        )
        if change.op == "d":
            yield topic(table.name), key, None


def heartbeat(at: datetime) -> Message:
    """Tells that all changes before that moment are there, so that time passes for readers when nothing changes."""
    return HEARTBEATS, orjson.dumps({"serverName": SERVER}), orjson.dumps({"ts_ms": int(at.timestamp() * 1000)})


def send(
    transactions: Iterable[Transaction],
    settings: Settings,
    ledger: ShopLedger,
    rate: float | None = None,
    spoiler: Spoiler | None = None,
) -> None:
    """Send them in order, at most ``rate`` a second; readers of committed messages see each transaction whole and once.

    With a ``spoiler`` they come as on a bad day; the ledger stays the truth.
    Heartbeats say how far it is: about every second, and some at the end, when readers take quiet partitions for idle.
    The topics must be there. Raises C360Error if the broker is away for too long; the ledger has what was committed.
    """
    from confluent_kafka import KafkaException, Producer

    producer = Producer(
        {
            "bootstrap.servers": settings.kafka_servers,
            "transactional.id": PRODUCER,
            "transaction.timeout.ms": int(TIMEOUT * 1000),
            "partitioner": "murmur2_random",  # as Kafka's own client, so that a key has one partition on both paths
            "linger.ms": 20,
            "compression.type": "lz4",
        },
        logger=logging.getLogger("mock_data.shop"),
    )
    size = BATCH if rate is None else max(1, min(BATCH, round(rate / 5)))
    source, began, done, position = iter(transactions), time.monotonic(), 0, 1
    told = began
    last: datetime | None = None
    try:
        producer.init_transactions(TIMEOUT)
        while batch := list(islice(source, size)):
            producer.begin_transaction()
            made: list[Message] = []
            for transaction in batch:
                made += messages(transaction, position)
                position += len(transaction.changes)
            for message in spoiler.spoil(made) if spoiler else made:
                _produce(producer, message)
            last = batch[-1].at
            if time.monotonic() - told >= HEARTBEAT_S:
                told = time.monotonic()
                _produce(producer, heartbeat(last))
            producer.commit_transaction(TIMEOUT)
            for transaction in batch:
                ledger.add(transaction)
            done += len(batch)
            if rate is not None:
                time.sleep(max(0.0, began + done / rate - time.monotonic()))
        for moment in [last + (number + 1) * TICK for number in range(LAST_HEARTBEATS)] if last else []:
            time.sleep(HEARTBEAT_S)
            producer.begin_transaction()
            _produce(producer, heartbeat(moment))
            producer.commit_transaction(TIMEOUT)
    except KafkaException as error:
        raise C360Error(
            f"Changes were not taken by {settings.kafka_servers} ({error.args[0].str()})", "see that the broker runs"
        ) from error


def _produce(producer: Producer, message: Message) -> None:
    name, key, value = message
    producer.produce(name, value, key)
