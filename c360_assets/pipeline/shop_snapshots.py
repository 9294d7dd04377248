"""All rows read anew (``c360 cdc begin-anew``): which rows are gone, although nobody told their deletion.

A row that was there before such a reading, and is not among what it read, was deleted meanwhile. Its history gets a
deletion, marked ``inferred``, at the reading's position. A row of the reading that comes after this takes its deletion
back (:func:`c360.cdc.state.alive`), and changes from before the reading that come late are compared with it again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from c360.cdc.connector import topic
from c360.cdc.contracts import history_name
from c360.cdc.decode import DEAD
from c360.cdc.message import LAST, LAST_OF_TABLE, read_key
from c360.cdc.state import unmentioned
from c360.cdc.values import Refused
from c360.lakehouse.lookup import lookup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from c360.cdc.schema import ShopTable
    from c360.lakehouse import Lakehouse

_END = re.compile(rf'"snapshot"\s*:\s*"({LAST}|{LAST_OF_TABLE})"'.encode())
_LSN = re.compile(rb'"lsn"\s*:\s*(\d{1,18})\b')
_AT = re.compile(rb'"ts_ms"\s*:\s*(\d{1,13})\b')
_STATE = ("lsn", "op", "inferred", "kafka_offset")


@dataclass(frozen=True)
class Inferred:
    """Deletions as rows of the history, and the readings (position: moment in microseconds) compared so far."""

    rows: pa.Table
    compared: Mapping[int, int]


def end_in(value: bytes | None) -> tuple[str, int, int] | None:
    """Mark, position and moment of a refused message that ended a reading: the row is bad, the mark is not."""
    found = [] if value is None else [pattern.search(value) for pattern in (_END, _LSN, _AT)]
    if not found or any(match is None for match in found):
        return None
    mark, lsn, at = (match[1] for match in found if match is not None)
    return mark.decode(), int(lsn), int(at) * 1000


def inferred_deletions(
    lake: Lakehouse,
    table: ShopTable,
    fresh: pa.Table,
    ends: Mapping[int, int],
    done: Mapping[int, int],
    dead: pa.Table,
    kept: pa.Table | None = None,
) -> Inferred:
    """Compare the published history and ``fresh`` rows with readings that have come to their ends.

    ``done`` are those that the published history was compared with, ``dead`` the letters of this run. ``kept`` stands
    for the published history where that is about to be replaced.
    """
    name, key = history_name(table.name), list(table.key)
    first = pl.Series(fresh.column("lsn")).min() if fresh.num_rows else None
    todo = sorted(
        lsn
        for lsn in {**done, **ends}
        if lsn not in done or kept is not None or (first is not None and first < lsn)  # type: ignore[operator]
    )
    compared = {**done, **ends}
    if not todo:
        return Inferred(fresh.slice(0, 0), compared)
    columns = [*key, *_STATE]
    published = lake.read(name, columns=columns) if kept is None else kept.select(columns)
    changes = pl.concat([pl.DataFrame(published), pl.DataFrame(fresh.select(columns))])
    unread = _unread_keys(lake, table, dead)
    found: list[pl.DataFrame] = []
    for lsn in todo:
        gone = unmentioned(changes, key, lsn).join(unread, on=key, how="anti")
        if gone.height:
            rows = gone.select(*key, "kafka_offset", told=pl.col("lsn")).with_columns(
                lsn=pl.lit(lsn, pl.Int64), at=pl.lit(compared[lsn], pl.Int64)
            )
            found.append(rows)
            deletions = gone.with_columns(lsn=pl.lit(lsn, pl.Int64), op=pl.lit("d"), inferred=pl.lit(value=True))
            changes = pl.concat([changes, deletions.select(columns)])
    if not found:
        return Inferred(fresh.slice(0, 0), compared)
    return Inferred(_as_rows(lake, table, fresh, pl.concat(found), kept), compared)


def _as_rows(lake: Lakehouse, table: ShopTable, fresh: pa.Table, gone: pl.DataFrame, kept: pa.Table | None) -> pa.Table:
    """Deletions with the row as it was known last."""
    key = list(table.key)
    known = lookup(lake, history_name(table.name), gone.select(key).unique().to_arrow()) if kept is None else kept
    rows = pl.concat([pl.DataFrame(known), pl.DataFrame(fresh)]).filter(pl.col("op") != "d")
    last = rows.rename({"lsn": "told"}).unique([*key, "told", "kafka_offset"])
    made = gone.join(last, on=[*key, "told", "kafka_offset"], how="left").with_columns(
        op=pl.lit("d"),
        inferred=pl.lit(value=True),
        transaction_id=pl.lit(None, pl.Int64),
        committed_at=pl.from_epoch("at", time_unit="us").dt.replace_time_zone("UTC"),
    )
    return made.select(fresh.column_names).to_arrow().cast(fresh.schema)


def _unread_keys(lake: Lakehouse, table: ShopTable, dead: pa.Table) -> pl.DataFrame:
    """Keys of refused messages: such a row may well be there, only nobody could read it."""
    letters = lake.read(DEAD, columns=["key"], where=f"source_topic = '{topic(table.name)}'").column("key").to_pylist()
    found = set()
    for key in {*letters, *dead.column("key").to_pylist()}:
        try:
            found.add(tuple(read_key(table, key).values()))
        except Refused:
            continue
    types = {name: pl.DataFrame(lake.empty(history_name(table.name)).select([name])).schema[name] for name in table.key}
    return pl.DataFrame([dict(zip(table.key, values, strict=True)) for values in found], schema=types)
