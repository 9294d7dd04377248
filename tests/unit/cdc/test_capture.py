"""Schema, configuration and verdicts of the capture, before anything runs."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from c360.cdc.connect_api import ConnectorState
from c360.cdc.connector import connector_config, schema_statements, topics
from c360.cdc.manage import Capture
from c360.cdc.schema import shop_table, shop_tables
from c360.cdc.slot import Slot, judge
from c360.contracts.loader import load_contracts
from c360.engines.postgres import password
from c360.errors import ContractError
from mock_data.entities import ENTITIES

if TYPE_CHECKING:
    from c360.settings import Settings

TABLES = ["customers", "locations", "products", "orders", "order_items", "shipments", "stock"]


def test_tables_have_the_columns_and_keys_of_the_source() -> None:
    """The generator writes its columns down by itself."""
    assert list(shop_tables()) == TABLES
    for name, table in shop_tables().items():
        entity = ENTITIES[name]
        total = ("total_amount",) if name == "orders" else ()
        assert table.names == (*entity.columns, *total)
        assert table.key == entity.key
        assert {column.name for column in table.columns if column.required} == {*entity.required, *total}


def test_types_are_exact() -> None:
    types = {column.name: column.sql_type for column in shop_tables()["order_items"].columns}
    assert types["unit_price"] == "numeric(12,2)"
    assert types["updated_at"] == "timestamptz"
    assert types["quantity"] == "bigint"
    assert [c.scale for c in shop_tables()["order_items"].columns if c.scale is not None] == [2, 2]
    make, identity = shop_tables()["customers"].ddl()
    assert make.endswith("PRIMARY KEY (customer_id))")
    assert identity == "ALTER TABLE public.customers REPLICA IDENTITY FULL"


def test_type_that_the_database_lacks_is_named() -> None:
    contract = load_contracts()["silver.orders"]
    (first, *rest) = contract.columns
    odd = dataclasses.replace(contract, columns=(dataclasses.replace(first, type="map"), *rest))
    with pytest.raises(ContractError, match=r"silver\.orders.*order_id \(map\)"):
        shop_table(odd)


def test_statements_may_be_given_again() -> None:
    made = schema_statements({name: table.ddl() for name, table in shop_tables().items()})
    assert all(s.startswith(("CREATE TABLE IF NOT EXISTS", "ALTER", "DO $$", "GRANT SELECT")) for s in made)
    assert sum("REPLICA IDENTITY FULL" in s for s in made) == len(TABLES)


def test_connector_reads_what_was_published_and_knows_no_password(settings: Settings) -> None:
    secret = password(settings, "cdc") if settings.home.exists() else ""
    config = connector_config(settings)
    assert config["table.include.list"].split(",") == [f"public.{name}" for name in TABLES]
    assert config["decimal.handling.mode"] == "precise"
    assert config["tombstones.on.delete"] == "true"
    assert config["exactly.once.support"] == "required"
    assert config["publication.autocreate.mode"] == "disabled"
    assert config["database.password"] == f"${{file:{settings.home}/postgres/passwords.properties:cdc}}"
    assert not secret or secret not in str(config)
    assert [topic.name for topic in topics(1)][:7] == [f"dbserver1.public.{name}" for name in TABLES]
    assert {topic.configs["cleanup.policy"] for topic in topics(3)[:7]} == {"delete"}
    assert {topic.replication for topic in topics(5)} == {3}


SLOT = Slot(active=True, status="reserved", confirmed=1000, written=5000)


@pytest.mark.parametrize(
    ("slot", "offset", "verdict"),
    [
        (None, None, "new"),
        (SLOT, None, "new"),
        (SLOT, {"lsn": 1000, "lsn_proc": 1000, "lsn_commit": 900}, "kept"),
        (SLOT, {"lsn": 4000, "lsn_proc": None}, "kept"),
        (None, {"lsn": 4000}, "missing"),
        (dataclasses.replace(SLOT, status="lost"), {"lsn": 4000}, "given_up"),
        (dataclasses.replace(SLOT, status="extended"), {"lsn": 4000}, "kept"),
        (dataclasses.replace(SLOT, confirmed=4001), {"lsn": 4000, "lsn_commit": 3900}, "skipped"),
    ],
)
def test_log_is_judged_by_slot_and_position(slot: Slot | None, offset: dict[str, Any] | None, verdict: str) -> None:
    assert judge(slot, offset) == verdict


def test_health_needs_connector_task_slot_and_log() -> None:
    runs = ConnectorState("RUNNING", ("RUNNING",))
    assert Capture(runs, SLOT, "kept").healthy
    assert SLOT.lag == 4000
    for wrong in (
        Capture(None, SLOT, "kept"),
        Capture(ConnectorState("RUNNING", ("FAILED",)), SLOT, "kept"),
        Capture(ConnectorState("RUNNING"), SLOT, "kept"),
        Capture(runs, None, "missing"),
        Capture(runs, dataclasses.replace(SLOT, active=False), "kept"),
        Capture(runs, SLOT, "skipped"),
    ):
        assert not wrong.healthy
