"""Five releases: each customer as of each moment, for three roles, whether an index of it is kept or not."""

from __future__ import annotations

import copy
import random
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from api.security.principal import Role
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from tests.unit.api_app.conftest import World
from tests.unit.api_app.test_answers import seen, served

if TYPE_CHECKING:
    from collections.abc import Iterator

Past = tuple[World, list[tuple[datetime, list[dict[str, Any]]]]]
ROLES = (Role.SUPPORT, Role.ANALYST, Role.PRIVACY)
SCANNED = 1
"""The release whose index is removed."""


@pytest.fixture(scope="module")
def past(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[World, list[tuple[datetime, list[dict[str, Any]]]]]]:
    """A world, and for each of five moments the rows that were published then."""
    settings = Settings(home=tmp_path_factory.mktemp("past"))
    of = random.Random(8)
    with Lakehouse(settings) as lake:
        world = World(settings, lake)
        with world.client:
            moments = [(datetime.now(UTC), copy.deepcopy(world.customers))]
            for number in range(4):
                for row in of.sample(world.customers, 15):
                    row["loyalty_tier"] = of.choice(["none", "silver", "gold", "platinum"])
                    row["orders"], row["recency_days"] = of.randrange(100), of.choice([None, number])
                    row["consent_marketing_email"] = of.choice([True, False, None])
                world.company.rows["gold.customer_360"].pop(of.randrange(len(world.customers)))
                assert served(world, world.publish())
                moments.append((datetime.now(UTC), copy.deepcopy(world.customers)))
            removed = world.store.manifests()[::-1][SCANNED].release
            shutil.rmtree(world.store.folder / removed)
            yield world, moments


@pytest.mark.parametrize("number", range(5))
def test_each_customer_is_as_published_then(past: Past, number: int) -> None:
    world, moments = past
    at, rows = moments[number]
    published = {row["customer_id"]: row for row in rows}
    everybody = [row["customer_id"] for row in moments[0][1]]
    wanted = everybody[::4] if number == SCANNED else everybody
    for role in ROLES:
        key = world.key(role)
        for customer in wanted:
            path = f"/v1/customers/{customer}?as_of={at.strftime('%Y-%m-%dT%H:%M:%S.%fZ')}"
            answer = world.ask(path, key)
            row = published.get(customer)
            assert answer.status_code == (404 if row is None else 200)
            assert row is None or answer.json()["data"] == seen(role, row)
