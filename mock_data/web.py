"""Web and app events: visits of customers and strangers, with the purchases and complaints that orders tell of."""

from __future__ import annotations

import json
from binascii import hexlify

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from mock_data.catalog import Catalog
from mock_data.people import People
from mock_data.sales import NEVER, PROMISED_DAYS, Sales
from mock_data.vectors import DAY, Company, Ints, choice, moment, weighted

TYPES = [
    "session_start", "page_view", "product_view", "search", "add_to_cart", "remove_from_cart", "checkout", "purchase",
    "support_ticket",
]  # fmt: skip
DEVICES = ["desktop", "mobile", "tablet"]
SYSTEMS = ["web-shop", "mobile-app", "help-desk"]
_BROWSING = np.array([0.0, 34, 36, 12, 13, 5])  # page_view … remove_from_cart; a visit's other events have their place
_START, _PAGE, _CART, _CHECKOUT, _PURCHASE, _TICKET = 0, 1, 4, 6, 7, 8
_WORDS = [
    "tent",
    "café press",
    "größe M",
    "кофе",
    "緑茶",
    "قهوة",
    "ελαιόλαδο",
    '"noise cancelling" headphones',
    "mug & kettle",
    "नक्शा",
]
_TOPICS = ["late delivery", "damaged parcel", "refund", "wrong size", "invoice \\ VAT"]


