"""The words a contract may use beyond the standard's own; whatever is not named here is refused."""

from __future__ import annotations

import re

STANDARDISE = (
    "nfc",  # Unicode normal form C
    "strip_control",  # without control, format and direction-override characters
    "trim",  # without white space at both ends
    "squeeze",  # runs of white space become one space
    "lower",
    "upper",
    "phone_e164",  # E.164 where the text parses as a telephone number, otherwise unchanged
    "timestamp_utc",  # ISO 8601 without a time zone is taken as UTC
)
"""Names of the transforms that :mod:`c360.conform.standardise` implements."""

LOGICAL_TYPES = {
    "string": "string",
    "int": "integer",
    "long": "integer",
    "double": "number",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "decimal": "number",
    "binary": "string",
}
"""Physical type → the standard's logical type."""

CLASSIFICATIONS = ("none", "direct", "quasi")

METRICS = ("nullValues", "missingValues", "invalidValues", "duplicateValues", "rowCount")

EXPECTATIONS = {
    "expect_column_values_to_be_between": ("column",),
    "expect_column_values_to_not_be_in_set": ("column",),
    "expect_column_pair_values_a_to_be_greater_than_b": ("column_A", "column_B"),
}
"""Expectations a custom rule may name → their arguments that name a column."""

KINDS = {
    "bronze": ("iceberg",),
    "silver": ("iceberg", "polars"),
    "gold": ("iceberg", "spark", "sql"),
    "features": ("iceberg",),
}
"""Layer → the technologies the asset graph shows for its tables."""

WRITERS = ("dagster", "flink")
"""Who fills a table: runs of the asset graph, or a streaming job."""

_DECIMAL = re.compile(r"decimal\((\d{1,2}),(\d{1,2})\)")
_TRANSFORM = re.compile(r"identity|day|month|year|hour|(?:bucket|truncate)\[[1-9]\d*\]")


def decimal_of(type_: str) -> tuple[int, int] | None:
    """(precision, scale) of a ``decimal(p,s)`` that Iceberg can hold, None for any other text."""
    match = _DECIMAL.fullmatch(type_)
    if match is None:
        return None
    precision, scale = int(match[1]), int(match[2])
    return (precision, scale) if 1 <= precision <= 38 and scale <= precision else None


def is_type(type_: str) -> bool:
    """True for a physical type of :class:`c360.contracts.model.Column`."""
    return decimal_of(type_) is not None or (type_ in LOGICAL_TYPES and type_ != "decimal")


def logical_of(type_: str) -> str:
    """The standard's logical type of a physical type."""
    return LOGICAL_TYPES["decimal" if decimal_of(type_) else type_]


def is_transform(transform: str) -> bool:
    """True for an Iceberg partition transform that every engine of the house can write."""
    return _TRANSFORM.fullmatch(transform) is not None
