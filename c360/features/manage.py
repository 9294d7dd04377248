"""What the sink needs before it can store anything: the topics of features, and one for dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from c360.contracts.topic import load_topics
from c360.events.admin import KafkaAdminManager
from c360.events.dead_letters import DLQ
from c360.events.topics import TopicConfig
from c360.streams.features import feature_topics

if TYPE_CHECKING:
    from c360.settings import Settings


def install(settings: Settings) -> None:
    """Make the topics that are missing; those that are there are left as they are.

    Raises:
        TopicError: the cluster does not answer, or refuses.
    """
    admin = KafkaAdminManager(settings.kafka_servers)
    brokers = admin.brokers()
    admin.ensure(*feature_topics(brokers), TopicConfig.of(load_topics()[DLQ], brokers))
