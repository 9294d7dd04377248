"""What is true after a set of changes, in whatever order they came: which rows there are, and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from c360.cdc.schema import ShopTable

BEFORE_ALL = -(2**63)
"""Before the first position of any log."""

ORDER = ("lsn", "told", "kafka_offset")


def truncated_at(changes: pl.DataFrame) -> int:
    """Where the table was emptied last; BEFORE_ALL if never."""
    found: Any = changes.filter(pl.col("op") == "t").get_column("lsn").max()
    return BEFORE_ALL if found is None else int(found)


def alive(changes: pl.DataFrame, key: Sequence[str], truncated: int) -> pl.DataFrame:
    """The newest change of each key, where it is no deletion and the table was not emptied after it.

    What a message told at a position counts more than what was inferred there: a row of a snapshot that comes late
    takes back the deletion that its absence meant.
    """
    return (
        changes.filter((pl.col("op") != "t") & (pl.col("lsn") > truncated))
        .with_columns(told=~pl.col("inferred"))
        .sort(ORDER)
        .unique(list(key), keep="last", maintain_order=True)
        .filter(pl.col("op") != "d")
        .drop("told")
    )


def unmentioned(changes: pl.DataFrame, key: Sequence[str], lsn: int) -> pl.DataFrame:
    """The newest changes of rows that were there before ``lsn``, where all rows were read, and were not among these."""
    before = changes.filter(pl.col("lsn") < lsn)
    mentioned = changes.filter((pl.col("lsn") == lsn) & ((pl.col("op") == "r") | (pl.col("op") == "d")))
    return alive(before, key, truncated_at(before)).join(mentioned, on=list(key), how="anti")


def versions(changes: pl.DataFrame, table: ShopTable) -> pl.DataFrame:
    """The versions of rows (SCD2): columns of the table, ``valid_from``, ``valid_to`` (null: now), without overlap.

    A version holds from the row's own moment of change; it ends with the next one, and with a deletion at its commit.
    What is read or written again without a difference is no new version.
    """
    key, columns = list(table.key), list(table.names)
    emptied = changes.filter(pl.col("op") == "t").select("lsn", "committed_at", "kafka_offset")
    keys = changes.filter(pl.col("op") != "t").select(key).unique()
    ends = keys.join(emptied, how="cross").with_columns(op=pl.lit("d"), inferred=pl.lit(value=False))
    told = changes.filter(pl.col("op") != "t")
    content = pl.struct(columns)
    steps = (
        pl.concat([told, ends], how="diagonal")
        .with_columns(told=~pl.col("inferred"))
        .sort([*key, *ORDER])
        .filter(pl.col("lsn").ne_missing(pl.col("lsn").shift(-1).over(key)))
        .with_columns(gone=pl.col("op") == "d")
        # A version never begins before the one that it follows, whatever the row says.
        .with_columns(
            valid_from=pl.when("gone")
            .then("committed_at")
            .otherwise(pl.coalesce("changed_at", "committed_at"))
            .cum_max()
            .over(key)
        )
    )
    again = (content == content.shift(1).over(key)) & ~pl.col("gone").shift(1).over(key) & ~pl.col("gone")
    return (
        steps.filter(~again.fill_null(value=False))
        .with_columns(valid_to=pl.col("valid_from").shift(-1).over(key))
        .filter(~pl.col("gone") & pl.col("valid_to").gt(pl.col("valid_from")).fill_null(value=True))
        .select(*columns, "valid_from", "valid_to")
    )
