"""Values that no reader of an export may accept, by entity and kind of defect, and the contradicting second bodies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

import polars as pl

from mock_data.entities import DAYS, DOUBLE, ENTITIES, FLAG, LONG, MOMENT, MONEY, Entity

Broken = tuple[str, str]
"""Column and the text it is given; the empty text means missing."""

_NO_TYPE: Mapping[pl.DataType, tuple[str, ...]] = {
    MOMENT: ("yesterday", "2025-13-45T00:00:00Z", "1735689600", "1735689600000", "31/12/2025 10:00"),
    LONG: ("many", "NaN", "1.5"),
    MONEY: ("free", "NaN", "-Infinity", "1.2.3"),
    DOUBLE: ("north", "NaN", "Infinity"),
    FLAG: ("maybe", "2"),
    DAYS: ("1990-02-30", "unknown"),
}

_OUT_OF_RANGE: Mapping[str, tuple[Broken, ...]] = {
    "customers": (
        ("birth_date", "1850-06-01"),
        ("first_name", "Ab" * 61),
        ("registered_at", "0001-01-01T00:00:00Z"),
        ("updated_at", "9999-12-31T23:59:59Z"),
        ("customer_id", "C" * 65),
    ),
    "locations": (
        ("latitude", "95.5"),
        ("longitude", "-180.5"),
        ("street", "Long Lane " * 20 + "7"),
        ("postal_code", "1" * 21),
        ("updated_at", "2101-01-01T00:00:00Z"),
    ),
    "consents": (("updated_at", "9999-12-31T23:59:59Z"), ("updated_at", "1969-12-31T23:59:59Z")),
    "products": (
        ("unit_price", "-1.00"),
        ("weight_kg", "100000.5"),
        ("product_name", "Endless" * 30),
        ("unit_cost", "-0.01"),
        ("weight_kg", "-0.5"),
    ),
    "stock": (("quantity", "1000001"), ("warehouse", "w" * 41), ("quantity", "-1000001")),
    "orders": (("shipping_amount", "-0.01"), ("ordered_at", "0001-01-01T00:00:00Z")),
    "order_items": (
        ("quantity", "0"),
        ("unit_price", "-1.00"),
        ("line_number", "0"),
        ("returned_quantity", "-1"),
        ("discount_amount", "-5.00"),
    ),
    "transactions": (("amount", "-5.00"), ("occurred_at", "2101-01-01T00:00:00Z")),
    "shipments": (("shipping_cost", "-1.00"), ("weight_kg", "-1.0"), ("carrier", "c" * 61)),
    "events": (
        ("schema_version", "0"),
        ("event_timestamp", "9999-12-31T23:59:59.000Z"),
        ("session_id", "W" * 65),
        ("schema_version", "1001"),
    ),
}

_NOT_ALLOWED: Mapping[str, tuple[Broken, ...]] = {
    "customers": (
        ("email", "not-an-address"),
        ("loyalty_tier", "diamond"),
        ("language", "english"),
        ("acquisition_channel", "television"),
        ("email", "two@at@example.com"),
    ),
    "locations": (("country_code", "USA"), ("country_code", "1X")),
    "consents": (("purpose", "telepathy"),),
    "products": (("status", "retired"),),
    "stock": (("movement_type", "theft"),),
    "orders": (("status", "pending"), ("currency", "EUR"), ("channel", "fax")),
    "order_items": (),
    "transactions": (("status", "unknown"), ("currency", "EUR"), ("method", "cheque"), ("transaction_type", "tip")),
    "shipments": (("status", "vanished"), ("service_level", "teleport")),
    "events": (("event_id", "42"), ("event_type", "daydream"), ("device", "fridge")),
}


def _bad_types(entity: Entity) -> tuple[Broken, ...]:
    if entity.format == "parquet":  # its columns are typed: the file could not hold them
        return ()
    columns = [(c, _NO_TYPE[t]) for c, t in entity.columns.items() if t in _NO_TYPE]
    longest = max(len(texts) for _, texts in columns)
    return tuple((column, texts[i]) for i in range(longest) for column, texts in columns if i < len(texts))


BROKEN: Mapping[str, Mapping[str, tuple[Broken, ...]]] = {
    name: {
        "bad_type": _bad_types(entity),
        "out_of_range": _OUT_OF_RANGE[name],
        "not_allowed": _NOT_ALLOWED[name],
        "missing_required": tuple((column, "") for column in entity.required[::-1]),
    }
    for name, entity in ENTITIES.items()
}
"""Entity → defect → the ways to break a record, used in turn."""


def _more(column: str, by: int | Decimal) -> tuple[str, Callable[[pl.DataFrame], pl.Series]]:
    def raised(frame: pl.DataFrame) -> pl.Series:
        return (frame.get_column(column) + by).cast(frame.schema[column])

    return column, raised


def _next_tier(frame: pl.DataFrame) -> pl.Series:
    tiers = {"none": "silver", "silver": "gold", "gold": "platinum", "platinum": "none"}
    return frame.get_column("loyalty_tier").replace_strict(tiers)


CONTRADICTIONS: Mapping[str, tuple[str, Callable[[pl.DataFrame], pl.Series]]] = {
    "customers": ("loyalty_tier", _next_tier),
    "locations": ("city", lambda frame: frame.get_column("city") + " II"),
    "consents": ("granted", lambda frame: ~frame.get_column("granted")),
    "products": _more("unit_price", Decimal(1)),
    "stock": _more("quantity", 1),
    "orders": _more("shipping_amount", Decimal(1)),
    "order_items": _more("quantity", 1),
    "transactions": _more("amount", Decimal(1)),
    "shipments": _more("shipping_cost", Decimal(1)),
    "events": _more("schema_version", 1),
}
"""Entity → the column in which a contradicting record differs, and its other values."""
