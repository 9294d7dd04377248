"""Orders at a rate, as messages of the capture or as rows in the shop's database, and single ones whose time counts."""

from __future__ import annotations

import random
import time
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

from confluent_kafka import Producer

from c360.cdc.connector import topic
from c360.cdc.schema import SCHEMA, shop_tables
from c360.engines.postgres import connect
from tests.bench.change_forms import amount, moment
from tests.bench.feature_messages import FORMS

if TYPE_CHECKING:
    import threading

    from c360.settings import Settings

TICK_S = 0.05
ALARMING_CENTS = 200_000
"""An order of so much is an alert by itself."""


class Orders(Protocol):
    """A way into the shop."""

    def place(self, count: int) -> None:
        """Orders of customers by chance, for amounts that are no alerts by themselves."""

    def probe(self, customer: str, order: str) -> float:
        """One order; the moment (``perf_counter``) from which its time counts."""

    def close(self) -> None:
        """Let go."""


class KafkaOrders:
    """Messages as the capture writes them."""

    def __init__(self, settings: Settings, customers: int) -> None:
        servers = {"bootstrap.servers": settings.kafka_servers, "partitioner": "murmur2_random"}
        self._many = Producer({**servers, "linger.ms": 5, "compression.type": "lz4"})
        self._single = Producer({**servers, "linger.ms": 0})
        self._draw, self._customers = random.Random(1), customers

    def place(self, count: int) -> None:
        for _ in range(count):
            self._send(self._many, str(uuid.uuid4()), _customer(self._draw, self._customers), _cents(self._draw))
        self._many.poll(0)

    def probe(self, customer: str, order: str) -> float:
        began = time.perf_counter()
        self._send(self._single, order, customer, ALARMING_CENTS)
        self._single.poll(0)
        return began

    def close(self) -> None:
        assert self._many.flush(60) == self._single.flush(60) == 0

    def _send(self, producer: Producer, order: str, customer: str, cents: int) -> None:
        name, form = FORMS["placed"]
        ms = time.time_ns() // 1_000_000
        row = {"order_id": order, "customer_id": customer, "status": "placed", "total_amount": amount(cents)}
        row |= dict.fromkeys(("ordered_at", "updated_at"), moment(ms))
        producer.produce(topic(name), form.fill(ms, ms, row), form.key(row))


class PostgresOrders:
    """Rows of the table of orders; those of one ``place`` are one transaction."""

    def __init__(self, settings: Settings, customers: int) -> None:
        self._many, self._single = connect(settings), connect(settings)
        self._draw, self._customers = random.Random(1), customers
        self._columns = shop_tables()["orders"].names

    def place(self, count: int) -> None:
        self._insert(self._many, [
            self._row(str(uuid.uuid4()), _customer(self._draw, self._customers), _cents(self._draw))
            for _ in range(count)
        ])  # fmt: skip

    def probe(self, customer: str, order: str) -> float:
        self._insert(self._single, [self._row(order, customer, ALARMING_CENTS)])
        return time.perf_counter()

    def close(self) -> None:
        self._many.close()
        self._single.close()

    def _insert(self, session: Any, rows: list[tuple[Any, ...]]) -> None:
        from psycopg2.extras import execute_values

        with session, session.cursor() as cursor:
            sql = f"INSERT INTO {SCHEMA}.orders ({', '.join(self._columns)}) VALUES %s"
            execute_values(cursor, sql, rows, page_size=len(rows))

    def _row(self, order: str, customer: str, cents: int) -> tuple[Any, ...]:
        now = datetime.now(UTC)
        known = {
            "order_id": order, "customer_id": customer, "ordered_at": now, "status": "placed", "channel": "web",
            "currency": "USD", "shipping_amount": Decimal(0), "updated_at": now,
            "total_amount": Decimal(cents) / 100,
        }  # fmt: skip
        return tuple(known.get(name) for name in self._columns)


def flow(orders: Orders, rate: int, over: threading.Event, sent: list[int]) -> None:
    """Place ``rate`` orders a second until it is over, or as many as go; ``sent[0]`` counts them."""
    began = time.monotonic()
    while not over.wait(TICK_S):
        # Whoever is behind does not make up for more than a second: the rate is then the highest that goes.
        due = min(int((time.monotonic() - began) * rate) - sent[0], rate)
        if due > 0:
            orders.place(due)
            sent[0] += due


def _customer(draw: random.Random, customers: int) -> str:
    return f"C{draw.randrange(customers):07}"


def _cents(draw: random.Random) -> int:
    return draw.randrange(500, 90_000)
