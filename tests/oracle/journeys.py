"""Visits and abandoned carts in plain Python, one event after another; shares no code with the product."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

GAP = timedelta(minutes=30)
Row = dict[str, Any]


@dataclass(frozen=True)
class Action:
    """What a customer did (None: a stranger)."""

    event_id: str
    customer: str | None
    kind: str
    at: datetime
    product: str | None = None


def sessions(actions: Iterable[Action], as_of: datetime) -> dict[str, Row]:
    """Visits that are over by a moment, by key."""
    found = {}
    for customer, mine in _by_customer(actions).items():
        starts = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(mine)) if b.at - a.at >= GAP), len(mine)]
        for begin, end in pairwise(starts):
            visit = mine[begin:end]
            if visit[-1].at + GAP > as_of:
                continue
            kinds = [action.kind for action in visit]
            key = f"{customer}-{visit[0].at:%Y-%m-%dT%H:%M:%S.%fZ}"
            found[key] = {
                "session_id": key, "customer_id": customer, "started_at": visit[0].at, "ended_at": visit[-1].at,
                "events": len(visit), "page_views": kinds.count("page_view"),
                "product_views": kinds.count("product_view"), "carts": kinds.count("add_to_cart"),
                "purchases": kinds.count("purchase"), "is_active": True, "effective_at": visit[-1].at + GAP,
                "version": len(visit),
            }  # fmt: skip
    return found


def carts(actions: Iterable[Action], as_of: datetime) -> dict[str, Row]:
    """Carts that are abandoned by a moment, by key."""
    found = {}
    for customer, mine in _by_customer(actions).items():
        for cart in mine:
            if cart.kind != "add_to_cart" or cart.at + GAP > as_of:
                continue
            alike = [each for each in mine if each.product is None or cart.product in (None, each.product)]
            views = [each.at for each in alike if each.kind == "product_view" and cart.at - GAP < each.at <= cart.at]
            bought = [each for each in alike if each.kind == "purchase" and cart.at <= each.at < cart.at + GAP]
            if views and not bought:
                found[cart.event_id] = {
                    "cart_id": cart.event_id, "customer_id": customer, "product_id": cart.product,
                    "viewed_at": max(views), "carted_at": cart.at, "is_active": True, "effective_at": cart.at + GAP,
                    "version": 1 + len(views),
                }  # fmt: skip
    return found


def _by_customer(actions: Iterable[Action]) -> dict[str, list[Action]]:
    seen: set[str] = set()
    found: dict[str, list[Action]] = defaultdict(list)
    for action in actions:
        if action.event_id not in seen and action.customer is not None:
            found[action.customer].append(action)
        seen.add(action.event_id)
    return {customer: sorted(mine, key=lambda action: action.at) for customer, mine in found.items()}
