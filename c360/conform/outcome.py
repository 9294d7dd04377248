"""What becomes of bronze rows: accepted, deduplicated or rejected, with nothing in between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from c360.contracts import to_arrow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from c360.contracts.model import Contract

POSITION = ("_source_file", "_source_row")
_POSITION_TYPES: dict[str, pa.DataType] = {
    "_source_file": pa.string(),
    "_source_row": pa.int64(),
    "_batch_date": pa.date32(),
}
REJECTED, DEDUPLICATED = "silver.rejected", "silver.deduplicated"


@dataclass(frozen=True)
class Existing:
    """The silver rows, of the primary keys concerned, that are already there: business columns and positions.

    More rows than those concerned do no harm; ``rows`` None means an empty table.
    """

    rows: pa.Table | None = None


@dataclass(frozen=True)
class Summary:
    """Counts that explain an outcome; ``repaired`` counts accepted values changed by standardising, per column."""

    received: int
    accepted: int
    deduplicated: int
    skipped: int
    rejected: Mapping[str, int]
    rejected_columns: Mapping[tuple[str, str], int]
    repaired: Mapping[str, int]


@dataclass(frozen=True)
class Outcome:
    """The three tables that the received rows became.

    ``accepted`` has the silver table's Arrow schema, the others those of ``silver.deduplicated`` and
    ``silver.rejected``. ``skipped`` counts rows that silver already held by position: a rerun after a crash.
    """

    accepted: pa.Table
    deduplicated: pa.Table
    rejected: pa.Table
    received: int
    skipped: int = 0
    repaired: Mapping[str, int] = field(default_factory=dict)

    def summary(self) -> Summary:
        """Counts by outcome, reason and column (``repaired`` only after ``conform(..., explain=True)``)."""
        pairs = pl.DataFrame(self.rejected.select(["reason", "column_name"]))
        counted = pairs.group_by("reason", "column_name", maintain_order=True).len()
        reasons: dict[str, int] = {}
        columns: dict[tuple[str, str], int] = {}
        for reason, column, count in sorted(counted.rows(), key=lambda row: (row[0], row[1] or "")):
            reasons[reason] = reasons.get(reason, 0) + count
            if column is not None:
                columns[reason, column] = count
        return Summary(
            received=self.received,
            accepted=self.accepted.num_rows,
            deduplicated=self.deduplicated.num_rows,
            skipped=self.skipped,
            rejected=reasons,
            rejected_columns=columns,
            repaired=self.repaired,
        )


def accepted_schema(contract: Contract) -> pa.Schema:
    """The silver table's Arrow schema, with the position columns at the end if the contract does not name them."""
    schema = to_arrow(contract)
    for name, type_ in _POSITION_TYPES.items():
        if name not in contract.names:
            schema = schema.append(pa.field(name, type_, nullable=False))
    return schema


def key_text(frame: pl.DataFrame, key: Sequence[str]) -> pl.Series:
    """A primary key as one text, its parts joined by ``|``: timestamps in ISO 8601 with microseconds."""
    parts = [_text(frame.get_column(name)) for name in key]
    return frame.select(pl.concat_str(parts, separator="|").alias("record_key")).to_series()


def _text(series: pl.Series) -> pl.Series:
    if isinstance(series.dtype, pl.Datetime):
        return series.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    return series.cast(pl.String)
