"""The shop's silver tables from a real database through Debezium, and from the light path: the same, and as the ledger.

The tests share one running set, in the order of the file; the second goes on where the first ended.
"""

from __future__ import annotations

import json
import logging
import time
from contextlib import closing
from datetime import date
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from confluent_kafka import Consumer, TopicPartition

from c360.cdc import manage
from c360.cdc.audit import account, last_of_history, unknown_fields
from c360.cdc.connector import SLOT, topic
from c360.cdc.contracts import BRONZE, current_name, history_name
from c360.cdc.schema import NAMES, shop_tables
from c360.cdc.state import versions
from c360.contracts import get_contract
from c360.engines.postgres import connect
from c360.engines.stack import Stack
from c360.errors import EngineError
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from c360_assets.pipeline import shop, shop_rows
from mock_data.company import company_of
from mock_data.shop_changes import transactions
from mock_data.shop_database import ShopWriter
from mock_data.shop_ledger import ShopLedger
from mock_data.shop_light import send
from tests.conftest import free_port
from tests.unit.engines.engine_specs import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration
PORTS = ("kafka", "kafka_controller", "postgres", "connect")
PLAYED = 250
PLACE = ("lsn", "transaction_id", "committed_at", "kafka_partition", "kafka_offset", "kafka_timestamp")
"""Columns that depend on the server and its clock."""

TYPES = {"string": "VARCHAR", "long": "BIGINT", "double": "DOUBLE", "date": "DATE", "timestamp": "TIMESTAMPTZ"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("shop") / "home"
    stack = Stack(Settings(home=home, **{f"{name}_port": free_port() for name in PORTS}))  # type: ignore[arg-type]
    try:
        stack.up("cdc")
        manage.install(stack.settings)
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lakehouse, Lakehouse]]:
    """One for what the database told, one for the light path."""
    folder = tmp_path_factory.mktemp("lakes")
    with Lakehouse(Settings(home=folder / "captured")) as captured, Lakehouse(Settings(home=folder / "light")) as light:
        for lake in (captured, light):
            lake.ensure(get_contract(BRONZE))
        yield captured, light


class Feeder:
    """Puts what came into the topics since it looked last into a bronze table, committed messages only."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka_servers,
                "group.id": f"feeder-{time.monotonic_ns()}",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            },
            logger=logging.getLogger("tests.feeder"),
        )
        self._consumer.assign([TopicPartition(topic(name), number, 0) for name in NAMES for number in (0, 1)])

    def feed(self, lake: Lakehouse, at_least: int, quiet: float = 2.0, patience: float = 60.0) -> int:
        """Wait for so many messages, and those that follow; returns how many came."""
        found: list[tuple[Any, ...]] = []
        deadline = time.monotonic() + patience
        silent = time.monotonic()
        while time.monotonic() < deadline and (len(found) < at_least or time.monotonic() < silent + quiet):
            for message in self._consumer.consume(1000, timeout=0.3):
                assert message.error() is None, message.error()
                silent = time.monotonic()
                place = (message.topic(), message.partition(), message.offset(), message.timestamp()[1] * 1000)
                found.append((*place, message.key(), message.value()))
        assert len(found) >= at_least
        schema = lake.empty(BRONZE).schema
        columns = dict(
            zip(
                ("topic", "kafka_partition", "kafka_offset", "kafka_timestamp", "key", "value"),
                zip(*found, strict=True),
                strict=True,
            )
        )
        rows = pa.table({field.name: pa.array(columns[field.name], field.type) for field in schema}, schema=schema)
        lake.table(BRONZE).append(rows)
        return len(found)

    def close(self) -> None:
        self._consumer.close()


@pytest.fixture(scope="module")
def feeder(stack: Stack) -> Iterator[Feeder]:
    with closing(Feeder(stack.settings)) as feeder:
        yield feeder


def refine(lake: Lakehouse, *tables: str) -> dict[str, shop.HistoryRun]:
    runs = {}
    for table in tables or NAMES:
        runs[table] = shop.refine_history(lake, table, run_id="test")
        shop_rows.refine_rows(lake, table, run_id="test")
        for found in (account(lake, table), last_of_history(lake, table)):
            assert found.passed, (table, found.figures)
    return runs


def statement(settings: Settings, *texts: str) -> None:
    with closing(connect(settings)) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            for text in texts:
                cursor.execute(text)


def as_ledger(table: str, folder: Path) -> str:
    """SQL that gives the table's rows after all changes of the ledger."""
    columns = [
        f"CAST(json_extract_string(after, '$.{c.name}') AS {TYPES.get(c.type, c.type)}) AS {c.name}"
        for c in shop_tables()[table].columns
    ]
    return (
        f"SELECT {', '.join(columns)} FROM (SELECT key, arg_max(op, position) AS op, arg_max(after, position) AS after"
        f" FROM '{folder}/part-*.parquet' WHERE \"table\" = '{table}' GROUP BY key) WHERE op <> 'd'"
    )


