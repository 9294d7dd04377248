"""What an index holds: kinds of documents, and the columns that customers are searched by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "customer", "versions", "consents", "orders", "deliveries", "events", "alerts", "product", "inventory", "sales",
    "delivery",
]  # fmt: skip

FORMAT = 1
"""Number of the layout of an index; a reader refuses any other."""


@dataclass(frozen=True)
class Source:
    """Documents of one kind: the rows of ``table``, one document for each value of ``key``.

    With ``order`` a document is an array of records, newest first by these columns; without, it is the one row. The
    columns ``apart`` change for nearly every row with each release: they are kept beside the document, not in it.
    """

    kind: Kind
    table: str
    key: tuple[str, ...]
    order: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()

    @property
    def many(self) -> bool:
        """Whether a document is an array."""
        return bool(self.order)


SOURCES = (
    Source("customer", "gold.customer_360", ("customer_id",), apart=("recency_days",)),
    Source("versions", "gold.dim_customer", ("customer_id",), order=("valid_from", "customer_sk")),
    Source("consents", "silver.consents", ("customer_id",), order=("updated_at", "purpose")),
    Source("orders", "gold.fact_orders", ("customer_id",), order=("ordered_at", "order_id")),
    Source("deliveries", "gold.fact_logistics", ("customer_id",), order=("shipped_at", "shipment_id")),
    Source("events", "silver.events", ("customer_id",), order=("event_timestamp", "event_id")),
    Source("alerts", "gold.anomaly_alerts", ("customer_id",), order=("raised_at", "alert_id")),
    Source("product", "gold.product_performance", ("product_id",)),
    Source("inventory", "gold.inventory_insights", ("product_id",)),
    Source("sales", "gold.sales_daily", ("order_date",), order=("sales_channel", "country_code")),
    Source(
        "delivery", "gold.delivery_performance", ("ship_month",), order=("carrier", "service_level", "country_code")
    ),
)

FILTERS = (
    "segment", "loyalty_tier", "country_code", "region", "risk_level", "language", "acquisition_channel",
    "consent_marketing_email", "consent_marketing_sms", "orders", "revenue_amount", "recency_days", "risk_score",
    "registered_at", "last_order_at",
)  # fmt: skip
"""Columns of ``gold.customer_360`` that a search may filter by."""

TABLES = tuple(dict.fromkeys(source.table for source in SOURCES))
