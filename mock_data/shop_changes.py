"""The company as the transactions of its shop's database: what was inserted, changed and deleted together, in order."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

import polars as pl

from c360.cdc.schema import NAMES, shop_tables
from mock_data.catalog import catalog
from mock_data.logistics import shipments, stock
from mock_data.people import people
from mock_data.sales import sales

if TYPE_CHECKING:
    from collections.abc import Iterator

    from c360.cdc.envelope import Op, Row
    from mock_data.vectors import Company

PURGED = 0.5
"""Share of the orders that were cancelled before anything was sent, and are deleted with their items later."""

_PURGE_DAYS = 14
_TOGETHER = {"orders": "order_id", "order_items": "order_id", "shipments": "order_id"}
"""Tables whose rows of one moment and this id belong to one transaction; others are changed row by row."""

_RANK = {"locations": 0, "customers": 1, "products": 2, "orders": 3, "order_items": 4, "shipments": 5, "stock": 6}


@dataclass(frozen=True)
class Change:
    """A changed row: ``before`` is None for an insertion (c), ``after`` for a deletion (d)."""

    table: str
    op: Op
    before: Row | None
    after: Row | None

    @property
    def row(self) -> Row:
        """The newest that is known of the row."""
        row = self.before if self.after is None else self.after
        assert row is not None
        return row

    @property
    def key(self) -> Row:
        """Its primary key."""
        return {name: self.row[name] for name in shop_tables()[self.table].key}


@dataclass(frozen=True)
class Transaction:
    """Changes that were committed together at a moment; ``number`` counts from 1."""

    number: int
    at: datetime
    changes: tuple[Change, ...]


def transactions(company: Company, limit: int | None = None, until: datetime | None = None) -> Iterator[Transaction]:
    """The transactions of a company in order, at most ``limit``; the same arguments give the same.

    ``until`` moves all moments by the same time, so that the last of all transactions happens then.
    """
    frames = _frames(company)
    purges = _purges(company, frames)
    moments = _timeline(frames, purges)
    by = timedelta(0) if until is None else until - moments[-1][0]
    rows = {name: frame.rows(named=True) for name, frame in frames.items()}
    state: dict[tuple[str, Any], Row] = {}
    groups = groupby(moments, key=lambda entry: entry[:2])
    for number, ((at, _), group) in enumerate(groups, 1):
        if limit is not None and number > limit:
            return
        changes: list[Change] = []
        for _, _, _, table, index in group:
            if index < 0:
                changes += [_deleted(state, name, key) for name, key in purges[table][1]]
            else:
                changes.append(_written(state, table, _moved(rows[table][index], by)))
        yield Transaction(number, at + by, tuple(changes))


def _frames(company: Company) -> dict[str, pl.DataFrame]:
    """All versions of all rows, by table, within the company's days."""
    who, goods = people(company), catalog(company)
    sold = sales(company, who, goods)
    frames = {
        "customers": who.customers,
        "locations": who.locations,
        "products": goods.products,
        "orders": sold.orders.join(_totals(sold.items), on="order_id", how="left", maintain_order="left"),
        "order_items": sold.items,
        "shipments": shipments(company, who, sold, goods),
        "stock": stock(company, who, sold, goods),
    }
    end = datetime.fromtimestamp(company.end, UTC)
    return {
        name: frames[name].filter(pl.col(changed) < end).sort(changed, maintain_order=True)
        for name, changed in ((name, shop_tables()[name].changed) for name in NAMES)
    }


def _totals(items: pl.DataFrame) -> pl.DataFrame:
    """What each order came to when it was placed."""
    line = pl.col("quantity") * pl.col("unit_price") - pl.col("discount_amount")
    placed = items.sort("updated_at", maintain_order=True).unique("order_item_id", keep="first", maintain_order=True)
    return placed.group_by("order_id").agg(line.sum().cast(pl.Decimal(12, 2)).alias("total_amount"))


def _purges(
    company: Company, frames: dict[str, pl.DataFrame]
) -> dict[str, tuple[datetime, list[tuple[str, tuple[str, ...]]]]]:
    """By order: when it is deleted, and the keys of its rows by table, items first."""
    sent = frames["shipments"].get_column("order_id")
    cancelled = frames["orders"].filter((pl.col("status") == "cancelled") & ~pl.col("order_id").is_in(sent.implode()))
    found: dict[str, tuple[datetime, list[tuple[str, tuple[str, ...]]]]] = {}
    end = datetime.fromtimestamp(company.end, UTC)
    for order, at in cancelled.select("order_id", "updated_at").iter_rows():
        draw = zlib.crc32(f"{company.seed}|purge|{order}".encode()) / 2**32
        # A microsecond, so that no other change falls into this moment.
        later = at + timedelta(days=_PURGE_DAYS * draw / PURGED, seconds=60, microseconds=7)
        if draw < PURGED and later < end:
            found[order] = (later, [("orders", (order,))])
    items = frames["order_items"].filter(pl.col("order_id").is_in(list(found)))
    for item, order in items.select("order_item_id", "order_id").unique(maintain_order=True).iter_rows():
        found[order][1].insert(-1, ("order_items", (item,)))
    return found


def _timeline(
    frames: dict[str, pl.DataFrame], purges: dict[str, tuple[datetime, list[tuple[str, tuple[str, ...]]]]]
) -> list[tuple[datetime, str, int, str, int]]:
    """Moment, what belongs together, rank of the table, table and row; for a deletion, order and -1."""
    entries = [
        (at, f"{_TOGETHER.get(name, name)} {owner}", _RANK[name], name, index)
        for name, frame in frames.items()
        for index, (at, owner) in enumerate(
            frame.select(shop_tables()[name].changed, _TOGETHER.get(name, shop_tables()[name].key[0])).iter_rows()
        )
    ]
    entries += [(at, f"order_id {order}", 9, order, -1) for order, (at, _) in purges.items()]
    return sorted(entries)


def _moved(row: Row, by: timedelta) -> Row:
    return {name: value + by if isinstance(value, datetime) else value for name, value in row.items()} if by else row


def _written(state: dict[tuple[str, Any], Row], table: str, row: Row) -> Change:
    key = (table, tuple(row[name] for name in shop_tables()[table].key))
    before = state.get(key)
    state[key] = row
    return Change(table, "c" if before is None else "u", before, row)


def _deleted(state: dict[tuple[str, Any], Row], table: str, key: tuple[str, ...]) -> Change:
    return Change(table, "d", state.pop((table, key)), None)