def test_both_paths_make_the_same_tables_and_these_are_the_ledger(
    stack: Stack, feeder: Feeder, lakes: tuple[Lakehouse, Lakehouse], tmp_path: Path
) -> None:
    # From where orders are cancelled and deleted on: all kinds of changes in few transactions.
    played = list(transactions(company_of(0.002, 3, date(2025, 1, 1), 50)))[:PLAYED]
    expected = sum(1 + (change.op == "d") for each in played for change in each.changes)
    for lake, folder in zip(lakes, (tmp_path / "captured", tmp_path / "light"), strict=True):
        ledger = ShopLedger(folder)
        if folder.name == "captured":
            ShopWriter(stack.settings).write(played, ledger)
        else:
            send(played, stack.settings, ledger)
        ledger.close()
        assert feeder.feed(lake, expected) == expected
        runs = refine(lake)
        assert sum(run.read for run in runs.values()) == expected
        assert sum(run.dead + run.repeated + run.silent for run in runs.values()) == 0
    captured, light = lakes
    with duckdb.connect() as session:
        session.execute("SET TimeZone = 'UTC'")
        for table in NAMES:
            histories = [lake.read(history_name(table)).drop_columns(list(PLACE)) for lake in lakes]
            session.register("captured", histories[0])
            session.register("light", histories[1])
            session.register("present", captured.read(current_name(table), shop_tables()[table].names))
            differ = "SELECT count(*) FROM ((FROM {0} EXCEPT ALL FROM {1}) UNION ALL (FROM {1} EXCEPT ALL FROM {0}))"
            assert session.execute(differ.format("captured", "light")).fetchall() == [(0,)]
            wanted = f"({as_ledger(table, tmp_path / 'captured')})"
            assert session.execute(differ.format("present", wanted)).fetchall() == [(0,)], table
    assert captured.row_count(current_name("orders")) == light.row_count(current_name("orders")) > 0


def test_the_source_changes_its_columns(stack: Stack, feeder: Feeder, lakes: tuple[Lakehouse, Lakehouse]) -> None:
    lake = lakes[0]
    before = lake.row_count(history_name("orders"))
    statement(
        stack.settings,
        "ALTER TABLE public.orders ADD COLUMN gift_note text, ADD COLUMN weight numeric(9,3)",
        "UPDATE public.orders SET gift_note = 'für \"dich\"', weight = 1.250",
        "ALTER TABLE public.orders DROP COLUMN channel, ALTER COLUMN shipping_amount TYPE numeric(20,2)",
        "UPDATE public.orders SET shipping_amount = 9999999999.99, status = 'returned'",
        "ALTER TABLE public.order_items ALTER COLUMN quantity TYPE integer, ALTER COLUMN unit_price TYPE numeric",
        "UPDATE public.order_items SET unit_price = 1.5, quantity = 7",
        "UPDATE public.order_items SET unit_price = 1.555"
        " WHERE order_item_id = (SELECT min(order_item_id) FROM public.order_items)",
    )
    orders, items = (lake.row_count(current_name(name)) for name in ("orders", "order_items"))
    feeder.feed(lake, 2 * orders + items + 1)
    runs = refine(lake)
    assert lake.row_count(history_name("orders")) == before + 2 * orders
    assert unknown_fields(lake, "orders") == {"gift_note": 2 * orders, "weight": 2 * orders}
    for row in lake.read(current_name("orders")).to_pylist():
        assert json.loads(str(row["more"]))["gift_note"] == 'für "dich"'
        assert (row["channel"], str(row["shipping_amount"]), row["status"]) == (None, "9999999999.99", "returned")
    # A number without a scale tells its own with each value: exact, or refused.
    assert (runs["order_items"].added, runs["order_items"].dead) == (items, 1)
    rows = lake.read(current_name("order_items"), ["unit_price", "quantity"]).to_pylist()
    assert {(str(row["unit_price"]), row["quantity"]) for row in rows} == {("1.50", 7)}


