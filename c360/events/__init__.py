"""The event SDK: events of the company, published to and read from Kafka under their contracts."""

from __future__ import annotations

from c360.events.admin import KafkaAdminManager
from c360.events.config import ConsumerConfig, ProducerConfig
from c360.events.consumer import EventConsumer, Received, Tally
from c360.events.crypto import KeyRing, key_ring
from c360.events.metrics import EventMetrics
from c360.events.model import (
    Event,
    LogEvent,
    LogLine,
    Metadata,
    Metric,
    MetricEvent,
    SystemChange,
    SystemEvent,
    Transaction,
    TransactionEvent,
    UserAction,
    UserActionEvent,
    correlated,
)
from c360.events.producer import EventProducer
from c360.events.registry import RegistryClient
from c360.events.results import PublishResult
from c360.events.schema import MAX_EVENT_BYTES, EventSchema, load_schemas
from c360.events.topics import TopicConfig

__all__ = [
    "MAX_EVENT_BYTES",
    "ConsumerConfig",
    "Event",
    "EventConsumer",
    "EventMetrics",
    "EventProducer",
    "EventSchema",
    "KafkaAdminManager",
    "KeyRing",
    "LogEvent",
    "LogLine",
    "Metadata",
    "Metric",
    "MetricEvent",
    "ProducerConfig",
    "PublishResult",
    "Received",
    "RegistryClient",
    "SystemChange",
    "SystemEvent",
    "Tally",
    "TopicConfig",
    "Transaction",
    "TransactionEvent",
    "UserAction",
    "UserActionEvent",
    "correlated",
    "key_ring",
    "load_schemas",
]
