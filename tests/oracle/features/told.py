"""The words in which the cases of the features are written: changes of rows, and the rows that are expected."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.oracle.features.changes import Change, Row

DAY, MINUTE, TICK = timedelta(days=1), timedelta(minutes=1), timedelta(microseconds=1)
NOW = datetime(2025, 6, 30, 12, tzinfo=UTC)
"""The moment of all cases that need no other one: so many of them can be computed at once."""

_IDS = ("customer_id", "order_id", "order_item_id", "product_id", "movement_id", "alert_id")


@dataclass(frozen=True)
class Case:
    """``changes`` in the order in which they are told, and all ``rows`` of ``table`` that hold at ``as_of``."""

    name: str
    table: str
    changes: tuple[Change, ...]
    rows: tuple[Row, ...]
    as_of: datetime = NOW

    def apart(self) -> Case:
        """The case with ids of its own, so that it can share tables and topics with others."""

        def own(row: Row | None) -> Any:
            return row and {k: f"{self.name}:{v}" if k in _IDS and v is not None else v for k, v in row.items()}

        changes = tuple(replace(c, before=own(c.before), after=own(c.after)) for c in self.changes)
        return replace(self, changes=changes, rows=tuple(own(row) for row in self.rows))


def at(text: str) -> datetime:
    """A moment in ISO 8601, in UTC unless it says otherwise."""
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def order_row(order: str, customer: str, moment: datetime, amount: str | None, **more: Any) -> Row:
    """A row of orders, placed at a moment."""
    return {
        "order_id": order, "customer_id": customer, "ordered_at": moment, "status": "placed", "channel": "web",
        "location_id": None, "currency": "USD", "shipping_amount": None,
        "total_amount": None if amount is None else Decimal(amount), "updated_at": moment, **more,
    }  # fmt: skip


def placed(order: str, customer: str, moment: datetime, amount: str = "10.00", **more: Any) -> Change:
    """An order is inserted."""
    return created("orders", order_row(order, customer, moment, amount, **more))


def created(table: str, row: Row, late: timedelta = timedelta(0)) -> Change:
    """A row is inserted, committed so much later than it says."""
    return Change(table, "c", None, row, _of(row) + late)


def changed(change: Change, moment: datetime, **values: Any) -> Change:
    """A later change of the row of ``change``: other values, since a moment."""
    row = {**_content(change), "updated_at": moment, **values}
    return Change(change.table, "u", change.content, row, moment)


def deleted(change: Change, moment: datetime) -> Change:
    """The row of ``change`` is deleted."""
    return Change(change.table, "d", change.content, None, moment)


def read(change: Change, moment: datetime) -> Change:
    """The row of ``change`` is read anew, as by another snapshot."""
    return Change(change.table, "r", None, change.content, moment)


def bare(change: Change) -> Change:
    """The change without what was before."""
    return replace(change, before=None)


def line(item: str, order: str, product: str, units: int, moment: datetime = NOW - 300 * DAY, **more: Any) -> Change:
    """A line of an order is inserted."""
    return created(
        "order_items",
        {
            "order_item_id": item, "order_id": order, "line_number": 1, "product_id": product, "quantity": units,
            "unit_price": Decimal("10.00"), "discount_amount": None, "returned_quantity": None, "updated_at": moment,
            **more,
        },
    )  # fmt: skip


def product(name: str, moment: datetime = NOW - 200 * DAY, **more: Any) -> Change:
    """A product is inserted."""
    return created(
        "products",
        {
            "product_id": name, "product_name": name, "category": "Books", "subcategory": None, "brand": None,
            "unit_price": Decimal("10.00"), "unit_cost": None, "weight_kg": None, "status": "active",
            "introduced_at": None, "updated_at": moment, **more,
        },
    )  # fmt: skip


def stock(movement: str, name: str, units: int, moment: datetime = NOW - 100 * DAY, kind: str = "receipt") -> Change:
    """Units of a product come or go."""
    row = {"movement_id": movement, "product_id": name, "warehouse": "EAST", "movement_type": kind, "quantity": units}
    return created("stock", {**row, "moved_at": moment})


def hours(
    first: str, last: str, orders: int, cancellations: int, revenue: str, average: float | None, customers: int
) -> tuple[Row, ...]:
    """The same row of sales_metrics for each hour that begins between two moments, both included."""
    start, found = at(first), []
    while start <= at(last):
        found.append(
            {
                "metric_id": start.strftime("%Y-%m-%dT%H:%M:%SZ"), "window_start": start,
                "window_end": start + 60 * MINUTE, "orders": orders, "cancellations": cancellations,
                "revenue": Decimal(revenue), "average_order_value": average, "unique_customers": customers,
                "effective_at": start + 60 * MINUTE, "version": orders + cancellations,
            }
        )  # fmt: skip
        start += 5 * MINUTE
    return tuple(found)


def segment(customer: str, name: str, orders: int, spend: str, last: datetime, since: datetime) -> Row:
    """A row of customer_segments."""
    return {
        "customer_id": customer, "segment": name, "orders": orders, "spend": Decimal(spend), "last_order_at": last,
        "effective_at": since, "version": orders,
    }  # fmt: skip


def alert(
    place: int, order: str, rule: str, severity: str, moment: datetime, amount: str, threshold: str | None, counted: int
) -> Row:
    """A row of anomaly_alerts about the order of customer C that is in this place of all of C's."""
    return {
        "alert_id": f"{order}-{rule}", "customer_id": "C", "order_id": order, "rule": rule, "severity": severity,
        "raised_at": moment, "amount": Decimal(amount), "threshold": None if threshold is None else Decimal(threshold),
        "orders_counted": counted, "is_active": True, "effective_at": moment, "version": place,
    }  # fmt: skip


def _of(row: Row) -> datetime:
    moment = row.get("updated_at") or row["moved_at"]
    assert isinstance(moment, datetime)
    return moment


def _content(change: Change) -> Row:
    assert change.content is not None
    return change.content
