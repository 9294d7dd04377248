"""Topics as their contracts want them: what each should be, what it is, and the steps from here to there."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from c360.errors import SettingsError

if TYPE_CHECKING:
    from c360.contracts.topic import TopicContract

MOST_REPLICAS = 3
_DAY_MS = 86_400_000
_MAX_MESSAGE = 1_048_588
"""Bytes: an event of 1 MB with its key and framing, and Kafka's own default."""

DLQ_MAX_MESSAGE = 2 * 2**20
"""Bytes: the largest message of any topic must fit in with the reason beside it, or its reader could never go on."""

Kind = Literal["create", "grow", "alter", "held", "undeclared"]

_SHRINKING_IF_LOWER = ("retention.ms", "max.message.bytes", "min.insync.replicas")


@dataclass(frozen=True)
class TopicConfig:
    """What a topic is, or should be: ``configs`` are Kafka's topic settings as text."""

    name: str
    partitions: int
    replication: int
    configs: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.partitions < 1 or self.replication < 1:
            raise SettingsError(
                f"{self.name} would have {self.partitions} partitions and {self.replication} replicas",
                "give at least one of each",
            )

    @classmethod
    def of(cls, contract: TopicContract, brokers: int) -> TopicConfig:
        """What a contract asks for on a cluster of that many brokers."""
        replication = replicas(brokers)
        return cls(
            contract.name,
            partitions(contract.throughput, contract.partition_throughput, contract.consumers),
            replication,
            MappingProxyType({
                "retention.ms": str(contract.retention_days * _DAY_MS),
                "min.insync.replicas": str(in_sync(replication)),
                "compression.type": "uncompressed" if contract.compression == "none" else contract.compression,
                "cleanup.policy": contract.cleanup_policy,
                "max.message.bytes": str(DLQ_MAX_MESSAGE if contract.format == "bytes" else _MAX_MESSAGE),
                **_clock(contract),
            }),
        )  # fmt: skip


def _clock(contract: TopicContract) -> dict[str, str]:
    """Whose clock says when a message arrived.

    The broker drops old segments by these times, and windows of the streams close by them. On raw topics they are the
    producer's, so that what happened while a source was cut off can be sent as it would have come, but within bounds: a
    clock ahead would close windows too soon, and a message with an old time would be dropped before it was read.
    """
    if contract.layer != "raw":
        return {"message.timestamp.type": "LogAppendTime"}
    return {
        "message.timestamp.type": "CreateTime",
        "message.timestamp.after.max.ms": str(contract.clock_skew * 1000),
        "message.timestamp.before.max.ms": str((contract.retention_days - 1) * _DAY_MS),
    }


@dataclass(frozen=True)
class Step:
    """One step of a plan.

    ``create``, ``grow`` (partitions) and ``alter`` (settings) are done by applying it. ``held`` would lose messages or
    cannot be done in place: it needs to be told (``allowed`` says whether telling is enough). ``undeclared`` is a topic
    that no contract describes; it is left alone.
    """

    kind: Kind
    topic: str
    text: str
    wanted: TopicConfig | None = None
    configs: Mapping[str, str] = field(default_factory=dict)
    allowed: bool = True


def partitions(throughput: float, partition_throughput: float, consumers: int) -> int:
    """Enough partitions for the throughput (both in MB a second), and one for each consumer of a group."""
    if not (throughput > 0 and partition_throughput > 0 and consumers >= 1):
        raise SettingsError(
            f"Partitions cannot be told from {throughput} by {partition_throughput} MB/s and {consumers} consumers",
            "give numbers above 0",
        )
    return max(math.ceil(throughput / partition_throughput), consumers)


def replicas(brokers: int) -> int:
    """Copies of each message: one on each broker, at most three."""
    return min(max(brokers, 1), MOST_REPLICAS)


def in_sync(replication: int) -> int:
    """Copies that must be written before a message is acknowledged: one broker may be away where there are three."""
    return 2 if replication >= MOST_REPLICAS else 1


def plan(wanted: Iterable[TopicConfig], present: Mapping[str, TopicConfig]) -> list[Step]:
    """The steps from the present topics to the wanted ones, by topic."""
    steps: list[Step] = []
    declared = set()
    for topic in wanted:
        declared.add(topic.name)
        now = present.get(topic.name)
        if now is None:
            copies = f"{topic.partitions} partitions, {topic.replication} replicas"
            steps.append(Step("create", topic.name, copies, topic, topic.configs))
        else:
            steps += _changes(topic, now)
    steps += [
        Step("undeclared", name, "no contract describes it")
        for name in present
        if name not in declared and name[0] != "_"
    ]
    return sorted(steps, key=lambda step: step.topic)


def _changes(topic: TopicConfig, now: TopicConfig) -> Iterable[Step]:
    if topic.partitions > now.partitions:
        text = f"partitions {now.partitions} → {topic.partitions}; keys move, so their order across the change is lost"
        yield Step("grow", topic.name, text, topic)
    elif topic.partitions < now.partitions:
        text = f"partitions {now.partitions} → {topic.partitions}: Kafka cannot take partitions away"
        yield Step("held", topic.name, text, topic, allowed=False)
    if topic.replication != now.replication:
        text = f"replicas {now.replication} → {topic.replication}: reassign them with Kafka's own tool"
        yield Step("held", topic.name, text, topic, allowed=False)
    changed = {name: value for name, value in topic.configs.items() if now.configs.get(name) != value}
    losing = {name: value for name, value in changed.items() if _loses(name, now.configs.get(name), value)}
    for kind, configs in (("alter", changed.keys() - losing.keys()), ("held", losing.keys())):
        if configs:
            text = ", ".join(f"{name} {now.configs.get(name, '-')} → {changed[name]}" for name in sorted(configs))
            yield Step(kind, topic.name, text, topic, {name: changed[name] for name in sorted(configs)})  # type: ignore[arg-type]  # the two words above are kinds


def _loses(name: str, before: str | None, after: str) -> bool:
    """True if the change lets go of messages, or of the care that is taken of them."""
    if before is None:
        return False
    if name == "cleanup.policy":
        return ("compact" in after and "compact" not in before) or ("delete" in after and "delete" not in before)
    if name not in _SHRINKING_IF_LOWER:
        return False
    old, new = int(before), int(after)
    return (new >= 0 if old < 0 else 0 <= new < old) if name == "retention.ms" else new < old
