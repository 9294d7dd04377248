"""Insert or replace by key, copy-on-write, touching only the files that hold an affected row.

PyIceberg's own upsert turns every key into a term of one huge predicate. Here keys are joined: candidate files are
chosen by their bounds and partitions, their key columns are read and joined with the given keys, and only files that
really hold a row to change are streamed into new ones. Rows stay in the file (so in the key range) where they were,
which keeps the bounds tight for the next merge. Memory: the given rows, one file's key columns, and per worker a few
row groups.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from c360.errors import LakehouseError
from c360.lakehouse.arrow import arrow_schema, fit
from c360.lakehouse.files import partition_keys, write_rows
from c360.lakehouse.keys import KEY, Match, comparable, find, key_frame
from c360.lakehouse.rewrite import replace_rows, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table

MAX_WORKERS = 4


@dataclass(frozen=True)
class MergeResult:
    """What a merge does to a table; nothing at all when neither ``added`` nor ``removed`` names a data file.

    ``inserted`` rows have new keys, ``replaced`` rows took the place of rows in rewritten files, ``unchanged`` rows
    were there already, ``deleted`` rows are gone.
    """

    inserted: int = 0
    replaced: int = 0
    unchanged: int = 0
    deleted: int = 0
    added: list[DataFile] = field(default_factory=list, repr=False)
    removed: list[DataFile] = field(default_factory=list, repr=False)


def plan_merge(table: Table, snapshot_id: int, name: str, rows: pa.Table, on: Sequence[str]) -> MergeResult:
    """Write the files that insert or replace ``rows`` by their key ``on``; commit nothing.

    Raises LakehouseError for null or repeated keys. Where the table itself repeats a key, one row remains.
    """
    rows = fit(rows, table.schema(), name)
    keys = key_frame(rows, on, name, "Rows")
    repeated = keys.height - keys.unique().height
    if repeated:
        raise LakehouseError(f"Rows for {name} repeat a key {repeated} times", "keep one row per key before merging")
    if not keys.height:
        return MergeResult()
    matches = find(table, snapshot_id, keys)
    times = np.zeros(keys.height, dtype=np.int64)
    for match in matches:
        np.add.at(times, match.keys, 1)
    forced = [bool((times[match.keys] > 1).any()) for match in matches]
    home, elsewhere = _place(table, rows, matches, np.arange(keys.height))
    done = _rewrite(table, matches, forced, home, rows)
    unchanged = [match for match, new in zip(matches, done, strict=True) if new is False]
    for match in unchanged:
        elsewhere[match.keys] = False
    kept = sum(len(match.keys) for match in unchanged)
    matched = int((times > 0).sum())
    return MergeResult(
        inserted=keys.height - matched,
        replaced=matched - kept,
        unchanged=kept,
        deleted=int(times.sum()) - matched,
        added=[*_files(done), *_insert(table, rows, elsewhere, on)],
        removed=[match.task.file for match, new in zip(matches, done, strict=True) if new is not False],
    )


def plan_replace(
    table: Table, snapshot_id: int, name: str, rows: pa.Table, on: Sequence[str], scope: pa.Table
) -> MergeResult:
    """Write the files that make ``rows`` the only rows whose ``on`` columns occur in ``scope``; commit nothing.

    A key whose rows are the same before and after (in any order) is left alone. Raises LakehouseError for null keys
    and for rows outside the scope.
    """
    rows = fit(rows, table.schema(), name)
    shape = arrow_schema(table.schema().select(*on)) if on else pa.schema([])
    given_scope = [f for f in shape if f.name in scope.column_names]
    scope = pa.table([scope.column(f.name).cast(f.type) for f in given_scope], schema=pa.schema(given_scope))
    keys = key_frame(scope, on, name, "Scope keys").unique(maintain_order=True)
    if not keys.height and not rows.num_rows:
        return MergeResult()
    scoped = comparable(keys).with_row_index(KEY)
    given = comparable(key_frame(rows, on, name, "Rows")).join(
        scoped, on=[column for column in scoped.columns if column != KEY], how="left", maintain_order="left"
    )
    outside = given.get_column(KEY).null_count()
    if outside:
        raise LakehouseError(
            f"{outside} rows for {name} lie outside the scope they replace", "widen the scope, or drop them"
        )
    row_keys = given.get_column(KEY).to_numpy().astype(np.int64)
    found = find(table, snapshot_id, keys)
    changed = _changed_keys(table, found, rows, row_keys, keys.height)
    matches = []
    for match in found:
        mask = changed[match.keys]
        if mask.any():
            matches.append(Match(match.task, match.positions[mask], match.keys[mask]))
    home, elsewhere = _place(table, rows, matches, row_keys)
    elsewhere &= changed[row_keys]
    done = _rewrite(table, matches, [True] * len(matches), home, rows)
    touched = int(changed[row_keys].sum())
    gone = sum(len(match.keys) for match in matches)
    return MergeResult(
        inserted=max(0, touched - gone),
        replaced=min(touched, gone),
        unchanged=rows.num_rows - touched,
        deleted=max(0, gone - touched),
        added=[*_files(done), *_insert(table, rows, elsewhere, on)],
        removed=[match.task.file for match in matches],
    )


def _changed_keys(
    table: Table, found: list[Match], rows: pa.Table, row_keys: np.ndarray[Any, Any], keys: int
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which keys have other rows now than ``rows`` gives them, compared as multisets of whole rows."""
    parts = [_signed(rows, row_keys, 1)]
    for match in found:
        parts += [
            _signed(old.cast(rows.schema), match.keys[met], -1)
            for _, old, met in split(table, match.task, match.positions)
            if old.num_rows
        ]
    both = pl.concat(parts)
    uneven = both.group_by([c for c in both.columns if c != "__sign"]).agg(pl.col("__sign").sum())
    changed = np.zeros(keys, dtype=bool)
    changed[uneven.filter(pl.col("__sign") != 0).get_column(KEY).to_numpy()] = True
    return changed


