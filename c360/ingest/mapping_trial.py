"""A dry run: what ingestion would make of a file, found out by the real reader and the real rules, in memory.

Nothing is written into the landing folder or the lakehouse; the mapped records pass through a temporary folder that is
gone afterwards. What silver holds already is not looked at, so a dry run judges the file by itself.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pyarrow as pa

from c360.conform import Outcome, conform
from c360.ingest.land import Plan, write
from c360.ingest.mapping_run import Conversion, Converted, Tally
from c360.ingest.mapping_source import RECORD
from c360.ingest.readers import read_landing_file

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLES = 5
DEFAULT_SAMPLE = 1_000_000


@dataclass(frozen=True)
class Sample:
    """One rejected record: where it is in the source file, its key, and the value that was refused."""

    place: str
    key: str | None
    value: str | None


@dataclass(frozen=True)
class Rejection:
    """All records refused for one reason at one column, with some of them."""

    reason: str
    column: str | None
    count: int
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Repair:
    """Accepted values that the contract's rules changed in one column, with some (before, after)."""

    column: str
    count: int
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Trial:
    """The whole dry run; ``received = accepted + deduplicated + rejected``."""

    file: str
    target: str
    complete: bool
    tally: Tally
    received: int
    accepted: int
    deduplicated: int
    rejected: int
    repairs: tuple[Repair, ...]
    rejections: tuple[Rejection, ...]
    duplicates: tuple[Sample, ...]
    unused: tuple[str, ...]
    unmapped: tuple[str, ...]

    @property
    def rejected_share(self) -> float:
        """Rejected of received, 0 to 1."""
        return self.rejected / self.received if self.received else 0.0


@dataclass
class _Places:
    """Record numbers of the source file, by row of the two landing files."""

    main: list[np.ndarray] = field(default_factory=list)
    malformed: list[int] = field(default_factory=list)

    def note(self, batch: Converted) -> None:
        self.main.append(batch.table.column(RECORD).to_numpy())
        self.malformed += [m.record for m in batch.malformed]


def try_out(
    plan: Plan,
    batch_date: date | None = None,
    sample: int | None = DEFAULT_SAMPLE,
    progress: Callable[[Tally], None] | None = None,
) -> Trial:
    """Map the first ``sample`` records (None: all) and conform them.

    Raises what landing would raise: :class:`c360.errors.LandingError` and its subclass for mappings.
    """
    tally, places = Tally(), _Places()

    def seen(batch: Converted) -> None:
        places.note(batch)
        if progress:
            progress(tally)

    with (
        tempfile.TemporaryDirectory(prefix="c360-dry-run-") as folder,
        Conversion(plan.mapping, plan.target, plan.path, plan.lookups) as conversion,
    ):
        main, malformed = Path(folder) / "mapped.parquet", Path(folder) / "mapped.malformed.csv"
        write(conversion.run(tally, sample), plan, main, malformed, seen)
        plan.check_unchanged()
        day = batch_date or datetime.now(UTC).date()
        files = [f for f in (main, malformed) if f.exists()]
        raw = pa.concat_tables([read_landing_file(f, f.name, plan.target.bronze, day) for f in files])
        outcome = conform(raw, plan.target.silver, explain=True)
        return _trial(plan, conversion, tally, places, raw, outcome, complete=sample is None or tally.read < sample)


def _trial(
    plan: Plan,
    conversion: Conversion,
    tally: Tally,
    places: _Places,
    raw: pa.Table,
    outcome: Outcome,
    *,
    complete: bool,
) -> Trial:
    groups = (
        _frame(outcome.rejected)
        .group_by("reason", "column_name", maintain_order=True)
        .agg(
            pl.len().alias("count"),
            pl.struct("source_file", "source_row", "record_key", "value", "record").head(SAMPLES),
        )
        .sort("count", descending=True, maintain_order=True)
    )
    rows = [(g["reason"], g["column_name"], g["count"], g["source_file"]) for g in groups.to_dicts()]
    repeated = _frame(outcome.deduplicated).head(SAMPLES).to_dicts()
    wanted = [s for *_, samples in rows for s in samples] + repeated
    located = _locate(conversion, places, wanted)

    def sample(row: dict[str, object]) -> Sample:
        value = row.get("value") if row.get("value") is not None else row.get("record")
        text = None if value is None else str(value)[:200]
        key = row.get("record_key")
        return Sample(
            located[str(row["source_file"]), int(str(row["source_row"]))], None if key is None else str(key), text
        )

    return Trial(
        file=plan.path.name,
        target=plan.target.name,
        complete=complete,
        tally=tally,
        received=outcome.received,
        accepted=outcome.accepted.num_rows,
        deduplicated=outcome.deduplicated.num_rows,
        rejected=outcome.rejected.num_rows,
        repairs=_repairs(plan, raw, outcome),
        rejections=tuple(Rejection(r, c, n, tuple(map(sample, samples))) for r, c, n, samples in rows),
        duplicates=tuple(map(sample, repeated)),
        unused=conversion.unused,
        unmapped=conversion.unmapped,
    )


def _locate(conversion: Conversion, places: _Places, rows: list[dict[str, object]]) -> dict[tuple[str, int], str]:
    """(landing file, row) → where the record is in the source file."""
    main = np.concatenate(places.main) if places.main else np.array([], dtype=np.int64)
    records: dict[tuple[str, int], int] = {}
    for row in rows:
        file, number = str(row["source_file"]), int(str(row["source_row"]))
        records[file, number] = places.malformed[number - 1] if file.endswith(".csv") else int(main[number - 1])
    lines = conversion.source.places(records.values())
    return {key: lines.get(record, f"record {record}") for key, record in records.items()}


def _repairs(plan: Plan, raw: pa.Table, outcome: Outcome) -> tuple[Repair, ...]:
    counts = outcome.summary().repaired
    repairs: list[Repair] = []
    sources = {c.name: c.source or c.name for c in plan.target.silver.columns}
    position = ["_source_file", "_source_row"]
    for column, count in sorted(counts.items(), key=lambda item: -item[1]):
        before = _frame(raw.select([*position, sources[column]])).rename({sources[column]: "before"})
        after = _frame(outcome.accepted.select([*position, column])).rename({column: "after"})
        pairs = before.join(after, on=position, maintain_order="left").with_columns(pl.col("after").cast(pl.String))
        changed = pairs.filter(pl.col("before").ne_missing(pl.col("after")) & (pl.col("before").str.len_bytes() > 0))
        shown = changed.select("before", "after").unique(maintain_order=True).head(3).rows()
        repairs.append(Repair(column, count, tuple((str(b), "null" if a is None else str(a)) for b, a in shown)))
    return tuple(repairs)


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame
