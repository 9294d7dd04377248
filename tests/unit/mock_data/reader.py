"""An independent reading of landing files: plain Python, sharing no code with the generator or the product."""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import phonenumbers
import pyarrow.parquet as pq

Record = dict[str, Any]
Verdict = tuple[str, str | None, str | None]
"""Outcome, reason, column."""


class Bad(Exception):
    """Reason of a refusal."""


def _low(*words: str) -> Any:
    def check(text: str) -> str:
        if text.lower() not in words:
            raise Bad("not_allowed")
        return text.lower()

    return check


def _up(pattern: str) -> Any:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text.upper()):
            raise Bad("not_allowed")
        return text.upper()

    return check


def _text(longest: int = 10**6, pattern: str = ".*", lower: bool = False) -> Any:
    def check(text: str) -> str:
        text = text.lower() if lower else text
        if len(text) > longest:
            raise Bad("out_of_range")
        if not re.fullmatch(pattern, text, re.DOTALL):
            raise Bad("not_allowed")
        return text

    return check


def _name(longest: int) -> Any:
    def check(text: str) -> str:
        kept = "".join(" " if c in "\n\t" else c for c in text if c in "\n\t" or unicodedata.category(c)[0] != "C")
        plain = " ".join(unicodedata.normalize("NFC", kept).split())
        if len(plain) > longest:
            raise Bad("out_of_range")
        return plain

    return check


def _phone(text: str) -> str:
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return text
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _number(kind: Any, low: Any, high: Any) -> Any:
    def check(text: str) -> Any:
        try:
            value = kind(text)
        except (ValueError, InvalidOperation):
            raise Bad("bad_type") from None
        if not re.fullmatch(r"-?[0-9.]+", text):
            raise Bad("bad_type")
        if not low <= value <= high:
            raise Bad("out_of_range")
        return value

    return check


def _moment(text: str) -> datetime:
    if text.isdigit():
        raise Bad("bad_type")
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise Bad("bad_type") from None
    value = value.replace(tzinfo=UTC) if value.tzinfo is None else value
    if not 1970 <= value.year <= 2100:
        raise Bad("out_of_range")
    return value.astimezone(UTC)


def _day(text: str) -> date:
    try:
        value = date.fromisoformat(text)
    except ValueError:
        raise Bad("bad_type") from None
    if value.year < 1900:
        raise Bad("out_of_range")
    return value


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise Bad("bad_type")
    return text.lower() == "true"


_id = _text()
_money = _number(Decimal, 0, 10**10)
_count = _number(int, 0, 100_000)
_weight = _number(float, 0, 100_000)
_UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

# "!" marks a required column.
RULES: dict[str, dict[str, Any]] = {
    "customers": {
        "customer_id!": _text(64),
        "first_name": _name(120),
        "last_name": _name(120),
        "email": _text(pattern=r"[^@\s]+@[^@\s]+\.[^@\s]+", lower=True),
        "phone": _phone,
        "birth_date": _day,
        "location_id": _id,
        "language": _text(pattern="[a-z]{2}", lower=True),
        "loyalty_tier": _low("none", "silver", "gold", "platinum"),
        "acquisition_channel": _low("organic", "search", "social", "referral", "email", "store"),
        "registered_at!": _moment,
        "updated_at!": _moment,
    },
    "locations": {
        "location_id!": _id,
        "street": _name(200),
        "city": _name(120),
        "postal_code": _text(20),
        "region": _name(80),
        "country_code!": _up("[A-Z]{2}"),
        "latitude": _number(float, -90, 90),
        "longitude": _number(float, -180, 180),
        "updated_at!": _moment,
    },
    "consents": {
        "customer_id!": _id,
        "purpose!": _low("marketing_email", "marketing_sms", "profiling", "third_party"),
        "granted!": _flag,
        "source": _text(lower=True),
        "updated_at!": _moment,
    },
    "products": {
        "product_id!": _id,
        "product_name!": _name(200),
        "category!": _name(80),
        "subcategory": _name(80),
        "brand": _name(80),
        "unit_price!": _money,
        "unit_cost": _money,
        "weight_kg": _weight,
        "status!": _low("active", "discontinued"),
        "introduced_at": _moment,
        "updated_at!": _moment,
    },
    "stock": {
        "movement_id!": _id,
        "product_id!": _id,
        "warehouse!": _text(40),
        "movement_type!": _low("receipt", "sale", "return", "adjustment"),
        "quantity!": _number(int, -(10**6), 10**6),
        "moved_at!": _moment,
    },
    "orders": {
        "order_id!": _id,
        "customer_id!": _id,
        "ordered_at!": _moment,
        "status!": _low("placed", "paid", "shipped", "completed", "cancelled", "returned"),
        "channel": _low("web", "app", "store", "phone"),
        "location_id": _id,
        "currency!": _up("USD"),
        "shipping_amount": _money,
        "updated_at!": _moment,
    },
    "order_items": {
        "order_item_id!": _id,
        "order_id!": _id,
        "line_number": _number(int, 1, 10_000),
        "product_id!": _id,
        "quantity!": _number(int, 1, 100_000),
        "unit_price!": _money,
        "discount_amount": _money,
        "returned_quantity": _count,
        "updated_at!": _moment,
    },
    "transactions": {
        "transaction_id!": _id,
        "order_id!": _id,
        "transaction_type!": _low("payment", "refund"),
        "amount!": _money,
        "currency!": _up("USD"),
        "method": _low("card", "paypal", "transfer", "wallet", "cash"),
        "status!": _low("captured", "failed", "pending"),
        "occurred_at!": _moment,
    },
    "shipments": {
        "shipment_id!": _id,
        "order_id!": _id,
        "carrier!": _name(60),
        "service_level": _low("standard", "express", "economy", "same_day"),
        "warehouse": _name(40),
        "location_id": _id,
        "status!": _low("created", "in_transit", "delivered", "lost", "returned"),
        "shipped_at": _moment,
        "promised_at": _moment,
        "delivered_at": _moment,
        "shipping_cost": _money,
        "weight_kg": _weight,
        "updated_at!": _moment,
    },
    "events": {
        "event_id!": _text(pattern=_UUID, lower=True),
        "event_type!": _low(
            "session_start",
            "page_view",
            "product_view",
            "search",
            "add_to_cart",
            "remove_from_cart",
            "checkout",
            "purchase",
            "support_ticket",
        ),
        "event_timestamp!": _moment,
        "source_system!": _text(40),
        "customer_id": _id,
        "session_id": _text(64),
        "product_id": _id,
        "order_id": _id,
        "device": _low("desktop", "mobile", "tablet"),
        "payload": _text(65536),
        "schema_version!": _number(int, 1, 1000),
    },
}
SYSTEMS = {
    "customers": "crm", "locations": "crm", "consents": "crm", "products": "catalog", "stock": "catalog",
    "orders": "shop", "order_items": "shop", "transactions": "payments", "shipments": "logistics", "events": "web",
}  # fmt: skip
FORMATS = {
    "products": "parquet",
    "shipments": "parquet",
    "consents": "jsonl",
    "transactions": "jsonl",
    "events": "jsonl",
}
VERSIONS = {"stock": None, "events": None, "transactions": "occurred_at"}
KEYS = {"consents": ("customer_id", "purpose")}


