"""The shop's changes through PostgreSQL, Debezium and Kafka: each once, in order, as the ledger has it, despite kills.

The tests share one running set, in the order of the file; each reads from where the topics ended before it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import stat
import threading
import time
from base64 import b64decode
from collections import defaultdict
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import psycopg2
import pytest
from confluent_kafka import Consumer, TopicPartition

from c360.cdc import manage
from c360.cdc.connector import SLOT
from c360.engines.postgres import connect, secrets_file
from c360.engines.stack import Stack
from c360.errors import C360Error, EngineError
from c360.settings import Settings
from mock_data.company import company_of
from mock_data.shop_changes import Change, Transaction, transactions
from mock_data.shop_database import ShopWriter
from mock_data.shop_ledger import ShopLedger, read_ledger
from mock_data.shop_light import messages, send
from tests.conftest import free_port
from tests.unit.engines.engine_specs import eventually, gone, tagged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.integration
PORTS = ("kafka", "kafka_controller", "postgres", "connect")
KEYS = {
    "customers": "customer_id",
    "locations": "location_id",
    "products": "product_id",
    "orders": "order_id",
    "order_items": "order_item_id",
    "shipments": "shipment_id",
    "stock": "movement_id",
}
AMOUNTS = {"total_amount", "unit_price", "unit_cost", "shipping_amount", "discount_amount", "shipping_cost"}
MOMENTS = {
    "registered_at", "updated_at", "introduced_at", "ordered_at", "shipped_at", "promised_at", "delivered_at",
    "moved_at",
}  # fmt: skip
FIRST, STAGE = 300, 90
"""Transactions that are played before the kills, and around each."""

Message = tuple[str, int, bytes, bytes | None]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All that capture needs in a home with a space and letters beyond ASCII in its name; ends without orphans."""
    ports = {f"{name}_port": free_port() for name in PORTS}
    home = tmp_path_factory.mktemp("cdc") / "a hömé"
    stack = Stack(Settings(home=home, **ports))  # type: ignore[arg-type]
    started: list[psutil.Process] = []
    try:
        stack.up("cdc")
        manage.install(stack.settings)
        yield stack
    finally:
        started = tagged(stack.settings)
        stack.down()
    assert len(started) >= 2 * 3  # each with its guard
    assert [process for process in started if not gone(process.pid)] == []


@pytest.fixture(scope="module")
def played() -> list[Transaction]:
    """A small company in which orders are also deleted."""
    return list(transactions(company_of(0.005, 3, date(2025, 1, 1), 60)))