def test_another_scale_is_seen_before_it_is_misread(stack: Stack) -> None:
    settings = stack.settings
    assert manage.observe(settings).misread == ()  # a price without any limit, too
    statement(settings, "ALTER TABLE public.orders ALTER COLUMN total_amount TYPE numeric(14,4)")
    assert not manage.observe(settings).healthy
    with pytest.raises(EngineError, match=r"misread: orders\.total_amount \(4 digits behind the point, 2 in"):
        manage.install(settings)
    statement(settings, "ALTER TABLE public.orders ALTER COLUMN total_amount TYPE numeric(14,2)")
    assert manage.install(settings).healthy


def test_truncation_and_a_lost_slot(stack: Stack, feeder: Feeder, lakes: tuple[Lakehouse, Lakehouse]) -> None:
    settings, lake = stack.settings, lakes[0]
    statement(settings, "TRUNCATE public.shipments")
    feeder.feed(lake, 1)
    assert lake.row_count(current_name("shipments")) > 0
    refine(lake)
    assert lake.row_count(current_name("shipments")) == 0

    manage_stop(stack)
    before = pl.DataFrame(lake.read(current_name("customers")))
    gone = before.get_column("customer_id").sort()[:3].to_list()
    names = ", ".join(f"'{each}'" for each in gone)
    statement(
        settings,
        f"DELETE FROM public.customers WHERE customer_id IN ({names})",
        "DELETE FROM public.locations",
        "UPDATE public.products SET brand = 'New'",
    )
    manage.begin_anew(settings)
    feeder.feed(lake, before.height - 3)
    runs = refine(lake)
    refine(lake)  # a table without any row learns from the others that all was read
    assert runs["customers"].inferred == 3
    rows = lake.read(history_name("customers"), ["customer_id", "op", "inferred", "lsn"]).to_pylist()
    assert sorted(str(row["customer_id"]) for row in rows if row["inferred"]) == gone
    assert len({row["lsn"] for row in rows if row["op"] == "r"}) == 1
    assert not set(pl.DataFrame(lake.read(current_name("customers"))).get_column("customer_id")) & set(gone)
    assert lake.row_count(current_name("customers")) == before.height - 3
    assert lake.row_count(current_name("locations")) == 0
    assert set(lake.read(current_name("products"), ["brand"]).column("brand").to_pylist()) == {"New"}
    assert runs["order_items"].inferred == 0
    shown = versions(pl.DataFrame(lake.read(history_name("customers"))), shop_tables()["customers"])
    assert shown.filter(pl.col("valid_to").is_null()).height == before.height - 3


def manage_stop(stack: Stack) -> None:
    """Stop the connector and drop its slot, as if the log had been given up."""
    from c360.cdc.connect_api import ConnectClient
    from c360.cdc.connector import NAME

    ConnectClient(stack.settings, NAME).stop()
    with closing(connect(stack.settings)) as session:
        session.autocommit = True
        cursor = session.cursor()

        def free() -> bool:
            cursor.execute("SELECT active FROM pg_replication_slots WHERE slot_name = %s", (SLOT,))
            return cursor.fetchone() == (False,)

        assert eventually(free, 20)
        cursor.execute("SELECT pg_drop_replication_slot(%s)", (SLOT,))
