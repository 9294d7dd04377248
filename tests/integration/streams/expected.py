"""What the streams must hold after a play, from its ledger alone: Polars on Parquet, and none of the product's code."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

PLACE = ("partition", "offset")
WINDOW = "5m"


@dataclass(frozen=True)
class Expected:
    """The ledger's rows of one topic."""

    rows: pl.DataFrame

    @classmethod
    def of(cls, topic: str, *ledgers: Path) -> Expected:
        found = pl.concat([pl.read_parquet(folder / "part-*.parquet") for folder in ledgers])
        return cls(found.filter(pl.col("topic") == topic))

    @property
    def places(self) -> set[tuple[int, int]]:
        """Partition and offset of every message."""
        return set(self.rows.select(PLACE).iter_rows())

    @property
    def accepted(self) -> set[tuple[str, int, int]]:
        """Event id, partition and offset of what silver must hold."""
        return set(self._with("accepted").select("event_id", *PLACE).iter_rows())

    @property
    def refused(self) -> set[tuple[int, int, str]]:
        """Partition, offset and reason of the dead letters."""
        return set(self._with("rejected").select(*PLACE, "reason").iter_rows())

    @property
    def late(self) -> set[tuple[str, int, int]]:
        """Event id and place of what came after its window."""
        return set(self._with("accepted").filter("late").select("event_id", *PLACE).iter_rows())

    def metrics(self, *, late: bool = False, until: datetime | None = None) -> pl.DataFrame:
        """Count, values and sum by window, type and measure, of windows that end by ``until``."""
        rows = self._with("accepted") if late else self._with("accepted").filter(~pl.col("late"))
        start = pl.col("event_timestamp").dt.truncate(WINDOW).alias("window_start")
        found = (
            rows.with_columns(start)
            .group_by("window_start", "event_type", "measure")
            .agg(
                pl.len().cast(pl.Int64).alias("event_count"),
                pl.col("measured").count().cast(pl.Int64).alias("value_count"),
                pl.col("measured").sum().alias("value_sum"),
            )
        )
        if until is not None:
            found = found.filter(pl.col("window_start") + timedelta(minutes=5) <= until)
        return found.sort("window_start", "event_type", "measure")

    def _with(self, outcome: str) -> pl.DataFrame:
        return self.rows.filter(pl.col("outcome") == outcome)
