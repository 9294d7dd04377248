"""Bronze and silver as one would write them by hand in Polars, with plain Parquet: the peer of ``bench_ingest``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

MONEY = pl.Decimal(12, 2)
TIME = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Export:
    """What a script's author knows about one export."""

    columns: dict[str, pl.DataType | type[pl.DataType]]
    required: tuple[str, ...]
    key: tuple[str, ...]
    lower: tuple[str, ...] = ()
    upper: tuple[str, ...] = ()
    allowed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    pattern: dict[str, str] = field(default_factory=dict)


S, L, F, D = pl.String, pl.Int64, pl.Float64, pl.Date
ANY = 1e12
EXPORTS = {
    "crm/customers": Export(
        {
            **dict.fromkeys(("customer_id", "first_name", "last_name", "email", "phone"), S),
            "birth_date": D,
            **dict.fromkeys(("location_id", "language", "loyalty_tier", "acquisition_channel"), S),
            "registered_at": TIME,
            "updated_at": TIME,
        },
        required=("customer_id", "registered_at", "updated_at"),
        key=("customer_id", "updated_at"),
        lower=("email", "language", "loyalty_tier", "acquisition_channel"),
        allowed={"loyalty_tier": ("none", "silver", "gold", "platinum")},
        pattern={"email": r"^[^@\s]+@[^@\s]+\.[^@\s]+$", "language": "^[a-z]{2}$"},
    ),
    "crm/locations": Export(
        {
            **dict.fromkeys(("location_id", "street", "city", "postal_code", "region", "country_code"), S),
            "latitude": F,
            "longitude": F,
            "updated_at": TIME,
        },
        required=("location_id", "country_code", "updated_at"),
        key=("location_id", "updated_at"),
        upper=("country_code",),
        ranges={"latitude": (-90, 90), "longitude": (-180, 180)},
        pattern={"country_code": "^[A-Z]{2}$"},
    ),
    "crm/consents": Export(
        {"customer_id": S, "purpose": S, "granted": pl.Boolean, "source": S, "updated_at": TIME},
        required=("customer_id", "purpose", "granted", "updated_at"),
        key=("customer_id", "purpose", "updated_at"),
        lower=("purpose", "source"),
        allowed={"purpose": ("marketing_email", "marketing_sms", "profiling", "third_party")},
    ),
    "catalog/products": Export(
        {
            **dict.fromkeys(("product_id", "product_name", "category", "subcategory", "brand"), S),
            "unit_price": MONEY,
            "unit_cost": MONEY,
            "weight_kg": F,
            "status": S,
            "introduced_at": TIME,
            "updated_at": TIME,
        },
        required=("product_id", "product_name", "category", "unit_price", "status", "updated_at"),
        key=("product_id", "updated_at"),
        lower=("status",),
        allowed={"status": ("active", "discontinued")},
        ranges={"unit_price": (0, ANY), "unit_cost": (0, ANY), "weight_kg": (0, 1e5)},
    ),
    "catalog/stock": Export(
        {
            **dict.fromkeys(("movement_id", "product_id", "warehouse", "movement_type"), S),
            "quantity": L,
            "moved_at": TIME,
        },
        required=("movement_id", "product_id", "warehouse", "movement_type", "quantity", "moved_at"),
        key=("movement_id",),
        lower=("movement_type",),
        allowed={"movement_type": ("receipt", "sale", "return", "adjustment")},
        ranges={"quantity": (-1e6, 1e6)},
    ),
    "shop/orders": Export(
        {
            "order_id": S,
            "customer_id": S,
            "ordered_at": TIME,
            "status": S,
            "channel": S,
            "location_id": S,
            "currency": S,
            "shipping_amount": MONEY,
            "updated_at": TIME,
        },
        required=("order_id", "customer_id", "ordered_at", "status", "currency", "updated_at"),
        key=("order_id", "updated_at"),
        lower=("status", "channel"),
        upper=("currency",),
        allowed={"status": ("placed", "paid", "shipped", "completed", "cancelled", "returned"), "currency": ("USD",)},
        ranges={"shipping_amount": (0, ANY)},
    ),
    "shop/order_items": Export(
        {
            "order_item_id": S,
            "order_id": S,
            "line_number": L,
            "product_id": S,
            "quantity": L,
            "unit_price": MONEY,
            "discount_amount": MONEY,
            "returned_quantity": L,
            "updated_at": TIME,
        },
        required=("order_item_id", "order_id", "product_id", "quantity", "unit_price", "updated_at"),
        key=("order_item_id", "updated_at"),
        ranges={"line_number": (1, 1e4), "quantity": (1, 1e5), "returned_quantity": (0, 1e5), "unit_price": (0, ANY)},
    ),
    "payments/transactions": Export(
        {
            "transaction_id": S,
            "order_id": S,
            "transaction_type": S,
            "amount": MONEY,
            "currency": S,
            "method": S,
            "status": S,
            "occurred_at": TIME,
        },
        required=("transaction_id", "order_id", "transaction_type", "amount", "currency", "status", "occurred_at"),
        key=("transaction_id", "occurred_at"),
        lower=("transaction_type", "method", "status"),
        upper=("currency",),
        allowed={"transaction_type": ("payment", "refund"), "status": ("captured", "failed", "pending")},
        ranges={"amount": (0, ANY)},
    ),
    "logistics/shipments": Export(
        {
            **dict.fromkeys(("shipment_id", "order_id", "carrier", "service_level", "warehouse", "location_id"), S),
            "status": S,
            "shipped_at": TIME,
            "promised_at": TIME,
            "delivered_at": TIME,
            "shipping_cost": MONEY,
            "weight_kg": F,
            "updated_at": TIME,
        },
        required=("shipment_id", "order_id", "carrier", "status", "updated_at"),
        key=("shipment_id", "updated_at"),
        lower=("service_level", "status"),
        allowed={"status": ("created", "in_transit", "delivered", "lost", "returned")},
        ranges={"shipping_cost": (0, ANY), "weight_kg": (0, 1e5)},
    ),
    "web/events": Export(
        {
            "event_id": S,
            "event_type": S,
            "event_timestamp": TIME,
            "source_system": S,
            "customer_id": S,
            **dict.fromkeys(("session_id", "product_id", "order_id", "device", "payload"), S),
            "schema_version": L,
        },
        required=("event_id", "event_type", "event_timestamp", "source_system", "schema_version"),
        key=("event_id",),
        lower=("event_id", "event_type", "device"),
        allowed={"device": ("desktop", "mobile", "tablet")},
        ranges={"schema_version": (1, 1000)},
        pattern={"event_id": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},
    ),
}


