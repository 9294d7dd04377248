"""What the features of sales and inventory must be: counted anew for each moment from the changes themselves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mock_data.shop_changes import Change

Row = dict[str, Any]
STEP, HOUR, WEEK, MONTH = timedelta(minutes=5), timedelta(hours=1), timedelta(days=7), timedelta(days=30)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Shop:
    """What is known of a shop from its changes, in any order and with repetitions."""

    orders: dict[str, Row] = field(default_factory=dict)
    cancelled: dict[str, datetime] = field(default_factory=dict)
    lines: dict[str, Row] = field(default_factory=dict)
    moves: dict[str, Row] = field(default_factory=dict)
    versions: dict[tuple[str, datetime], Row] = field(default_factory=dict)

    def learn(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._learn(change.table, change.row)

    def _learn(self, table: str, row: Row) -> None:
        if table == "orders":
            self.orders.setdefault(row["order_id"], row)
            if row["status"] == "cancelled":
                self.cancelled[row["order_id"]] = row["updated_at"]
        elif table == "order_items":
            self.lines.setdefault(row["order_item_id"], row)
        elif table == "stock":
            self.moves[row["movement_id"]] = row
        elif table == "products":
            self.versions[row["product_id"], row["updated_at"]] = row

    def sales_metrics(self, as_of: datetime) -> dict[str, Row]:
        """By metric_id, the hours that have ended by then."""
        found: dict[datetime, list[Row]] = {}
        for order in self.orders.values():
            for start in _starts(order["ordered_at"], as_of):
                found.setdefault(start, []).append(order)
        ended: Counter[datetime] = Counter()
        for moment in self.cancelled.values():
            ended.update(_starts(moment, as_of))
        return {
            f"{start:%Y-%m-%dT%H:%M:%SZ}": _hour(start, found.get(start, []), ended[start])
            for start in found.keys() | ended.keys()
        }

    def inventory_insights(self, as_of: datetime) -> dict[str, Row]:
        """By product_id, the products that are known by then."""
        newest: dict[str, tuple[datetime, Row]] = {}
        stock: Counter[str] = Counter()
        version: Counter[str] = Counter()
        sales: dict[str, list[tuple[datetime, int]]] = {}
        for (product, moment), row in self.versions.items():
            if moment <= as_of:
                version[product] += 1
                newest[product] = max(newest.get(product, (moment, row)), (moment, row), key=lambda each: each[0])
        for move in self.moves.values():
            if move["moved_at"] <= as_of:
                version[move["product_id"]] += 1
                stock[move["product_id"]] += move["quantity"]
        for line in self.lines.values():
            order, product = self.orders.get(line["order_id"]), line["product_id"]
            if order is None:
                continue
            ended = self.cancelled.get(line["order_id"])
            is_ended = ended is not None and ended <= as_of
            is_placed = order["ordered_at"] <= as_of
            version[product] += is_placed + is_ended
            if is_placed and not is_ended:
                sales.setdefault(product, []).append((order["ordered_at"], line["quantity"]))
        return {
            product: {
                "product_id": product,
                "category": row["category"],
                "product_status": row["status"],
                "version": version[product],
                **_insight(stock[product], sales.get(product, []), as_of),
            }
            for product, (_, row) in newest.items()
        }


def _starts(moment: datetime, as_of: datetime) -> list[datetime]:
    last = EPOCH + (moment - EPOCH) // STEP * STEP
    return [start for start in (last - number * STEP for number in range(12)) if start + HOUR <= as_of]


def _hour(start: datetime, orders: list[Row], cancellations: int) -> Row:
    revenue = sum((order["total_amount"] for order in orders), Decimal(0))
    return {
        "metric_id": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "window_start": start,
        "window_end": start + HOUR,
        "orders": len(orders),
        "cancellations": cancellations,
        "revenue": revenue,
        "average_order_value": float(revenue) / len(orders) if orders else None,
        "unique_customers": len({order["customer_id"] for order in orders}),
        "effective_at": start + HOUR,
        "version": len(orders) + cancellations,
    }


def _insight(stock: int, sales: list[tuple[datetime, int]], as_of: datetime) -> Row:
    units = sum(quantity for moment, quantity in sales if as_of - moment <= WEEK)
    last, left = max((moment for moment, _ in sales), default=None), max(stock, 0)
    days = Fraction(7 * left, units) if units else None
    if not left:
        status, urgency = "out_of_stock", "immediate" if units else "none"
    elif days is None or days > 7:
        status, urgency = "healthy", "none"
    else:
        status, urgency = ("critical", "high") if days <= 3 else ("low", "medium")
    return {
        "stock_on_hand": stock,
        "units_sold_7d": units,
        "units_per_day": _rounded(Fraction(units, 7), 4),
        "days_until_stock_out": None if days is None else _rounded(days, 2),
        "status": status,
        "dead_stock": last is None or as_of - last >= MONTH,
        "last_sold_at": last,
        "restock_quantity": max(2 * units - left, 0),
        "restock_urgency": urgency,
    }


def _rounded(value: Fraction, digits: int) -> Decimal:
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return exact.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
