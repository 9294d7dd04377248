"""What topics should be, and the steps to get there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c360.contracts.topic import load_topics
from c360.errors import SettingsError
from c360.events.topics import TopicConfig, in_sync, partitions, plan, replicas

COUNT = st.integers(1, 500)


@given(throughput=COUNT, each=COUNT, consumers=st.integers(1, 64))
def test_partitions_are_the_least_that_carry_the_throughput_and_serve_each_consumer(
    throughput: int, each: int, consumers: int
) -> None:
    found = 1
    while found * each < throughput or found < consumers:
        found += 1
    assert partitions(throughput, each, consumers) == found


@pytest.mark.parametrize("wrong", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (-1, 1, 1), (float("nan"), 1, 1)])
def test_impossible_sizes_are_refused(wrong: tuple[float, float, int]) -> None:
    with pytest.raises(SettingsError):
        partitions(*wrong)


@pytest.mark.parametrize(("brokers", "copies", "needed"), [(1, 1, 1), (2, 2, 1), (3, 3, 2), (4, 3, 2), (30, 3, 2)])
def test_copies_follow_the_brokers(brokers: int, copies: int, needed: int) -> None:
    assert replicas(brokers) == copies
    assert in_sync(copies) == needed


def test_the_contracts_topics_on_three_brokers() -> None:
    topics = {name: TopicConfig.of(contract, 3) for name, contract in load_topics().items()}
    assert {name: (t.partitions, t.replication) for name, t in topics.items()} == {
        "events.dlq": (2, 3), "raw-events": (4, 3), "raw-logs": (2, 3), "raw-metrics": (2, 3),
        "raw-system-events": (2, 3), "raw-transactions": (2, 3),
    }  # fmt: skip
    assert topics["raw-events"].configs["retention.ms"] == str(7 * 24 * 60 * 60 * 1000)
    assert topics["events.dlq"].configs["retention.ms"] == str(90 * 24 * 60 * 60 * 1000)
    assert topics["raw-events"].configs["min.insync.replicas"] == "2"


@pytest.mark.parametrize(("layer", "days"), [("raw", 7), ("bronze", 90), ("silver", 730), ("gold", 2555)])
def test_retention_follows_the_layer(layer: str, days: int) -> None:
    from c360.contracts.topic import RETENTION_DAYS

    assert RETENTION_DAYS[layer] == days


WANTED = TopicConfig("t", 4, 1, {"retention.ms": "1000", "compression.type": "lz4", "cleanup.policy": "delete"})


def kinds(now: TopicConfig) -> list[tuple[str, bool]]:
    return [(step.kind, step.allowed) for step in plan([WANTED], {"t": now})]


def test_a_plan_for_what_is_there_already_is_empty() -> None:
    assert kinds(replace(WANTED, configs={**WANTED.configs, "segment.ms": "1"})) == []


def test_missing_topics_are_created_and_unknown_ones_left_alone() -> None:
    steps = plan([WANTED], {"other": replace(WANTED, name="other"), "_schemas": replace(WANTED, name="_schemas")})
    assert [(s.kind, s.topic) for s in steps] == [("undeclared", "other"), ("create", "t")]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (replace(WANTED, partitions=2), [("grow", True)]),
        (replace(WANTED, partitions=8), [("held", False)]),
        (replace(WANTED, replication=3), [("held", False)]),
        (replace(WANTED, configs={**WANTED.configs, "retention.ms": "500"}), [("alter", True)]),
        (replace(WANTED, configs={**WANTED.configs, "retention.ms": "5000"}), [("held", True)]),
        (replace(WANTED, configs={**WANTED.configs, "retention.ms": "-1"}), [("held", True)]),
        (replace(WANTED, configs={**WANTED.configs, "cleanup.policy": "compact"}), [("held", True)]),
        (replace(WANTED, configs={**WANTED.configs, "compression.type": "zstd"}), [("alter", True)]),
        (
            replace(WANTED, configs={**WANTED.configs, "compression.type": "zstd", "retention.ms": "2000"}),
            [("alter", True), ("held", True)],
        ),
    ],
)
def test_only_what_loses_nothing_is_done_without_being_told(now: TopicConfig, expected: list[tuple[str, bool]]) -> None:
    assert kinds(now) == expected


def test_forever_is_never_a_shrink() -> None:
    steps = plan([replace(WANTED, configs={"retention.ms": "-1"})], {"t": WANTED})
    assert [step.kind for step in steps] == ["alter"]
