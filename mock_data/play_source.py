"""A company's web events and transactions as one stream of the SDK's events, in the order in which they happened."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import polars as pl

from c360.events.model import Event, Metadata, Transaction, TransactionEvent, UserAction, UserActionEvent
from mock_data.catalog import catalog
from mock_data.payments import transactions
from mock_data.people import people
from mock_data.sales import sales
from mock_data.web import events

if TYPE_CHECKING:
    from datetime import datetime

    from mock_data.vectors import Company

PRODUCER = "mock_data/1"
_NAMES = uuid.UUID("6c1f8a52-3a0e-5d5b-9f34-0c36005e0360")
_CHUNK = 20_000


@dataclass(frozen=True)
class Source:
    """The clean tables, and for each moment which row of which table it is (web events first)."""

    web: pl.DataFrame
    payments: pl.DataFrame
    order: pl.DataFrame

    @property
    def total(self) -> int:
        """Events in the stream."""
        return self.order.height


@dataclass(frozen=True)
class Timeline:
    """When the events of a play happen: as recorded, or moved so that the last is at ``end``, ``pace`` times closer.

    With ``renewed`` they are other events: each has an id made of its own and this text.
    """

    last: datetime
    end: datetime
    pace: float = 1.0
    renewed: str = ""

    @classmethod
    def of(
        cls, of: Source, limit: int | None, end: datetime | None, span: timedelta | None, renewed: str = ""
    ) -> Timeline:
        """The timeline of the first ``limit`` events, at most ``span`` long, up to ``end`` (None: as recorded)."""
        moments = (of.order if limit is None else of.order.head(limit)).get_column("at")
        first, last = cast("datetime", moments.min()), cast("datetime", moments.max())
        long = (last - first).total_seconds()
        pace = min(1.0, span.total_seconds() / long) if span is not None and long > 0 else 1.0
        return cls(last, last if end is None else end, pace, renewed)

    def __call__(self, at: datetime) -> datetime:
        """When an event happens that was recorded ``at``."""
        return self.end - (self.last - at) * self.pace

    def identified(self, event_id: str) -> str:
        """The id of an event in this play."""
        return str(uuid.uuid5(_NAMES, f"{self.renewed}|{event_id}")) if self.renewed else event_id


def source(company: Company) -> Source:
    """The company's stream; payments carry the account (the customer of the order) and its holder's name."""
    who, goods = people(company), catalog(company)
    sold = sales(company, who, goods)
    web = events(company, who, sold, goods)
    accounts = pl.DataFrame({"order_id": sold.order_ids, "account_id": who.customer_ids.gather(sold.customer)})
    names = (
        who.customers.group_by("customer_id", maintain_order=True)
        .first()
        .select(
            pl.col("customer_id").alias("account_id"),
            pl.concat_str("first_name", "last_name", separator=" ", ignore_nulls=True).alias("account_holder"),
        )
    )
    paid = transactions(company, sold)
    paid = paid.join(accounts, on="order_id", how="left", maintain_order="left")
    paid = paid.join(names, on="account_id", how="left", maintain_order="left")
    order = pl.concat(
        [
            pl.DataFrame({"at": web.get_column("event_timestamp"), "paid": False, "row": np.arange(web.height)}),
            pl.DataFrame({"at": paid.get_column("occurred_at"), "paid": True, "row": np.arange(paid.height)}),
        ]
    ).sort("at", maintain_order=True)
    return Source(web, paid, order)


def stream(of: Source, when: Timeline, limit: int | None = None) -> Iterator[Event]:
    """The events in order, at most ``limit`` of them, at the moments that the timeline gives."""
    order = of.order if limit is None else of.order.head(limit)
    for part in order.iter_slices(_CHUNK):
        paid = part.get_column("paid").to_numpy()
        rows = part.get_column("row").to_numpy()
        web_rows = iter(of.web[rows[~paid]].to_dicts())
        paid_rows = iter(of.payments[rows[paid]].to_dicts())
        for is_paid in paid.tolist():
            yield _payment(next(paid_rows), when) if is_paid else _action(next(web_rows), when)


def _action(row: dict[str, Any], when: Timeline) -> UserActionEvent:
    session = row["session_id"]
    number = int(session[1:])
    return UserActionEvent(
        event_id=when.identified(row["event_id"]),
        event_type=row["event_type"],
        event_timestamp=when(row["event_timestamp"]),
        source_system=row["source_system"],
        schema_version=row["schema_version"],
        metadata=Metadata(correlation_id=session, producer=PRODUCER),
        payload=UserAction(
            user_id=row["customer_id"],
            session_id=session,
            product_id=row["product_id"],
            order_id=row["order_id"],
            device=row["device"],
            # Documentation addresses (RFC 5737), for the visits that a collector recorded one of.
            ip_address=f"203.0.113.{number % 254 + 1}" if number % 8 == 0 else None,
            properties=_properties(row["payload"]),
        ),
    )


def _payment(row: dict[str, Any], when: Timeline) -> TransactionEvent:
    state = f"{row['transaction_id']}|{row['status']}|{row['occurred_at'].isoformat()}"
    return TransactionEvent(
        event_id=when.identified(str(uuid.uuid5(_NAMES, state))),
        event_type=row["transaction_type"],
        event_timestamp=when(row["occurred_at"]),
        source_system="payments",
        metadata=Metadata(correlation_id=row["order_id"], producer=PRODUCER),
        payload=Transaction(
            transaction_id=row["transaction_id"],
            account_id=row["account_id"],
            order_id=row["order_id"],
            amount=row["amount"],
            currency=row["currency"],
            method=row["method"],
            status=row["status"],
            account_holder=row["account_holder"],
        ),
    )


@lru_cache(4096)
def _properties(text: str | None) -> Any:
    return None if text is None else json.loads(text)
