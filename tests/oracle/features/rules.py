"""The oracle's rules of alerts and inventory, told order by order and product by product in whole cents and units."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

Row = dict[str, Any]


def alerts(orders: Iterable[tuple[str, str, datetime, Decimal]], as_of: datetime) -> list[Row]:
    """Alerts of orders (order, customer, moment, amount), by customer and time."""
    of_customer = defaultdict(list)
    for order, customer, moment, amount in orders:
        if moment <= as_of:
            of_customer[customer].append((moment, order, amount))
    found: list[Row] = []
    for customer, placed in of_customer.items():
        placed.sort()
        for at, (moment, order, amount) in enumerate(placed):
            common = {"customer_id": customer, "order_id": order, "raised_at": moment, "amount": amount}
            for rule, severity, threshold, counted in _met(placed[:at], moment, amount):
                details = {"rule": rule, "severity": severity, "threshold": threshold, "orders_counted": counted}
                found.append({"alert_id": f"{order}-{rule}", **common, **details})
    return found


def _met(
    earlier: list[tuple[datetime, str, Decimal]], moment: datetime, amount: Decimal
) -> Iterable[tuple[str, str, Decimal | None, int]]:
    if sum(moment - each[0] <= timedelta(hours=1) for each in earlier) >= 4:
        yield "order_spike", "high", None, 5
    if earlier and moment - earlier[-1][0] <= timedelta(minutes=5):
        yield "rapid_orders", "low", None, 2
    count = len(earlier)
    if count >= 5:
        amounts = [int(each[2] * 100) for each in earlier]
        mean = Fraction(sum(amounts), count)
        variance = sum(((each - mean) ** 2 for each in amounts), Fraction(0)) / count
        above = int(amount * 100) - mean
        if above > 0 and above**2 > 9 * variance:
            severe = above**2 > 25 * variance
            # count² times the variance is whole, so its root can be taken exactly
            bound = (sum(amounts) + math.isqrt(int(9 * variance * count**2))) // count
            yield "outlier", "high" if severe else "medium", Decimal(bound).scaleb(-2), count
    if amount > 1000:
        yield "large_order", "medium" if amount >= 5000 else "low", Decimal(1000), 1


def insight(product: str, stock: int, sales: Iterable[tuple[datetime, int]], as_of: datetime) -> Row:
    """What is to be said of a product with this stock and these sales (moment, units), all up to ``as_of``."""
    sold = list(sales)
    week = sum(units for moment, units in sold if as_of - moment <= timedelta(days=7))
    last = max((moment for moment, _ in sold), default=None)
    here = max(stock, 0)
    days = Fraction(7 * here, week) if week else None
    if not here:
        status, urgency = "out_of_stock", "immediate" if week else "none"
    elif days is None or days > 7:
        status, urgency = "healthy", "none"
    else:
        status, urgency = ("critical", "high") if days <= 3 else ("low", "medium")
    return {
        "product_id": product, "stock_on_hand": stock, "units_sold_7d": week,
        "units_per_day": _rounded(Fraction(week, 7), 4),
        "days_until_stock_out": None if days is None else _rounded(days, 2),
        "status": status, "dead_stock": last is None or as_of - last >= timedelta(days=30), "last_sold_at": last,
        "restock_quantity": max(math.ceil(14 * Fraction(week, 7)) - here, 0), "restock_urgency": urgency,
        "as_of": as_of,
    }  # fmt: skip


def _rounded(value: Fraction, digits: int) -> Decimal:
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return exact.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