class Reader:
    """Reads the topics of all tables from where they end now, committed messages only."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": settings.kafka_servers,
                "group.id": f"reader-{time.monotonic_ns()}",
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
            },
            logger=logging.getLogger("tests.reader"),
        )
        self._parts = [TopicPartition(f"dbserver1.public.{table}", number) for table in KEYS for number in (0, 1)]
        for part in self._parts:
            part.offset = self._consumer.get_watermark_offsets(part, timeout=20)[1]
        self._consumer.assign(self._parts)

    def read(self, count: int, patience: float = 40.0, quiet: float = 1.5) -> list[Message]:
        """At least ``count`` messages if they come in time, and all that follow until nothing comes for a while."""
        found: list[Message] = []
        deadline = time.monotonic() + patience
        silent = time.monotonic()
        while time.monotonic() < deadline and (len(found) < count or time.monotonic() < silent + quiet):
            for message in self._consumer.consume(500, timeout=0.3):
                if (error := message.error()) is not None:  # the broker was killed
                    assert error.retriable() or error.code() < 0, error
                    continue
                silent = time.monotonic()
                place = (str(message.topic()), int(message.partition() or 0))
                found.append((*place, bytes(message.key() or b""), message.value()))
        return found

    def close(self) -> None:
        self._consumer.close()


def plain(table: str, row: dict[str, Any] | None) -> dict[str, Any] | None:
    """A row of an envelope as people write it, decoded by hand."""
    if row is None:
        return None
    found: dict[str, Any] = {}
    for name, value in row.items():
        if value is None:
            found[name] = None
        elif name in AMOUNTS:
            raw = b64decode(value)
            number = sum(byte << 8 * place for place, byte in enumerate(reversed(raw)))
            number -= (raw[0] >> 7) << 8 * len(raw)
            found[name] = str(Decimal(number).scaleb(-2))
        elif name in MOMENTS:
            assert value.endswith("Z")
            found[name] = datetime.fromisoformat(value)
        elif name == "birth_date":
            found[name] = (date(1970, 1, 1) + timedelta(days=value)).isoformat()
        else:
            found[name] = value
    return found


def expected(row: str | None) -> dict[str, Any] | None:
    """A row of the ledger in the same form."""
    if row is None:
        return None
    return {n: datetime.fromisoformat(v) if n in MOMENTS and v else v for n, v in json.loads(row).items()}


def require_as_ledger(found: list[Message], folder: Path) -> None:
    """Each change of the ledger is there once, in order by key, and each deletion is followed by a tombstone."""
    by_key: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for topic, _, key, value in found:
        table = topic.removeprefix("dbserver1.public.")
        (identity,) = json.loads(key).values()
        if value is None:
            by_key[table, identity].append("tombstone")
            continue
        envelope = json.loads(value)
        assert (envelope["before"] is None) == (envelope["op"] == "c")
        by_key[table, identity].append((envelope["op"], plain(table, envelope["after"])))
    wanted: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in read_ledger(folder).iter_rows(named=True):
        identity = json.loads(row["key"])[KEYS[row["table"]]]
        wanted[row["table"], identity].append((row["op"], expected(row["after"])))
        if row["op"] == "d":
            wanted[row["table"], identity].append("tombstone")
    assert by_key == wanted


def count(played: Iterable[Transaction]) -> int:
    """Messages that the changes make, tombstones included."""
    return sum(1 + (change.op == "d") for transaction in played for change in transaction.changes)


def comparable(found: list[Message]) -> dict[tuple[str, int], list[Any]]:
    """By topic and partition, in order, without what depends on the server and its clock."""
    sequences: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for topic, partition, key, value in found:
        envelope = None if value is None else json.loads(value)
        if envelope is not None:
            for name in ("ts_ms", "ts_us", "ts_ns"):
                assert isinstance(envelope.pop(name), int)
                assert isinstance(envelope["source"].pop(name), int)
            for name in ("version", "lsn", "txId", "sequence"):
                envelope["source"].pop(name)
        sequences[topic, partition].append((key, envelope))
    return sequences


def kill(stack: Stack, name: str) -> None:
    """End one process without a word, and wait until the stack says so."""
    os.kill({engine.name: engine.pid for engine in stack.status()}[name], signal.SIGKILL)
    assert eventually(lambda: {engine.name: engine.state for engine in stack.status()}[name] == "dead")


def test_all_serve_on_this_machine_only_and_keep_secrets(stack: Stack) -> None:
    settings = stack.settings
    assert {engine.state for engine in stack.status()} == {"running"}
    listening = {
        connection.laddr.ip.removeprefix("::ffff:")
        for process in tagged(settings)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening <= {"127.0.0.1", "::1"}
    assert stat.S_IMODE(secrets_file(settings).stat().st_mode) == 0o600
    secrets = [line.partition("=")[2] for line in secrets_file(settings).read_text().splitlines()]
    assert len(secrets) == 2
    told = httpx.get(f"{settings.connect_address}/connectors/shop?expand=info", trust_env=False).text
    told += "".join(path.read_text(errors="replace") for path in settings.log_dir.glob("*.log"))
    told += "".join(path.read_text(errors="replace") for path in (settings.home / "kafka" / "data").glob("*/*.log"))
    assert [secret for secret in secrets if secret in told] == []
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(host="127.0.0.1", port=settings.postgres_port, user="c360", password="c360", dbname="shop")


def test_every_change_arrives_once_and_the_light_path_tells_the_same(
    stack: Stack, played: list[Transaction], tmp_path: Path
) -> None:
    settings = stack.settings
    first = [*edges(), *played[:FIRST]]
    assert {change.op for transaction in first for change in transaction.changes} == {"c", "u", "d"}
    reader = Reader(settings)
    ledger = ShopLedger(tmp_path / "ledger")
    began = time.monotonic()
    ShopWriter(settings).write(first, ledger)
    wrote = time.monotonic()
    captured = reader.read(count(first))
    print(f"{ledger.changes} changes written in {wrote - began:.2f} s")
    ledger.close()
    require_as_ledger(captured, tmp_path / "ledger")
    lsn = [json.loads(value)["source"]["lsn"] for _, _, _, value in captured if value is not None]
    assert len(set(lsn)) == len(lsn)

    again = ShopLedger(tmp_path / "light")
    send(first, settings, again)
    again.close()
    light = reader.read(count(first))
    reader.close()
    assert comparable(light) == comparable(captured)
    assert read_ledger(tmp_path / "light").equals(read_ledger(tmp_path / "ledger"))
    sent = [(topic, key, value) for topic, _, key, value in light]
    made: list[tuple[str, bytes, bytes | None]] = []
    position = 1
    for transaction in first:
        made += messages(transaction, position)
        position += len(transaction.changes)
    assert sorted(sent, key=str) == sorted(made, key=str)
    together: dict[int, set[str]] = defaultdict(set)
    for _, _, _, value in captured:
        if value is not None:
            source = json.loads(value)["source"]
            together[source["txId"]].add(source["table"])
    assert {"orders", "order_items"} in together.values()  # an order and its items are one transaction
    assert len(together) == len(first)
    with pytest.raises(C360Error, match=r"holds rows already"):
        ShopWriter(settings).write([], ShopLedger(tmp_path / "third"))


def edges() -> list[Transaction]:
    """Rows at the edges of what the columns hold: inserted, changed and deleted."""
    noon = datetime(2024, 2, 29, 12, tzinfo=UTC)
    product = {
        "product_id": "P-edge", "product_name": 'Ünï "q" \\ / \t\n \u2028 🛒', "category": "", "subcategory": None,
        "brand": None, "unit_price": Decimal("9999999999.99"), "unit_cost": Decimal("-9999999999.99"),
        "weight_kg": 1e-7, "status": "active", "introduced_at": datetime(999, 1, 1, tzinfo=UTC),
        "updated_at": noon + timedelta(microseconds=1),
    }  # fmt: skip
    customer = {
        "customer_id": "C-edge", "first_name": "明", "last_name": None, "email": None, "phone": None,
        "birth_date": date(1899, 12, 31), "location_id": None, "language": None, "loyalty_tier": None,
        "acquisition_channel": None, "registered_at": noon - timedelta(microseconds=100_000), "updated_at": noon,
    }  # fmt: skip
    states: list[dict[str, Any]] = [product]
    for price in ("-0.01", "0.00", "1.27", "1.28", "-1.28", "-1.29", "327.67", "327.68", "-327.68", "-327.69"):
        cost = None if price == "0.00" else Decimal(price)
        states.append({**product, "unit_price": Decimal(price), "unit_cost": cost, "weight_kg": float(price) * 1e17})
    changes = [Change("products", "c", None, product), Change("customers", "c", None, customer)]
    changes += [Change("products", "u", old, new) for old, new in pairwise(states)]
    insert, *others = [Transaction(0, noon, (change,)) for change in changes]
    gone = Change("products", "d", states[-1], None), Change("customers", "d", customer, None)
    return [insert, *others, Transaction(0, noon, gone)]


class Torn:
    """A session whose first commit is not answered: the server made it, or never heard of it."""

    def __init__(self, session: Any, *, made: bool) -> None:
        self._session, self._made = session, made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def commit(self) -> None:
        if self._made:
            self._session.commit()
        self._session.close()
        raise psycopg2.OperationalError("the connection was closed")


@pytest.mark.parametrize("made", [True, False])
def test_commit_that_was_not_answered_counts_once(stack: Stack, *, made: bool) -> None:
    _, insert, *_ = edges()
    row = {**insert.changes[0].row, "customer_id": f"C-torn-{made}"}
    writer = ShopWriter(stack.settings)
    writer._session = Torn(connect(stack.settings), made=made)  # type: ignore[assignment]
    reader = Reader(stack.settings)
    # A second insertion of the key would be refused.
    writer.commit(Transaction(1, row["updated_at"], (Change("customers", "c", None, row),)))
    writer.close()
    assert [(key, json.loads(value or b"")["op"]) for _, _, key, value in reader.read(1)] == [
        (json.dumps({"customer_id": f"C-torn-{made}"}, separators=(",", ":")).encode(), "c")
    ]
    reader.close()


def test_kills_of_connect_database_and_broker_lose_and_repeat_nothing(
    stack: Stack, played: list[Transaction], tmp_path: Path
) -> None:
    settings = stack.settings
    reader, ledger, writer = Reader(settings), ShopLedger(tmp_path / "ledger"), ShopWriter(settings)
    failures: list[BaseException] = []

    def write(part: list[Transaction]) -> None:
        try:
            for transaction in part:
                writer.commit(transaction)
                ledger.add(transaction)
                time.sleep(0.01)
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    expected_messages = 0
    for number, engine in enumerate(("connect", "postgres", "kafka")):
        part = played[FIRST + number * STAGE : FIRST + (number + 1) * STAGE]
        expected_messages += count(part)
        third, before = count(part) // 3, ledger.changes
        thread = threading.Thread(target=write, args=(part,))
        thread.start()
        try:
            while ledger.changes < before + third and not failures:
                time.sleep(0.005)
            kill(stack, engine)
            assert thread.is_alive()
            stack.up("cdc")
        finally:
            thread.join(90)
        assert failures == []
        manage.wait(settings, 60)
    writer.close()
    found = reader.read(expected_messages, patience=60, quiet=3)
    reader.close()
    ledger.close()
    assert set(read_ledger(tmp_path / "ledger")["op"]) == {"c", "u", "d"}
    require_as_ledger(found, tmp_path / "ledger")


def test_lost_slot_is_refused_and_read_anew(stack: Stack) -> None:
    settings = stack.settings
    kill(stack, "connect")
    with closing(connect(settings)) as session:
        session.autocommit = True
        cursor = session.cursor()

        def free() -> bool:
            cursor.execute("SELECT active FROM pg_replication_slots WHERE slot_name = %s", (SLOT,))
            return cursor.fetchone() == (False,)

        assert eventually(free, 20)
        cursor.execute("SELECT pg_drop_replication_slot(%s)", (SLOT,))
        cursor.execute("SELECT count(*) FROM public.orders")
        (orders,) = cursor.fetchone() or (0,)
        cursor.execute("DELETE FROM public.customers WHERE customer_id = (SELECT min(customer_id) FROM customers)")
    stack.up("connect")
    with pytest.raises(EngineError, match=r"slot c360_shop is gone.*begin-anew"):
        manage.install(settings)
    reader = Reader(settings)
    manage.begin_anew(settings)
    found = reader.read(orders)
    reader.close()
    reads = [json.loads(value or b"{}") for topic, _, _, value in found if topic == "dbserver1.public.orders"]
    assert {envelope["op"] for envelope in reads} == {"r"}
    assert len(reads) == orders
    assert manage.install(settings).healthy
