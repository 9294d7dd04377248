"""A busy shop for the benchmark of features: orders with random ids, as capture tells them, and their sums."""

from __future__ import annotations

import random
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING

from confluent_kafka import Producer

from c360.cdc.connector import topic
from tests.bench.change_forms import ChangeForm, amount, moment

if TYPE_CHECKING:
    from c360.settings import Settings

START_MS = 1_735_689_600_000
"""The year 2025 begins."""
CANCELLED = 0.05
CUSTOMERS_PER_ORDER = 0.2
PANE_MS, PANES = 300_000, 12
ORDER = ("order_id", "customer_id", "ordered_at", "updated_at", "status", "total_amount")
LINE = ("order_item_id", "order_id", "product_id", "updated_at")
FORMS = {
    "placed": ("orders", ChangeForm("orders", "c", ORDER, {})),
    "cancelled": ("orders", ChangeForm("orders", "u", ORDER, {})),
    "line": ("order_items", ChangeForm("order_items", "c", LINE, {})),
    "moved": ("stock", ChangeForm("stock", "c", ("movement_id", "product_id", "moved_at"), {"quantity": -1})),
    "product": ("products", ChangeForm("products", "c", ("product_id", "updated_at"), {"status": "active"})),
}  # fmt: skip


class BusyShop:
    """Sends ``days`` of orders with two lines and a movement for each of them.

    ``hot`` of the lines are of one product, and of the orders of one customer. Only tables among ``topics`` are told.
    The same arguments give the same shop. Readers of what is committed see nothing before ``release``.
    ``customers`` are those who ordered so far.
    """

    def __init__(
        self,
        settings: Settings,
        topics: tuple[str, ...],
        orders: int,
        *,
        products: int,
        days: float,
        hot: float,
        customers: int = 0,
    ) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": settings.kafka_servers,
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "linger.ms": 20,
                "queue.buffering.max.messages": 1_000_000,
                "log_level": 3,
                "transactional.id": "busy-shop",
                "transaction.timeout.ms": 3_600_000,
            }
        )
        self._producer.init_transactions(60)
        self._topics, self._hot, self._open = topics, hot, False
        self._draw = random.Random(360)
        self._step, self._done, self._number = int(days * 86_400_000 / orders), 0, 0
        self._customers = [self._id() for _ in range(customers or max(1, int(orders * CUSTOMERS_PER_ORDER)))]
        self._products = [self._id() for _ in range(products)]
        self._panes: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        self.order_changes = self.messages = 0
        self.customers: set[str] = set()

    def send(self, orders: int) -> None:
        """The next orders, for nobody to see yet."""
        if not self._open:
            self._producer.begin_transaction()
            self._open = True
        if not self._done:
            for product in self._products:
                self._tell("product", START_MS, {"product_id": product, "updated_at": moment(START_MS)})
        for _ in range(orders):
            self._order(START_MS + self._step * self._done)
            self._done += 1
        assert self._producer.flush(120) == 0

    def release(self) -> None:
        """Let all that was sent be seen, at once."""
        self._producer.commit_transaction(60)
        self._open = False

    def close(self) -> None:
        """Let go of the broker."""
        del self._producer

    def windows(self, before_end_ms: int) -> dict[str, tuple[int, int, int]]:
        """Orders, cancellations and cents of each hour, by its beginning; ended so long before the last order."""
        last = START_MS + self._step * self._done - before_end_ms
        found: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])
        for pane, sums in self._panes.items():
            for start in range(pane - PANES + 1, pane + 1):
                if (start + PANES) * PANE_MS <= last:
                    found[start] = [a + b for a, b in zip(found[start], sums, strict=True)]
        return {moment(start * PANE_MS)[:19] + "Z": (a, b, c) for start, (a, b, c) in found.items()}

    def _order(self, at: int) -> None:
        order, cents, when, customer = self._id(), self._draw.randrange(500, 90_000), moment(at), self._customer()
        self.customers.add(customer)
        row = {
            "order_id": order,
            "customer_id": customer,
            "ordered_at": when,
            "updated_at": when,
            "status": "placed",
            "total_amount": amount(cents),
        }
        self._tell("placed", at, row)
        self._count(at, 1, 0, cents)
        for _ in range(2 if topic("stock") in self._topics else 0):
            product = self._products[
                0 if self._draw.random() < self._hot else self._draw.randrange(len(self._products))
            ]
            line = {"order_item_id": self._id(), "order_id": order, "product_id": product, "updated_at": when}
            self._tell("line", at, line)
            self._tell("moved", at, {"movement_id": self._id(), "product_id": product, "moved_at": when})
        if self._draw.random() < CANCELLED:
            at += self._step
            self._tell("cancelled", at, {**row, "status": "cancelled", "updated_at": moment(at)})
            self._count(at, 0, 1, 0)

    def _count(self, at: int, *sums: int) -> None:
        pane = self._panes[at // PANE_MS]
        for index, value in enumerate(sums):
            pane[index] += value

    def _tell(self, what: str, at: int, row: dict[str, str]) -> None:
        name, form = FORMS[what]
        if topic(name) not in self._topics:
            return
        self._number += 1
        self.messages += 1
        self.order_changes += name == "orders"
        value, key = form.fill(self._number, at, row), form.key(row)
        while True:
            try:
                self._producer.produce(topic(name), value, key)
                break
            except BufferError:
                self._producer.poll(0.1)
        self._producer.poll(0)

    def _customer(self) -> str:
        return self._customers[0] if self._draw.random() < self._hot else self._draw.choice(self._customers)

    def _id(self) -> str:
        return str(uuid.UUID(int=self._draw.getrandbits(128), version=4))
