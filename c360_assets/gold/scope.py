"""What a refresh has to look at: slices of the inputs, and the rows of the target that they replace.

A plan never computes a gold value. It only names keys; the table's one SQL file does the rest, over slices in a refresh
and over whole tables in a full build, so that both give the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Literal, Protocol

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


class RebuildNeededError(Exception):
    """A refresh cannot know what changed; the message says why. The runner then builds the table in full."""


class Upstream(Protocol):
    """The inputs of one gold table, each pinned to one snapshot, and what the last build consumed of them."""

    @property
    def as_of(self) -> datetime:
        """The moment that decides recency."""

    @property
    def built_as_of(self) -> datetime | None:
        """The moment of the last build; None for a table that does not depend on it."""

    def changed(self, table: str) -> bool:
        """Whether the table has another snapshot than the one consumed last."""

    def added(self, table: str, *columns: str) -> pl.DataFrame:
        """Rows appended to a silver table since then. Raises RebuildNeededError if its history does not tell."""

    def rewritten(self, table: str, *columns: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows of the data files that only the consumed snapshot has, and of those that only the pinned one has."""

    def scan(self, table: str) -> pl.LazyFrame:
        """The table at its pinned snapshot."""

    def consumed_scan(self, table: str) -> pl.LazyFrame:
        """The table at the snapshot consumed last."""

    def target(self) -> pl.LazyFrame:
        """The gold table itself, as published."""


@dataclass(frozen=True)
class Slice:
    """The rows of ``table`` whose ``column`` is one of ``keys``; or its day or the first of its month, in UTC."""

    upstream: Upstream
    table: str
    column: str
    keys: pl.Series
    columns: tuple[str, ...]
    per: Literal["value", "day", "month"] = "value"

    @cached_property
    def frame(self) -> pl.DataFrame:
        """The rows themselves, read once."""
        source = self.upstream.scan(self.table)
        column = pl.col(self.column)
        if self.per == "value":
            return source.filter(column.is_in(self.keys.implode())).select(self.columns).collect()
        low, high = self.span()
        day = column.dt.date()
        chosen = (day if self.per == "day" else day.dt.month_start()).is_in(self.keys.implode())
        # the plain range lets whole files be skipped, which a day of a moment does not
        inside = (column >= pl.lit(low).cast(UTC)) & (column < pl.lit(high).cast(UTC))
        return source.filter(inside).select(self.columns).filter(chosen).collect()

    def span(self) -> tuple[date, date]:
        """The first day of its days or months, and the first one after them."""
        low, high = self.keys.min(), self.keys.max()
        assert isinstance(low, date)
        assert isinstance(high, date)
        return low, high + timedelta(days=1 if self.per == "day" else 31)

    def values(self, column: str) -> pl.Series:
        """The distinct non-null values of one of its columns."""
        return self.frame.get_column(column).drop_nulls().unique()


UTC = pl.Datetime("us", "UTC")


@dataclass(frozen=True)
class Scope:
    """The plan of a refresh.

    ``views`` replaces inputs of the SQL file by slices or ready rows; the others are read whole. The result replaces
    the target's rows whose ``on`` is one of ``keys``; without ``on`` it replaces all of them.
    """

    views: Mapping[str, Slice | pl.DataFrame] = field(default_factory=dict)
    on: str | None = None
    keys: pl.Series | None = None

    @property
    def affected(self) -> int | None:
        """How many keys the refresh rewrites; None for all."""
        return None if self.keys is None else len(self.keys)


NOTHING = Scope(on="", keys=pl.Series("key", [], pl.String))
"""The plan when nothing that changed upstream matters to the table."""


def values(rows: pl.LazyFrame, column: str) -> pl.Series:
    """The distinct non-null values of a column."""
    return rows.select(pl.col(column).drop_nulls().unique()).collect().get_column(column)


def distinct(*series: pl.Series) -> pl.Series:
    """The sorted union of keys, without nulls."""
    return pl.concat([s.alias("key") for s in series]).drop_nulls().unique().sort()


def differences(up: Upstream, table: str, columns: Sequence[str]) -> pl.DataFrame:
    """The distinct ``columns`` of rows that the consumed and the pinned snapshot of ``table`` do not have alike.

    A rewritten file mostly holds rows that stayed as they were: rows are compared as a multiset, and those cancel out.
    """
    before, after = up.rewritten(table, *columns)
    signed = pl.concat([before.with_columns(sign=pl.lit(-1)), after.with_columns(sign=pl.lit(1))])
    return signed.group_by(columns).agg(pl.col("sign").sum()).filter(pl.col("sign") != 0).drop("sign")


def around(moments: pl.Series) -> pl.Expr:
    """Rows ordered between the earliest and the latest of ``moments``, or never if one is null."""
    column = pl.col("ordered_at")
    low, high = moments.min(), moments.max()
    inside = pl.lit(value=False) if low is None else (column >= pl.lit(low)) & (column <= pl.lit(high))
    return inside | column.is_null() if moments.null_count() else inside


def moved(up: Upstream, dimension: str, surrogate: str, key: str) -> pl.DataFrame:
    """Members of a type 2 dimension whose history changed: ``key`` and ``since``, the first moment it is told anew.

    The versions of a member decide all its validity ranges, and the attributes of a version never change: facts before
    the earliest version that came, went or moved keep theirs.
    """
    versions = differences(up, dimension, (surrogate, key, "valid_from"))
    return versions.group_by(key).agg(pl.col("valid_from").min().alias("since"))
