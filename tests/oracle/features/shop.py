"""The features of a shop, by remembering of each change what the rules ask for, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from tests.oracle.features.rules import Row, alerts, insight

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.oracle.features.changes import Change

TICK, DAY = timedelta(microseconds=1), timedelta(days=1)
STEP, LENGTH = timedelta(minutes=5), timedelta(hours=1)
AHEAD = timedelta(hours=1)
FEATURES = ("sales_metrics", "customer_segments", "anomaly_alerts", "inventory_insights")


@dataclass(frozen=True)
class Placed:
    """An order as it was first told."""

    order: str
    customer: str
    moment: datetime
    amount: Decimal


@dataclass
class Shop:
    """What is known after the changes so far; their order does not matter."""

    orders: dict[str, Placed] = field(default_factory=dict)
    cancelled: dict[str, datetime] = field(default_factory=dict)
    lines: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    moves: dict[str, tuple[str, datetime, int]] = field(default_factory=dict)
    products: dict[str, dict[datetime, tuple[str, str]]] = field(default_factory=lambda: defaultdict(dict))

    def apply(self, change: Change) -> None:
        """Take in one change."""
        row = change.content
        if row is None:
            return
        if change.table == "orders" and row["ordered_at"] <= change.at + AHEAD and row["total_amount"] is not None:
            order = row["order_id"]
            self.orders.setdefault(order, Placed(order, row["customer_id"], row["ordered_at"], row["total_amount"]))
            if row["status"] == "cancelled":
                self.cancelled[order] = min(row["updated_at"], self.cancelled.get(order, row["updated_at"]))
        elif change.table == "order_items":
            self.lines.setdefault(row["order_item_id"], (row["order_id"], row["product_id"], row["quantity"]))
        elif change.table == "stock":
            self.moves.setdefault(row["movement_id"], (row["product_id"], row["moved_at"], row["quantity"]))
        elif change.table == "products":
            self.products[row["product_id"]].setdefault(row["updated_at"], (row["category"], row["status"]))

    def features(self, as_of: datetime) -> dict[str, list[Row]]:
        """All rows that hold at ``as_of``, by table."""
        return {
            "sales_metrics": self.sales_metrics(as_of),
            "customer_segments": self.customer_segments(as_of),
            "anomaly_alerts": self.anomaly_alerts(as_of),
            "inventory_insights": self.inventory_insights(as_of),
        }

    def sales_metrics(self, as_of: datetime) -> list[Row]:
        """Each hour that has ended and in which something was ordered or cancelled."""
        placed: dict[datetime, list[Placed]] = defaultdict(list)
        cancelled: dict[datetime, int] = defaultdict(int)
        for order in self.orders.values():
            for start in _hours_with(order.moment):
                placed[start].append(order)
        for moment in self.cancelled.values():
            for start in _hours_with(moment):
                cancelled[start] += 1
        found = []
        for start in sorted({*placed, *cancelled}):
            end, orders = start + LENGTH, placed.get(start, [])
            if end > as_of:
                continue
            revenue = sum((order.amount for order in orders), Decimal(0))
            found.append(
                {
                    "metric_id": f"{start:%Y-%m-%dT%H:%M:%SZ}", "window_start": start, "window_end": end,
                    "orders": len(orders), "cancellations": cancelled.get(start, 0), "revenue": revenue,
                    "average_order_value": float(revenue / len(orders)) if orders else None,
                    "unique_customers": len({order.customer for order in orders}),
                    "effective_at": end, "version": len(orders) + cancelled.get(start, 0),
                }
            )  # fmt: skip
        return found

    def customer_segments(self, as_of: datetime) -> list[Row]:
        """Each customer who has ordered."""
        history: dict[str, list[Placed]] = defaultdict(list)
        for order in self.orders.values():
            if order.moment <= as_of:
                history[order.customer].append(order)
        return [_segment(customer, orders, as_of) for customer, orders in sorted(history.items())]

    def anomaly_alerts(self, as_of: datetime) -> list[Row]:
        """The alerts that hold; the version is the place of the order among the customer's."""
        placed = [(o.order, o.customer, o.moment, o.amount) for o in self.orders.values()]
        places: dict[str, int] = {}
        count: dict[str, int] = defaultdict(int)
        for order, customer, *_ in sorted(placed, key=lambda each: (each[2], each[0])):
            count[customer] += 1
            places[order] = count[customer]
        return [
            {**alert, "is_active": True, "effective_at": alert["raised_at"], "version": places[alert["order_id"]]}
            for alert in alerts(placed, as_of)
        ]

    def inventory_insights(self, as_of: datetime) -> list[Row]:
        """Each product that the catalogue has by then."""
        found = []
        for product, versions in sorted(self.products.items()):
            known = [moment for moment in versions if moment <= as_of]
            if not known:
                continue
            category, status = versions[max(known)]
            moves = [(moment, units) for of, moment, units in self.moves.values() if of == product and moment <= as_of]
            sold, taken_out = self._sales(product, as_of)
            kept = [each for order, each in sold.items() if order not in taken_out]
            told = insight(product, sum(units for _, units in moves), [line for lines in kept for line in lines], as_of)
            del told["as_of"]
            happened = [*known, *(moment for moment, _ in moves), *taken_out.values()]
            happened += [moment for lines in sold.values() for moment, _ in lines]
            passed = [moment + 7 * DAY + TICK for lines in kept for moment, _ in lines]
            if told["last_sold_at"] is not None:
                passed.append(told["last_sold_at"] + 30 * DAY)
            found.append(
                {
                    **told, "category": category, "product_status": status,
                    "effective_at": max(moment for moment in (*happened, *passed) if moment <= as_of),
                    "version": len(known) + len(moves) + sum(
                        len(lines) * (2 if order in taken_out else 1) for order, lines in sold.items()
                    ),
                }
            )  # fmt: skip
        return found

    def _sales(
        self, product: str, as_of: datetime
    ) -> tuple[dict[str, list[tuple[datetime, int]]], dict[str, datetime]]:
        """The product's sold lines (moment, units) by order, and which of the orders were taken out when."""
        sold: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
        for order, of, units in self.lines.values():
            placed = self.orders.get(order)
            if of == product and placed is not None and placed.moment <= as_of:
                sold[order].append((placed.moment, units))
        out = {
            order: max(self.cancelled[order], self.orders[order].moment) for order in sold if order in self.cancelled
        }
        return sold, {order: moment for order, moment in out.items() if moment <= as_of}


def features_of(changes: Iterable[Change], as_of: datetime) -> dict[str, list[Row]]:
    """The features after all these changes, as of a moment."""
    shop = Shop()
    for change in changes:
        shop.apply(change)
    return shop.features(as_of)


def _hours_with(moment: datetime) -> list[datetime]:
    """The starts of the twelve hours that hold a moment."""
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    last = moment.astimezone(UTC) - since % STEP
    return [last - n * STEP for n in range(LENGTH // STEP)]


def _segment(customer: str, orders: list[Placed], as_of: datetime) -> Row:
    last, spend = max(order.moment for order in orders), sum((order.amount for order in orders), Decimal(0))
    if as_of >= last + 90 * DAY:
        segment, since = "Churned", last + 90 * DAY
    elif as_of >= last + 30 * DAY:
        segment, since = "At-Risk", last + 30 * DAY
    else:
        since = last
        segment = "VIP" if len(orders) >= 5 and spend >= 500 else "Regular" if len(orders) >= 3 else "New"
    return {
        "customer_id": customer, "segment": segment, "orders": len(orders), "spend": spend, "last_order_at": last,
        "effective_at": since, "version": len(orders),
    }  # fmt: skip
