"""The compiled form of a data contract: small frozen values that the rest of the product reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Layer = Literal["bronze", "silver", "gold", "features"]
Classification = Literal["none", "direct", "quasi"]


@dataclass(frozen=True)
class Column:
    """One column.

    ``type`` is one of ``string int long double boolean date timestamp binary decimal(p,s)``; ``timestamp`` is UTC in
    microseconds. ``source`` is the column's name in the table it is read from (bronze, for silver). ``standardise``
    names the transforms of :mod:`c360.conform.standardise`, applied in order before the type is parsed.
    """

    name: str
    type: str
    required: bool = False
    description: str = ""
    classification: Classification = "none"
    source: str = ""
    standardise: tuple[str, ...] = ()
    minimum: str | None = None
    maximum: str | None = None
    pattern: str | None = None
    max_length: int | None = None
    enum: tuple[str, ...] = ()
    references: str | None = None
    unique: bool = False
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class PartitionBy:
    """One partition field: Iceberg transform (``identity``, ``day``, ``month``, ``bucket[16]``) of a column."""

    column: str
    transform: str


@dataclass(frozen=True)
class Source:
    """Where a bronze table's landing files come from: ``<landing>/<system>/<entity>/<date>/*``."""

    system: str
    entity: str
    format: Literal["csv", "jsonl", "parquet"]


@dataclass(frozen=True)
class Rule:
    """A quality rule beyond what the columns state themselves.

    ``metric`` is a metric of the standard's library (``nullValues``, ``duplicateValues``, …), whose count of rows (or
    percent of rows, if ``percent``) must lie within ``minimum`` and ``maximum``; or it is the name of an expectation
    (``expect_…``) with ``arguments`` as its keyword arguments. ``columns`` are the columns it reads.
    """

    metric: str
    arguments: Mapping[str, object]
    severity: Literal["error", "warning"] = "error"
    description: str = ""
    name: str = ""
    columns: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    percent: bool = False


@dataclass(frozen=True)
class Contract:
    """One table's contract. ``name`` is ``<layer>.<table>``, as in the catalog ``lake``.

    ``tags`` and ``kinds`` are what the asset graph shows; ``granularity`` says what one row is; ``properties`` are
    further Iceberg table properties. ``writer`` is ``dagster`` or ``flink``; ``topic`` is the Kafka topic whose events
    the rows are.
    """

    name: str
    layer: Layer
    table: str
    version: str
    domain: str
    owner: str
    description: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]
    business_key: tuple[str, ...] = ()
    version_column: str | None = None
    partitioning: tuple[PartitionBy, ...] = ()
    retention_days: int | None = None
    freshness_hours: int | None = None
    upstream: tuple[str, ...] = ()
    source: Source | None = None
    rules: tuple[Rule, ...] = ()
    properties: Mapping[str, str] = field(default_factory=dict)
    status: str = "active"
    tags: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    granularity: str = ""
    writer: str = "dagster"
    topic: str | None = None

    def column(self, name: str) -> Column:
        """The column of that name; KeyError if the contract has none."""
        for candidate in self.columns:
            if candidate.name == name:
                return candidate
        raise KeyError(f"{self.name} has no column {name}")

    @property
    def names(self) -> tuple[str, ...]:
        """All column names in order."""
        return tuple(c.name for c in self.columns)
