"""The cluster's side of topics: describes, creates and alters them, and deletes only what it is told to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from c360.events.errors import TopicError
from c360.events.topics import Step, TopicConfig, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from concurrent.futures import Future
    from typing import TypeVar

    from c360.contracts.topic import TopicContract

    T = TypeVar("T")


class KafkaAdminManager:
    """Topics of one cluster. Each call takes at most ``timeout`` seconds and raises TopicError with the reason."""

    def __init__(self, bootstrap_servers: str, timeout: float = 15.0) -> None:
        import logging

        from confluent_kafka.admin import AdminClient

        self.bootstrap_servers = bootstrap_servers
        self._timeout = timeout
        # Errors of the connection come back from the calls; the client's own prints would double them.
        settings: dict[str, str | int | float | bool] = {
            "bootstrap.servers": bootstrap_servers,
            "socket.timeout.ms": int(timeout * 1000),
        }
        self._client = AdminClient(settings, logger=logging.getLogger("c360.events.kafka"))

    def brokers(self) -> int:
        """Number of brokers in the cluster."""
        return len(self._call(lambda: self._client.list_topics(timeout=self._timeout)).brokers)

    def describe(self, *names: str) -> dict[str, TopicConfig]:
        """Topics by name, with the settings in force; all topics but Kafka's own if none is named.

        A named topic that does not exist is left out.
        """
        found = {
            name: topic
            for name, topic in self._call(lambda: self._client.list_topics(timeout=self._timeout)).topics.items()
            if topic.error is None and (name in names if names else not name.startswith("__"))
        }
        if not found:
            return {}
        resources = [_admin().ConfigResource(_admin().ResourceType.TOPIC, name) for name in found]
        answers = self._call(lambda: self._client.describe_configs(resources, request_timeout=self._timeout))
        configs = {resource.name: self._call(answer.result) for resource, answer in answers.items()}
        return {
            name: TopicConfig(
                name,
                len(topic.partitions),
                min(len(partition.replicas) for partition in topic.partitions.values()),
                {key: str(entry.value) for key, entry in configs[name].items() if entry.value is not None},
            )
            for name, topic in sorted(found.items())
        }

    def plan(self, contracts: Iterable[TopicContract]) -> list[Step]:
        """The steps that make the cluster's topics what the contracts ask for; empty if they are."""
        brokers = self.brokers()
        return plan([TopicConfig.of(contract, brokers) for contract in contracts], self.describe())

    def apply(self, steps: Iterable[Step], *, allow_shrink: bool = False) -> list[Step]:
        """Do the steps; the ones done. A held step is done only with ``allow_shrink``, and only if it can be."""
        done = []
        for step in steps:
            if step.kind == "undeclared" or (step.kind == "held" and not (allow_shrink and step.allowed)):
                continue
            assert step.wanted is not None
            if step.kind == "create":
                self.create(step.wanted)
            elif step.kind == "grow":
                self._grow(step.wanted)
            else:
                self.alter(step.topic, step.configs)
            done.append(step)
        self._settle(done)
        return done

    def create(self, *topics: TopicConfig) -> None:
        """Create topics; TopicError if one exists."""
        new = [_admin().NewTopic(t.name, t.partitions, t.replication, config=dict(t.configs)) for t in topics]
        self._all(lambda: self._client.create_topics(new, operation_timeout=self._timeout))

    def ensure(self, *topics: TopicConfig) -> None:
        """Create those of the topics that are missing; what is there is left as it is, whatever its settings."""
        present = self.describe(*(each.name for each in topics))
        if missing := [each for each in topics if each.name not in present]:
            self.create(*missing)

    def alter(self, name: str, configs: Mapping[str, str]) -> None:
        """Change these settings of a topic and no others, whatever they lose: :meth:`plan` is what asks first."""
        entries = [
            _admin().ConfigEntry(key, value, incremental_operation=_admin().AlterConfigOpType.SET)
            for key, value in configs.items()
        ]
        resource = _admin().ConfigResource(_admin().ResourceType.TOPIC, name, incremental_configs=entries)
        self._all(lambda: self._client.incremental_alter_configs([resource], request_timeout=self._timeout))

    def delete(self, *names: str) -> None:
        """Delete exactly these topics with all their messages; nothing else in the product ever does."""
        if names:
            self._all(lambda: self._client.delete_topics(list(names), operation_timeout=self._timeout))

    def _settle(self, done: list[Step]) -> None:
        """Wait until the cluster shows what it has agreed to: its answers run ahead of what it describes."""
        until = time.monotonic() + self._timeout
        while done and time.monotonic() < until:
            now = self.describe(*{step.topic for step in done})
            if all(step.topic in now and _shows(now[step.topic], step) for step in done):
                return
            time.sleep(0.05)

    def _grow(self, topic: TopicConfig) -> None:

        more = _admin().NewPartitions(topic.name, topic.partitions)
        self._all(lambda: self._client.create_partitions([more], operation_timeout=self._timeout))

    def _all(self, request: Callable[[], dict[Any, Future[Any]]]) -> None:
        for answer in self._call(request).values():
            self._call(answer.result)

    def _call(self, question: Callable[[], T]) -> T:
        from confluent_kafka import KafkaError, KafkaException

        try:
            return question()
        except KafkaException as error:
            cause = error.args[0]
            if cause.code() in (KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN):
                raise TopicError(
                    f"No broker answers at {self.bootstrap_servers}", "start Kafka, or mend C360_KAFKA_BOOTSTRAP"
                ) from error
            raise TopicError(f"The cluster refuses: {cause.str()}", "look into the broker's log") from error


def _shows(now: TopicConfig, step: Step) -> bool:
    wanted = step.wanted.partitions if step.wanted and step.kind in ("create", "grow") else 0
    return now.partitions >= wanted and all(now.configs.get(key) == value for key, value in step.configs.items())


def _admin() -> Any:
    """The client's module, whose types do not say what it exports."""
    import confluent_kafka.admin

    return confluent_kafka.admin
