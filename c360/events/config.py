"""How producers and consumers trade safety, volume and delay: one profile for each need, in words and in settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from c360.errors import SettingsError

Profile = Literal["reliability", "throughput", "latency", "exactly-once"]
PROFILES: tuple[Profile, ...] = ("reliability", "throughput", "latency", "exactly-once")

_IDEMPOTENT = {"acks": "all", "enable.idempotence": True, "compression.type": "lz4", "message.max.bytes": 1_048_588}
"""What no profile gives up: a retry never doubles or reorders an event, and no single broker can lose it."""

_PRODUCER: Mapping[Profile, Mapping[str, Any]] = {
    "reliability": {"linger.ms": 5, "max.in.flight.requests.per.connection": 1},
    "throughput": {"linger.ms": 50, "batch.size": 1_000_000, "batch.num.messages": 10_000},
    "latency": {"linger.ms": 0, "socket.nagle.disable": True},
    "exactly-once": {"linger.ms": 20, "batch.num.messages": 10_000},
}

_CONSUMER: Mapping[Profile, Mapping[str, Any]] = {
    "reliability": {"isolation.level": "read_committed"},
    "throughput": {"isolation.level": "read_uncommitted", "fetch.min.bytes": 262_144, "fetch.wait.max.ms": 200},
    "latency": {"isolation.level": "read_uncommitted", "fetch.wait.max.ms": 10},
    "exactly-once": {"isolation.level": "read_committed"},
}


@dataclass(frozen=True)
class ProducerConfig:
    """Settings of an :class:`~c360.events.producer.EventProducer`.

    ``profile``: ``reliability`` keeps one request in flight, ``throughput`` fills large batches (up to 50 ms of
    waiting), ``latency`` sends at once, ``exactly-once`` publishes each batch in a transaction. ``delivery_timeout`` is
    the seconds after which an event that no broker took fails; ``queued_events`` bounds the memory of a producer;
    ``overrides`` are librdkafka settings that win over the profile.
    """

    bootstrap_servers: str
    profile: Profile = "reliability"
    client_id: str = "c360"
    transactional_id: str | None = None
    delivery_timeout: float = 30.0
    queued_events: int = 200_000
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _known(self.profile)
        if (self.profile == "exactly-once") != (self.transactional_id is not None):
            raise SettingsError(
                f"Profile '{self.profile}' and transactional id {self.transactional_id} do not fit together",
                "give a transactional id, one for each running producer, with exactly-once and only there",
            )
        _positive("delivery_timeout", self.delivery_timeout)
        _positive("queued_events", self.queued_events)
        if self.overrides.get("enable.idempotence", True) is not True or str(self.overrides.get("acks", "all")) not in (
            "all",
            "-1",
        ):
            raise SettingsError(
                "A producer without idempotence could repeat events", "leave acks and idempotence alone"
            )

    def to_librdkafka(self) -> dict[str, Any]:
        """The settings in librdkafka's words."""
        timeout = max(int(self.delivery_timeout * 1000), 100)
        found = {
            **_IDEMPOTENT,
            **_PRODUCER[self.profile],
            "bootstrap.servers": self.bootstrap_servers,
            "client.id": self.client_id,
            "delivery.timeout.ms": timeout,
            "queue.buffering.max.messages": self.queued_events,
        }
        if self.transactional_id is not None:
            # The broker would outlive a shorter transaction timeout's batch: both end together.
            found |= {"transactional.id": self.transactional_id, "transaction.timeout.ms": max(timeout, 1000)}
        return {**found, **self.overrides}


@dataclass(frozen=True)
class ConsumerConfig:
    """Settings of an :class:`~c360.events.consumer.EventConsumer`.

    Offsets are committed by the consumer once a message was handled or dead-lettered, never by a timer.
    ``exactly-once`` moves offsets and dead letters in one transaction of ``transactional_id``. ``start`` is where a new
    group begins. ``handler_attempts`` is how often the reader's own code is tried on one event.
    """

    bootstrap_servers: str
    group: str
    profile: Profile = "reliability"
    start: Literal["earliest", "latest"] = "earliest"
    transactional_id: str | None = None
    batch: int = 500
    handler_attempts: int = 3
    retry_wait: float = 0.2
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _known(self.profile)
        if (self.profile == "exactly-once") != (self.transactional_id is not None):
            raise SettingsError(
                f"Profile '{self.profile}' and transactional id {self.transactional_id} do not fit together",
                "give a transactional id, one for each running consumer, with exactly-once and only there",
            )
        _positive("batch", self.batch)
        _positive("handler_attempts", self.handler_attempts)
        if self.overrides.get("enable.auto.commit", False):
            raise SettingsError("Committing by a timer loses messages in a crash", "leave enable.auto.commit alone")

    def to_librdkafka(self) -> dict[str, Any]:
        """The settings in librdkafka's words."""
        return {
            **_CONSUMER[self.profile],
            "bootstrap.servers": self.bootstrap_servers,
            "group.id": self.group,
            "auto.offset.reset": self.start,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            **self.overrides,
        }


def _known(profile: str) -> None:
    if profile not in PROFILES:
        raise SettingsError(f"There is no profile '{profile}'", f"use one of {', '.join(PROFILES)}")


def _positive(name: str, value: float) -> None:
    if not value > 0:
        raise SettingsError(f"{name} is {value}", "give a number above 0")
