"""The features: tables that hold every version of a feature's rows, and the topics that hold the newest of each key."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from c360.contracts.loader import load_stream_contracts
from c360.events.topics import TopicConfig, in_sync, replicas

if TYPE_CHECKING:
    from collections.abc import Mapping

    from c360.contracts.model import Contract
    from c360.settings import Settings

LAYER = "features"
EFFECTIVE, VERSION = "effective_at", "version"
"""Of two rows of a key the one with the greater (version, effective_at) is the newer."""

PARTITIONS = 2


@cache
def load_features() -> Mapping[str, Contract]:
    """Contracts of the features' tables by name (``features.customer_segments``)."""
    return MappingProxyType({name: c for name, c in load_stream_contracts().items() if c.layer == LAYER})


def topic_of(contract: Contract) -> str:
    """``features.customer_segments`` → ``features-customer-segments``."""
    return contract.name.replace(".", "-").replace("_", "-")


def key_of(contract: Contract) -> str:
    """The column that names the entity: the key without effective_at and version."""
    (key,) = (name for name in contract.primary_key if name not in (EFFECTIVE, VERSION))
    return key


def feature_topics(brokers: int) -> tuple[TopicConfig, ...]:
    """The compacted topics, on a cluster of that many brokers; all rows of a key lie in one partition."""
    copies = replicas(brokers)
    configs = {"min.insync.replicas": str(in_sync(copies)), "cleanup.policy": "compact"}
    return tuple(TopicConfig(topic_of(each), PARTITIONS, copies, configs) for each in load_features().values())


def install_feature_topics(settings: Settings) -> None:
    """Make the topics of features that are missing; TopicError with the reason otherwise."""
    from c360.events.admin import KafkaAdminManager

    admin = KafkaAdminManager(settings.kafka_servers)
    admin.ensure(*feature_topics(admin.brokers()))
