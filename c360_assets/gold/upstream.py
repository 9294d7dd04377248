"""The inputs of one gold table, each pinned to the snapshot that the build consumes and records."""

from __future__ import annotations

import os
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from c360.errors import LakehouseError
from c360.lakehouse.changes import changes
from c360.lakehouse.files import read_tasks
from c360.lakehouse.ledger import AS_OF, CommitInfo, last_commit
from c360_assets.gold.scope import RebuildNeededError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pyiceberg.table import Table

    from c360.lakehouse import Lakehouse


class LakeUpstream:
    """Pinned Iceberg tables behind :class:`~c360_assets.gold.scope.Upstream`."""

    def __init__(self, lake: Lakehouse, target: str, inputs: Iterable[str], as_of: datetime) -> None:
        self.name = target
        self.as_of = as_of
        self._target = lake.table(target)
        self._tables = {name: lake.table(name) for name in inputs}
        self.last: CommitInfo | None = last_commit(self._target)
        self.consumed: Mapping[str, int] = self.last.sources if self.last else {}

    @property
    def built_as_of(self) -> datetime | None:
        """The moment of the last build, from its commit."""
        return as_of_of(self.last)

    @property
    def sources(self) -> dict[str, int]:
        """Each input and the snapshot it is pinned to, for the commit."""
        return {name: pin for name in self._tables if (pin := self.pin(name)) is not None}

    @property
    def watermark(self) -> str | None:
        """The newest batch date (ISO) that any input contains."""
        found = [info.watermark for info in map(last_commit, self._tables.values()) if info and info.watermark]
        return max(found, default=None)

    @property
    def target_rows(self) -> int:
        """Published rows of the target."""
        return self._target.scan().count()

    def pin(self, table: str) -> int | None:
        """The snapshot that the table is read at; None for one that was never written."""
        snapshot = self._tables[table].current_snapshot()
        return snapshot.snapshot_id if snapshot else None

    def require_as_of(self, table: str) -> None:
        """Refuse an input that was built as of another moment; LakehouseError names the mend."""
        built = as_of_of(last_commit(self._tables[table]))
        if built != self.as_of:
            was = "was never built" if built is None else f"was built as of {built.isoformat()}"
            raise LakehouseError(
                f"{self.name} is due as of {self.as_of.isoformat()}, but its input {table} {was}",
                f"materialise {table} as of the same moment first",
            )

    def changed(self, table: str) -> bool:
        """Whether the table has another snapshot than the one consumed last."""
        return self.consumed.get(table) != self.pin(table)

    def added(self, table: str, *columns: str) -> pl.DataFrame:
        """Rows appended since the snapshot consumed last."""
        source = self._tables[table]
        if not self.changed(table):
            return _frame(read_tasks(source, [], columns), columns)
        found = changes(source, self._known(table), columns)
        if found.is_full:
            raise RebuildNeededError(f"{table} does not keep its history back to the snapshot consumed last")
        return _frame(found.rows, columns)

    def rewritten(self, table: str, *columns: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Rows of the files that the consumed and the pinned snapshot do not share."""
        source = self._tables[table]
        if not self.changed(table):
            nothing = _frame(read_tasks(source, [], columns), columns)
            return nothing, nothing
        known = self._kept(table)
        before = {task.file.file_path: task for task in source.scan(snapshot_id=known).plan_files()}
        after = {task.file.file_path: task for task in source.scan().plan_files()}
        gone = [task for path, task in before.items() if path not in after]
        come = [task for path, task in after.items() if path not in before]
        return _frame(read_tasks(source, gone, columns), columns), _frame(read_tasks(source, come, columns), columns)

    def scan(self, table: str) -> pl.LazyFrame:
        """The table at its pinned snapshot; filters reach its files."""
        return _scan(self._tables[table])

    def consumed_scan(self, table: str) -> pl.LazyFrame:
        """The table at the snapshot consumed last."""
        return _scan(self._tables[table], self._kept(table))

    def target(self) -> pl.LazyFrame:
        """The target as published."""
        return _scan(self._target)

    def _kept(self, table: str) -> int:
        known = self._known(table)
        if self._tables[table].snapshot_by_id(known) is None:
            raise RebuildNeededError(f"{table} does not keep its history back to the snapshot consumed last")
        return known

    def _known(self, table: str) -> int:
        known = self.consumed.get(table)
        if known is None:
            raise RebuildNeededError(f"the last build did not read {table}")
        return known


def as_of_of(commit: CommitInfo | None) -> datetime | None:
    """The moment that a commit was built as of; None if it does not depend on one."""
    text = commit.extra.get(AS_OF) if commit else None
    return datetime.fromisoformat(text) if text else None


def _scan(table: Table, snapshot_id: int | None = None) -> pl.LazyFrame:
    current = table.current_snapshot()
    if current is None:
        return _frame(read_tasks(table, []), table.schema().column_names).lazy()
    os.environ.setdefault("POLARS_ICEBERG_PLANNER", "pyiceberg")
    return pl.scan_iceberg(table, snapshot_id=snapshot_id or current.snapshot_id)


def _frame(rows: object, columns: Iterable[str]) -> pl.DataFrame:
    frame = pl.from_arrow(rows)  # type: ignore[arg-type]
    assert isinstance(frame, pl.DataFrame)
    return frame.select(list(columns))
