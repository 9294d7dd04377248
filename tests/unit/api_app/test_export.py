"""Exports hold every customer that may be seen, as they may be seen."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pyarrow as pa

from api.security.principal import Role
from tests.unit.api_app.test_answers import seen

if TYPE_CHECKING:
    from tests.unit.api_app.conftest import World


def test_lines_are_all_customers_for_who_may_see_them(world: World, keys: dict[Role, str]) -> None:
    answer = world.ask("/v1/customers/export", keys[Role.PRIVACY])
    assert answer.headers["content-type"] == "application/x-ndjson"
    rows = [json.loads(line) for line in answer.text.splitlines()]
    assert rows == [seen(Role.PRIVACY, row) for row in world.customers]
    filtered = world.ask("/v1/customers/export?country_code=FR", keys[Role.PRIVACY]).text.splitlines()
    assert len(filtered) == sum(row["country_code"] == "FR" for row in world.customers)


def test_an_analysts_export_leads_back_to_nobody(world: World, keys: dict[Role, str]) -> None:
    text = world.ask("/v1/customers/export", keys[Role.ANALYST]).text
    rows = [json.loads(line) for line in text.splitlines()]
    assert len({row["customer_id"] for row in rows}) == len(world.customers)
    assert all(row["customer_id"].startswith("t_") and row["customer_sk"].startswith("t_") for row in rows)
    assert not [row["customer_id"] for row in world.customers if row["customer_id"] in text]
    wanted = [seen(Role.ANALYST, row) or {} for row in world.customers]
    for row, expected in zip(rows, wanted, strict=True):
        tokens = {"customer_id", "customer_sk"}
        assert {n: v for n, v in row.items() if n not in tokens} == {
            n: v for n, v in expected.items() if n not in tokens
        }


def test_the_arrow_stream_holds_the_same(world: World, keys: dict[Role, str]) -> None:
    lines = world.ask("/v1/customers/export", keys[Role.ANALYST]).text.splitlines()
    answer = world.ask("/v1/customers/export?format=arrow", keys[Role.ANALYST])
    with pa.ipc.open_stream(io.BytesIO(answer.content)) as reader:
        found = reader.read_all().to_pylist()
    rows = [json.loads(line) for line in lines]
    assert [{name: row[name] for name in rows[0]} for row in found] == rows


def test_an_export_has_no_pages(world: World, keys: dict[Role, str]) -> None:
    assert world.ask("/v1/customers/export?limit=3", keys[Role.PRIVACY]).status_code == 422
    assert world.ask("/v1/customers/export?cursor=x", keys[Role.PRIVACY]).status_code == 422
    assert world.ask("/v1/customers/export?format=xml", keys[Role.PRIVACY]).status_code == 422