def events(company: Company, who: People, sold: Sales, goods: Catalog) -> pl.DataFrame:
    """Clean events, by day; within a day by visit, as a collector writes them."""
    rng = company.rng("web")
    target = company.volume(1_000_000, 200)
    visit_customer, visit_order, visit_end, ending = _visits(company, rng, who, sold, target)
    length = _lengths(rng, ending, target)
    visits = len(length)
    visit = np.repeat(np.arange(visits), length)
    offset = np.cumsum(length) - length
    total = int(length.sum())
    position = np.arange(total) - offset[visit]
    to_end = length[visit] - 1 - position

    kind = weighted(rng, _BROWSING, total)
    closing = ending[visit]
    kind[position == 0] = _START
    buys = closing == _PURCHASE
    kind[buys & (to_end == 2)] = _CART
    kind[buys & (to_end == 1)] = _CHECKOUT
    kind[buys & (to_end == 0)] = _PURCHASE
    kind[(closing == _TICKET) & (to_end == 0)] = _TICKET

    # milliseconds back from the visit's end, so that a purchase happens when its order is placed
    gap = np.minimum(rng.exponential(35_000, total), 900_000).astype(np.int64) + 400
    elapsed = np.cumsum(gap)
    at = visit_end[visit] * 1000 - (elapsed[offset + length - 1][visit] - elapsed)
    at = np.maximum(at, company.start * 1000 + position)
    landed = np.flatnonzero(at < company.end * 1000)
    day = ((at[landed] // 1000 - company.start) // DAY).astype(np.int16)
    keep = landed[np.argsort(day, kind="stable")]  # a radix sort: days are few
    visit, kind, at = visit[keep], kind[keep], at[keep]

    product = np.where((kind == 2) | (kind == 4) | (kind == 5), goods.draw(rng, at // 1000), -1)
    told = np.where((kind == _PURCHASE) | (kind == _TICKET), visit_order[visit], -1)
    device = weighted(rng, np.array([0.42, 0.5, 0.08]), visits)
    system = np.where(kind == _TICKET, 2, (device != 0).astype(np.int64)[visit])
    payload, code = _payloads(rng, kind)
    number = pl.select(pl.lit("W") + pl.lit(pl.Series(np.arange(visits))).cast(pl.String).str.zfill(10)).to_series()
    return pl.DataFrame(
        {
            "event_id": _uuids(company.rng("uuid"), len(keep)),
            "event_type": choice(TYPES, kind),
            "event_timestamp": moment(at, 1000),
            "source_system": choice(SYSTEMS, system),
            "customer_id": _optional(who.customer_ids, visit_customer[visit]),
            "session_id": number.gather(visit),
            "product_id": _optional(goods.product_ids, product),
            "order_id": _optional(sold.order_ids, told),
            "device": choice(DEVICES, np.where(visit % 97 == 5, -1, device[visit])),
            "payload": payload.gather(code),
            "schema_version": np.where(at < (company.start + company.days * DAY // 2) * 1000, 1, 2).astype(np.int64),
        }
    )


def _visits(
    company: Company, rng: np.random.Generator, who: People, sold: Sales, target: int
) -> tuple[Ints, Ints, Ints, Ints]:
    """Customer (-1: a stranger), order (-1: none), last moment and kind of last event, by visit."""
    online = np.flatnonzero(sold.channel <= 1)[: target // 10]
    promised = (sold.shipped // DAY + PROMISED_DAYS[sold.service]) * DAY + 20 * 3600
    late = (sold.delivered < NEVER) & (sold.delivered > promised)
    upset = np.flatnonzero((late | (sold.returned < NEVER) | sold.lost) & (rng.random(len(sold.ordered)) < 0.4))
    upset = upset[: target // 40]
    complaint = np.minimum(np.minimum(sold.delivered, sold.cancelled)[upset], company.end + 1) + rng.integers(
        600, 2 * DAY, len(upset)
    )
    browsing = target // 7
    at = company.moments(rng, browsing)
    known = rng.random(browsing) < 0.68
    visitor = np.where(known, weighted(rng, who.weight + 0.3, browsing), -1)
    visitor = np.where((visitor >= 0) & (who.known_since[visitor] >= at), -1, visitor)
    nothing = np.full(browsing, -1)
    return (
        np.concatenate([sold.customer[online], sold.customer[upset], visitor]),
        np.concatenate([online, upset, nothing]),
        np.concatenate([sold.ordered[online], complaint, at]),
        np.repeat([_PURCHASE, _TICKET, _PAGE], [len(online), len(upset), browsing]),
    )


def _lengths(rng: np.random.Generator, ending: Ints, target: int) -> Ints:
    """Events by visit: those that end in a purchase or ticket come first, the rest share what is left of the target."""
    fixed = int((ending != _PAGE).sum())
    length = np.where(ending == _PURCHASE, 4 + np.minimum(rng.geometric(0.35, len(ending)), 30), 3)
    free = np.minimum(rng.geometric(0.17, len(ending) - fixed), 60).astype(np.int64)
    left = max(target - int(length[:fixed].sum()), len(free))
    filled = np.cumsum(free)
    scale = left / filled[-1]
    edges = np.round(filled * scale).astype(np.int64)
    length[fixed:] = np.maximum(np.diff(edges, prepend=0), 1)
    return length


def _payloads(rng: np.random.Generator, kind: Ints) -> tuple[pl.Series, Ints]:
    """A pool of JSON texts and each event's place in it (the last: none)."""
    pages = [
        json.dumps({"page": f"/{p}", "ms": 40 + 13 * i})
        for i, p in enumerate(["", "sale", "help", "c/books", "c/toys"] * 6)
    ]
    words = [json.dumps({"query": w, "results": 3 * i}, ensure_ascii=False) for i, w in enumerate(_WORDS * 3)]
    topics = [json.dumps({"topic": t, "priority": p}) for t in _TOPICS for p in ("low", "high")]
    pool = pages + words + topics
    none = len(pool)
    u = rng.random(len(kind))
    code = np.full(len(kind), none, dtype=np.int64)
    for type_, first, size in (
        (1, 0, len(pages)),
        (3, len(pages), len(words)),
        (_TICKET, len(pages) + len(words), len(topics)),
    ):
        code = np.where(kind == type_, first + (u * size).astype(np.int64), code)
    return pl.Series([*pool, None], dtype=pl.String), code


def _optional(values: pl.Series, index: Ints) -> pl.Series:
    return pl.concat([values, pl.Series([None], dtype=pl.String)]).gather(np.where(index < 0, len(values), index))


def _uuids(rng: np.random.Generator, n: int) -> pl.Series:
    """Version 4 UUIDs in lower case."""
    raw: NDArray[np.uint8] = rng.integers(0, 256, (n, 16), dtype=np.uint8)
    raw[:, 6] = (raw[:, 6] & 0x0F) | 0x40
    raw[:, 8] = (raw[:, 8] & 0x3F) | 0x80
    hexed = np.frombuffer(hexlify(raw.data), dtype=np.uint8).reshape(n, 32)
    text = np.full((n, 36), ord("-"), dtype=np.uint8)
    for source, target, width in ((0, 0, 8), (8, 9, 4), (12, 14, 4), (16, 19, 4), (20, 24, 12)):
        text[:, target : target + width] = hexed[:, source : source + width]
    offsets = np.arange(0, 36 * (n + 1), 36, dtype=np.int64)
    array = pa.LargeStringArray.from_buffers(n, pa.py_buffer(offsets.data), pa.py_buffer(text.data))
    return pl.Series(array)
