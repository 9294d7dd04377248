"""API4:2023 Unrestricted Resource Consumption: how often one principal may ask."""

from __future__ import annotations

import random

import pytest

from api.security.limits import RateLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_api4_two_principals_have_limits_of_their_own() -> None:
    limit = RateLimit(10, 3, clock=(clock := Clock()))
    assert [limit.take("anna") for _ in range(3)] == [0, 0, 0]
    assert limit.take("anna") == pytest.approx(0.1)
    assert limit.take("ben") == 0
    clock.now += 0.1
    assert limit.take("anna") == 0
    assert limit.take("anna") > 0


def test_api4_the_wait_told_is_exact_and_refusals_cost_nothing() -> None:
    limit = RateLimit(2, 1, clock=(clock := Clock()))
    limit.take("anna")
    for _ in range(100):
        wait = limit.take("anna")
    assert wait == pytest.approx(0.5)
    clock.now += wait - 0.01
    assert limit.take("anna") > 0
    clock.now += 0.011
    assert limit.take("anna") == 0


def test_api4_in_the_long_run_no_more_than_the_rate_passes() -> None:
    rng, limit, passed = random.Random(360), RateLimit(50, 20, clock=(clock := Clock())), 0
    while clock.now < 100:
        clock.now += rng.expovariate(400)
        passed += limit.take("anna") == 0
    assert 0.98 * 50 * 100 <= passed <= 50 * clock.now + 20


def test_api4_a_batch_costs_what_it_reads() -> None:
    limit = RateLimit(1, 10, clock=Clock())
    assert limit.take("anna", cost=8) == 0
    assert limit.take("anna", cost=8) == pytest.approx(6)
    assert limit.take("anna", cost=2) == 0


def test_api4_memory_does_not_grow_with_principals() -> None:
    limit = RateLimit(1, 1, most=100, clock=Clock())
    for n in range(10_000):
        limit.take(f"p{n}")
    assert limit.remembered == 100
    assert limit.take("p9999") > 0