def _signed(rows: pa.Table, keys: np.ndarray[Any, Any], sign: int) -> pl.DataFrame:
    frame = pl.from_arrow(rows)
    assert isinstance(frame, pl.DataFrame)
    return frame.with_columns(pl.Series(KEY, keys, dtype=pl.Int64), pl.lit(sign, dtype=pl.Int32).alias("__sign"))


def _place(
    table: Table, rows: pa.Table, matches: list[Match], row_keys: np.ndarray[Any, Any]
) -> tuple[list[np.ndarray[Any, Any]], np.ndarray[Any, np.dtype[np.bool_]]]:
    """Per match, which of ``rows`` go into its rewritten file; and the rows that go into files of their own.

    A row stays with the first file that held its key, unless its partition is another one now.
    """
    owner = np.full(int(row_keys.max(initial=-1)) + 1, -1, dtype=np.int64)
    for i in range(len(matches) - 1, -1, -1):
        known = matches[i].keys[matches[i].keys < len(owner)]
        owner[known] = i
    target = owner[row_keys]
    if not table.spec().is_unpartitioned() and matches:
        group, records = partition_keys(table.metadata, rows)
        current = table.spec().spec_id
        fits = np.zeros((len(matches), len(records)), dtype=bool)
        for i, match in enumerate(matches):
            file = match.task.file
            fits[i] = [file.spec_id == current and file.partition == record for record in records]
        target = np.where((target >= 0) & fits[np.maximum(target, 0), group], target, -1)
    return [np.flatnonzero(target == i) for i in range(len(matches))], target < 0


def _rewrite(
    table: Table, matches: list[Match], forced: list[bool], home: list[np.ndarray[Any, Any]], rows: pa.Table
) -> list[list[DataFile] | bool]:
    """Per match the new files, or False where the file stays. Files of an older partition spec are split anew."""

    def one(i: int) -> list[DataFile] | bool:
        match = matches[i]
        incoming = rows.take(home[i])
        if match.task.file.spec_id != table.spec().spec_id:
            return _respecify(table, match, rows)
        new = replace_rows(table, match, rows, incoming, always=forced[i])
        if isinstance(new, bool):
            return new
        return [new] if new is not None else []

    workers = max(1, min(MAX_WORKERS, os.cpu_count() or 1, len(matches)))
    with ThreadPoolExecutor(workers, thread_name_prefix="merge") as pool:
        return list(pool.map(one, range(len(matches))))


def _respecify(table: Table, match: Match, rows: pa.Table) -> list[DataFile]:
    parts = [kept for kept, _, _ in split(table, match.task, match.positions)]
    kept = pa.concat_tables(parts).cast(rows.schema) if parts else rows.slice(0, 0)
    return write_rows(table, kept)


def _insert(table: Table, rows: pa.Table, where: np.ndarray[Any, Any], on: Sequence[str]) -> list[DataFile]:
    """New files for rows without a home, in key order, so that later merges find them by bounds."""
    if not where.any():
        return []
    fresh = pl.from_arrow(rows.filter(pa.array(where)))
    assert isinstance(fresh, pl.DataFrame)
    return write_rows(table, fresh.sort(list(on)).to_arrow().cast(rows.schema))


def _files(done: list[list[DataFile] | bool]) -> list[DataFile]:
    return [file for new in done if not isinstance(new, bool) for file in new]
