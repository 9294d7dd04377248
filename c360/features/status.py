"""How the store and its sink are, for the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from c360.errors import EngineError
from c360.events.places import ANSWER_WITHIN_S, ends
from c360.features.client import client_of
from c360.features.reading import FeatureReader
from c360.features.retrying import Retrying
from c360.features.store import FeatureStore

if TYPE_CHECKING:
    import threading

    from confluent_kafka import Consumer

    from c360.features.tables import FeatureTable
    from c360.settings import Settings


@dataclass(frozen=True)
class TableStatus:
    """One feature: where it comes from and goes to, messages in its topic and those of them that are not stored.

    ``partitions`` is 0 where there is no such topic yet.
    """

    feature: str
    topic: str
    table: str
    partitions: int
    messages: int
    unread: int


@dataclass(frozen=True)
class StoreStatus:
    """``state`` as the API tells it: ``live``, ``behind``, ``stopped``, ``absent`` or ``not_available``."""

    state: str
    address: str
    unread: int
    current_s: float | None
    tables: tuple[TableStatus, ...]


def observe(settings: Settings, ended: threading.Event) -> StoreStatus:
    """Ask the store and the broker; ``ended`` stops waiting for a store that is throttled.

    Raises:
        EngineError: the broker does not answer.
        StoreError: the store refuses.
    """
    from confluent_kafka import Consumer, KafkaException

    reader = FeatureReader(settings)
    liveness, _ = reader.ask(lambda: None, None)
    known = liveness.state not in {"absent", "not_available"}
    store = FeatureStore(client_of(settings, "reader"), settings.feature_prefix, Retrying(ended)) if known else None
    consumer = Consumer(
        {"bootstrap.servers": settings.kafka_servers, "group.id": "c360-features-status", "error_cb": lambda _: None,
         "log_level": 0}
    )  # fmt: skip
    try:
        tables = tuple(_look(table, consumer, store) for table in reader.tables.values())
    except KafkaException as error:
        raise EngineError(
            f"No broker answers at {settings.kafka_servers}", "start Kafka, or mend C360_KAFKA_BOOTSTRAP"
        ) from error
    finally:
        consumer.close()
        reader.close()
    address = settings.dynamodb_address or f"DynamoDB in {settings.dynamodb_region}"
    return StoreStatus(liveness.state, address, liveness.unread, liveness.current_s, tables)


def _look(table: FeatureTable, consumer: Consumer, store: FeatureStore | None) -> TableStatus:
    known = consumer.list_topics(timeout=ANSWER_WITHIN_S)
    topic = known.topics.get(table.topic)
    places = [(table.topic, number) for number in topic.partitions] if topic is not None else []
    stored = store.positions(str(known.cluster_id), places) if store is not None else {}
    messages = unread = 0
    for place in places:
        low, high = ends(consumer, place)
        messages += high - low
        unread += high - min(high, max(low, stored.get(place, low)))
    return TableStatus(table.name, table.topic, table.store, len(places), messages, unread)