def run(landing: Path, out: Path) -> int:
    """All exports through both layers into ``out``; returns the number of records read."""
    for layer in ("bronze", "silver", "rejected"):
        (out / layer).mkdir(parents=True)
    return sum(_one(landing, name, export, out) for name, export in EXPORTS.items())


def _one(landing: Path, name: str, export: Export, out: Path) -> int:
    files = sorted((landing / name).glob("*/*.*"))
    table = name.split("/")[1]
    received = pl.concat([_read(file, landing, export) for file in files])
    received.write_parquet(out / f"bronze/{table}.parquet")
    accepted, refused = _conform(received, export)
    accepted.write_parquet(out / f"silver/{table}.parquet")
    refused.write_parquet(out / f"rejected/{table}.parquet")
    return received.height


def _read(file: Path, landing: Path, export: Export) -> pl.DataFrame:
    if file.suffix == ".csv":
        rows = pl.read_csv(file, infer_schema=False)
    elif file.suffix == ".parquet":
        rows = pl.read_parquet(file).with_columns(
            pl.col(TIME).dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ"), pl.exclude(TIME).cast(pl.String)
        )
    else:
        as_is = {name: pl.Int64 if type_ is L else pl.Boolean if type_ is pl.Boolean else pl.String
                 for name, type_ in export.columns.items()}  # fmt: skip
        rows = pl.read_ndjson(file, schema=as_is).cast(pl.String)
    return (
        rows.select(list(export.columns))
        .with_row_index("source_row", 1)
        .with_columns(
            pl.lit(str(file.relative_to(landing))).alias("source_file"), pl.lit(file.parent.name).alias("batch_date")
        )
    )


def _conform(received: pl.DataFrame, export: Export) -> tuple[pl.DataFrame, pl.DataFrame]:
    clean = {}
    for name, type_ in export.columns.items():
        text = pl.col(name).str.strip_chars()
        text = text.str.to_lowercase() if name in export.lower else text
        text = text.str.to_uppercase() if name in export.upper else text
        text = pl.when(text != "").then(text)
        if type_ == TIME:
            clean[name] = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", time_zone="UTC", strict=False)
        elif type_ == D:
            clean[name] = text.str.to_date("%Y-%m-%d", strict=False)
        elif type_ == pl.Boolean:
            clean[name] = text == "true"
        else:
            clean[name] = text if type_ == S else text.cast(type_, strict=False)
    typed = received.with_columns(**clean)
    broken = [pl.when(pl.col(name).is_null()).then(pl.lit(f"{name} is missing")) for name in export.required]
    broken += [
        pl.when(~pl.col(name).is_between(*bounds)).then(pl.lit(f"{name} out of range"))
        for name, bounds in export.ranges.items()
    ]
    broken += [
        pl.when(~pl.col(name).is_in(values)).then(pl.lit(f"{name} not allowed"))
        for name, values in export.allowed.items()
    ]
    broken += [
        pl.when(~pl.col(name).str.contains(pattern)).then(pl.lit(f"{name} of a wrong form"))
        for name, pattern in export.pattern.items()
    ]
    judged = typed.with_columns(reason=pl.coalesce(broken))
    good = judged.filter(pl.col("reason").is_null()).drop("reason")
    kept = good.unique(list(export.key), keep="first", maintain_order=True)
    return kept, judged.filter(pl.col("reason").is_not_null())
