"""The source systems' exports: names, formats, columns, keys, and how each column may be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import polars as pl

TEXT, LONG, DOUBLE, FLAG, DAYS = pl.String(), pl.Int64(), pl.Float64(), pl.Boolean(), pl.Date()
MONEY, MOMENT = pl.Decimal(12, 2), pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Entity:
    """One export. ``columns`` are in file order; the clean truth has the same columns, standardised."""

    name: str
    system: str
    format: Literal["csv", "jsonl", "parquet"]
    columns: Mapping[str, pl.DataType]
    key: tuple[str, ...]
    moment: str
    """The column that decides the day a record lands on."""
    required: tuple[str, ...]
    versioned: bool = True
    lower: tuple[str, ...] = ()
    upper: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    """Free text: standardised to one spelling (Unicode form, white space, invisible characters)."""
    milliseconds: bool = False
    parents: Mapping[str, str] = field(default_factory=dict)
    """Foreign keys that an orphan may break → the identifier it points at then."""

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Business key and, for versioned records, the version."""
        return (*self.key, self.moment) if self.versioned else self.key


ENTITIES = {
    e.name: e
    for e in (
        Entity(
            name="customers", system="crm", format="csv", key=("customer_id",), moment="updated_at",
            columns={
                "customer_id": TEXT, "first_name": TEXT, "last_name": TEXT, "email": TEXT, "phone": TEXT,
                "birth_date": DAYS, "location_id": TEXT, "language": TEXT, "loyalty_tier": TEXT,
                "acquisition_channel": TEXT, "registered_at": MOMENT, "updated_at": MOMENT,
            },
            required=("customer_id", "registered_at", "updated_at"),
            lower=("email", "language", "loyalty_tier", "acquisition_channel"),
            written=("first_name", "last_name"),
        ),
        Entity(
            name="locations", system="crm", format="csv", key=("location_id",), moment="updated_at",
            columns={
                "location_id": TEXT, "street": TEXT, "city": TEXT, "postal_code": TEXT, "region": TEXT,
                "country_code": TEXT, "latitude": DOUBLE, "longitude": DOUBLE, "updated_at": MOMENT,
            },
            required=("location_id", "country_code", "updated_at"),
            upper=("country_code",), written=("street", "city", "region"),
        ),
        Entity(
            name="consents", system="crm", format="jsonl", key=("customer_id", "purpose"), moment="updated_at",
            columns={"customer_id": TEXT, "purpose": TEXT, "granted": FLAG, "source": TEXT, "updated_at": MOMENT},
            required=("customer_id", "purpose", "granted", "updated_at"), lower=("purpose", "source"),
        ),
        Entity(
            name="products", system="catalog", format="parquet", key=("product_id",), moment="updated_at",
            columns={
                "product_id": TEXT, "product_name": TEXT, "category": TEXT, "subcategory": TEXT, "brand": TEXT,
                "unit_price": MONEY, "unit_cost": MONEY, "weight_kg": DOUBLE, "status": TEXT,
                "introduced_at": MOMENT, "updated_at": MOMENT,
            },
            required=("product_id", "product_name", "category", "unit_price", "status", "updated_at"),
            lower=("status",), written=("product_name", "category", "subcategory", "brand"),
        ),
        Entity(
            name="stock", system="catalog", format="csv", key=("movement_id",), moment="moved_at", versioned=False,
            columns={
                "movement_id": TEXT, "product_id": TEXT, "warehouse": TEXT, "movement_type": TEXT, "quantity": LONG,
                "moved_at": MOMENT,
            },
            required=("movement_id", "product_id", "warehouse", "movement_type", "quantity", "moved_at"),
            lower=("movement_type",), parents={"product_id": "P9999999"},
        ),
        Entity(
            name="orders", system="shop", format="csv", key=("order_id",), moment="updated_at",
            columns={
                "order_id": TEXT, "customer_id": TEXT, "ordered_at": MOMENT, "status": TEXT, "channel": TEXT,
                "location_id": TEXT, "currency": TEXT, "shipping_amount": MONEY, "updated_at": MOMENT,
            },
            required=("order_id", "customer_id", "ordered_at", "status", "currency", "updated_at"),
            lower=("status", "channel"), upper=("currency",), parents={"customer_id": "C99999999"},
        ),
        Entity(
            name="order_items", system="shop", format="csv", key=("order_item_id",), moment="updated_at",
            columns={
                "order_item_id": TEXT, "order_id": TEXT, "line_number": LONG, "product_id": TEXT, "quantity": LONG,
                "unit_price": MONEY, "discount_amount": MONEY, "returned_quantity": LONG, "updated_at": MOMENT,
            },
            required=("order_item_id", "order_id", "product_id", "quantity", "unit_price", "updated_at"),
            parents={"order_id": "O999999999", "product_id": "P9999999"},
        ),
        Entity(
            name="transactions", system="payments", format="jsonl", key=("transaction_id",), moment="occurred_at",
            columns={
                "transaction_id": TEXT, "order_id": TEXT, "transaction_type": TEXT, "amount": MONEY,
                "currency": TEXT, "method": TEXT, "status": TEXT, "occurred_at": MOMENT,
            },
            required=("transaction_id", "order_id", "transaction_type", "amount", "currency", "status", "occurred_at"),
            lower=("transaction_type", "method", "status"), upper=("currency",), parents={"order_id": "O999999999"},
        ),
        Entity(
            name="shipments", system="logistics", format="parquet", key=("shipment_id",), moment="updated_at",
            columns={
                "shipment_id": TEXT, "order_id": TEXT, "carrier": TEXT, "service_level": TEXT, "warehouse": TEXT,
                "location_id": TEXT, "status": TEXT, "shipped_at": MOMENT, "promised_at": MOMENT,
                "delivered_at": MOMENT, "shipping_cost": MONEY, "weight_kg": DOUBLE, "updated_at": MOMENT,
            },
            required=("shipment_id", "order_id", "carrier", "status", "updated_at"),
            lower=("service_level", "status"), written=("carrier",), parents={"order_id": "O999999999"},
        ),
        Entity(
            name="events", system="web", format="jsonl", key=("event_id",), moment="event_timestamp",
            columns={
                "event_id": TEXT, "event_type": TEXT, "event_timestamp": MOMENT, "source_system": TEXT,
                "customer_id": TEXT, "session_id": TEXT, "product_id": TEXT, "order_id": TEXT, "device": TEXT,
                "payload": TEXT, "schema_version": LONG,
            },
            required=("event_id", "event_type", "event_timestamp", "source_system", "schema_version"),
            versioned=False, lower=("event_type", "device"), milliseconds=True,
            parents={"customer_id": "C99999999"},
        ),
    )
}  # fmt: skip
