"""A busy shop for the benchmark of features: orders with random ids, as the light path tells them."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from confluent_kafka import Producer

from c360.cdc.connector import topic
from c360.cdc.envelope import Position, message_key, message_value
from c360.cdc.schema import shop_tables

if TYPE_CHECKING:
    from c360.cdc.envelope import Op
    from c360.settings import Settings

Row = dict[str, Any]
START = datetime(2025, 1, 1, tzinfo=UTC)
CANCELLED = 0.05
CUSTOMERS_PER_ORDER = 0.2
_FILLING: dict[str, Any] = {"string": "x", "long": 1, "int": 1, "double": 1.0, "boolean": True}


class BusyShop:
    """Sends ``days`` of orders with two lines and a movement for each of them.

    ``hot`` of the lines are of one product, and of the orders of one customer.
    Only tables among ``topics`` are told. The same arguments give the same shop.
    """

    def __init__(
        self, settings: Settings, topics: tuple[str, ...], orders: int, *, products: int, days: float, hot: float
    ) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka_servers,
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "linger.ms": 20,
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        self._topics, self._hot, self._orders = topics, hot, orders
        self._draw = random.Random(360)
        self._step, self._done, self._number = timedelta(days=days) / orders, 0, 0
        self._customers = [self._id() for _ in range(max(1, int(orders * CUSTOMERS_PER_ORDER)))]
        self._products = [self._id() for _ in range(products)]
        self.order_changes = self.messages = 0

    def send(self, orders: int) -> None:
        """The next orders."""
        if not self._done:
            for product in self._products:
                self._tell("products", "c", {"product_id": product, "updated_at": START, "status": "active"}, START)
        for _ in range(orders):
            self._order(START + self._step * self._done)
            self._done += 1
        assert self._producer.flush(120) == 0

    def close(self) -> None:
        """Let go of the broker."""
        del self._producer

    def _order(self, at: datetime) -> None:
        order, amount = self._id(), Decimal(self._draw.randrange(500, 90_000)) / 100
        row: Row = {
            "order_id": order,
            "customer_id": self._customer(),
            "ordered_at": at,
            "updated_at": at,
            "status": "placed",
            "total_amount": amount,
        }
        self._tell("orders", "c", row, at)
        for _ in range(2):
            product = self._products[
                0 if self._draw.random() < self._hot else self._draw.randrange(len(self._products))
            ]
            line = {"order_item_id": self._id(), "order_id": order, "product_id": product, "updated_at": at}
            self._tell("order_items", "c", line, at)
            move = {"movement_id": self._id(), "product_id": product, "quantity": -1, "moved_at": at}
            self._tell("stock", "c", move, at)
        if self._draw.random() < CANCELLED:
            self._tell("orders", "u", {**row, "status": "cancelled", "updated_at": at + self._step}, at + self._step)

    def _tell(self, name: str, op: Op, known: Row, at: datetime) -> None:
        if topic(name) not in self._topics:
            return
        table = shop_tables()[name]
        row = {column.name: known.get(column.name, _filling(column.type, column.scale, at)) for column in table.columns}
        self._number += 1
        self.messages += 1
        self.order_changes += name == "orders"
        value = message_value(table, op, row if op == "u" else None, row, Position(self._number, self._number, at), at)
        self._producer.produce(topic(name), value, message_key(table, row))
        self._producer.poll(0)

    def _customer(self) -> str:
        return self._customers[0] if self._draw.random() < self._hot else self._draw.choice(self._customers)

    def _id(self) -> str:
        return str(uuid.UUID(int=self._draw.getrandbits(128), version=4))


def _filling(kind: str, scale: int | None, at: datetime) -> Any:
    if scale is not None:
        return Decimal(1)
    if kind == "timestamp":
        return at
    return at.date() if kind == "date" else _FILLING[kind]