def primary_key(entity: str) -> tuple[str, ...]:
    """Key and version column."""
    key = KEYS.get(entity, (next(iter(RULES[entity])).rstrip("!"),))
    version = VERSIONS.get(entity, "updated_at")
    return (*key, version) if version else key


def records(path: Path) -> Iterator[tuple[Record | None, str | None]]:
    """Each physical record: its raw columns, or None and what is wrong with the record as a whole."""
    if path.suffix == ".parquet":
        for typed in pq.read_table(path).to_pylist():
            yield typed, None
        return
    content = path.read_bytes().decode("utf-8", errors="surrogateescape")
    if path.suffix == ".csv":
        rows = csv.reader(io.StringIO(content, newline=""), strict=True)
        header = next(rows)
        for row in rows:
            if any("\udc80" <= c <= "\udcff" for cell in row for c in cell):
                yield None, "bad_encoding"
            elif len(row) != len(header):
                yield None, "malformed_record"
            else:
                yield dict(zip(header, row, strict=True)), None
        return
    assert content.endswith("\n")
    for line in content[:-1].split("\n"):
        if any("\udc80" <= c <= "\udcff" for c in line):
            yield None, "bad_encoding"
            continue
        try:
            value = json.loads(line, parse_float=str, parse_int=str)
        except ValueError:
            yield None, "malformed_record"
        else:
            yield value, None


def conformed(entity: str, raw: Record) -> tuple[Record, Verdict | None]:
    """The clean form of a record, or the verdict on its first fault."""
    clean: Record = {}
    for name, check in RULES[entity].items():
        column = name.rstrip("!")
        value = raw.get(column)
        if isinstance(value, datetime):
            value = value.isoformat()
        text = (
            ("true" if value else "false") if isinstance(value, bool) else "" if value is None else str(value).strip()
        )
        if not text:
            if name.endswith("!"):
                return clean, ("rejected", "missing_required", column)
            clean[column] = None
            continue
        try:
            clean[column] = check(text)
        except Bad as bad:
            return clean, ("rejected", str(bad), column)
    return clean, None


def read(landing: Path, entity: str) -> tuple[dict[tuple[str, int], Verdict], dict[tuple[Any, ...], Record]]:
    """The verdict on each landed record by file and ordinal, and the accepted rows by primary key."""
    verdicts: dict[tuple[str, int], Verdict] = {}
    accepted: dict[tuple[Any, ...], Record] = {}
    key = primary_key(entity)
    for path in sorted((landing / SYSTEMS[entity] / entity).glob("*/*")):
        assert path.name == f"{entity}.{FORMATS.get(entity, 'csv')}"
        for ordinal, (raw, fault) in enumerate(records(path), 1):
            place = (path.relative_to(landing).as_posix(), ordinal)
            if raw is None:
                verdicts[place] = ("rejected", fault, None)
                continue
            clean, verdict = conformed(entity, raw)
            if verdict is None:
                identity = tuple(clean[k] for k in key)
                before = accepted.setdefault(identity, clean)
                if before is clean:
                    verdict = ("accepted", None, None)
                elif before == clean:
                    verdict = ("deduplicated", None, None)
                else:
                    verdict = ("rejected", "conflicting_duplicate", None)
            verdicts[place] = verdict
    return verdicts, accepted
