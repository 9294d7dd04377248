"""Write, audit, publish: a write happens on a branch, and becomes the table only by one checked swap.

The branch is made with the first write and named ``audit_<run>_<time>_<random>``. Publishing swaps the table's main
branch to the audit branch's head, if and only if main still is the snapshot that the write started from and the head
descends from it; PyIceberg's own ``set_current_snapshot`` would silently discard what others published meanwhile.
"""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.table.refs import SnapshotRefType
from pyiceberg.table.snapshots import is_ancestor_of

from c360.errors import LakehouseError, PublishConflict
from c360.lakehouse import refs
from c360.lakehouse.arrow import fit, semi_join
from c360.lakehouse.commits import add_snapshot
from c360.lakehouse.faults import named
from c360.lakehouse.files import read_tasks, write_rows
from c360.lakehouse.ledger import TOKEN, Commit
from c360.lakehouse.merge import MergeResult, plan_merge, plan_replace
from c360.lakehouse.snapshots import current_id, move_main

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    import pyarrow as pa
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import FileScanTask, Table, Transaction

    from c360.lakehouse.lake import Lakehouse

BRANCH_PREFIX = "audit_"
BRANCH_AGE = timedelta(days=7)
"""Unpublished branches older than this are dropped by the next write to their table."""
ABANDONED = "c360.abandoned"
_STAMP = "%Y%m%d%H%M%S"
_BRANCH = re.compile(rf"{BRANCH_PREFIX}.*_(\d{{14}})_[0-9a-f]{{4}}")
_RERUN = "rerun: the write starts again from the table as it is now"


class Staged:
    """One staged write. Use as a context manager; leaving it without :meth:`publish` keeps the branch, not the rows."""

    def __init__(self, lake: Lakehouse, name: str, commit: Commit) -> None:
        self._lake = lake
        self.name = name
        self.commit = commit
        table = lake.table(name)
        base = current_id(table)
        if base is None:
            raise LakehouseError(f"{name} has no base snapshot to branch from", "call Lakehouse.ensure(contract) first")
        self.base: int = base
        self._token = secrets.token_hex(8)
        stamp = datetime.now(UTC).strftime(_STAMP)
        self._branch = f"{BRANCH_PREFIX}{re.sub(r'[^0-9A-Za-z]', '_', commit.run_id)}_{stamp}_{self._token[:4]}"
        self._exists = False
        self._closed = False
        self._pending: list[DataFile] = []
        self._scope: pa.Table | None = None

    @property
    def branch(self) -> str:
        """The branch's name; it exists from now on, so that another engine can write to it."""
        if not self._exists:
            self._commit(lambda _transaction: None)
        return self._branch

    @property
    def spark_table(self) -> str:
        """The identifier under which Spark reads and writes this branch."""
        return f"lake.{self.name}.branch_{self.branch}"

    @property
    def spark_options(self) -> Mapping[str, str]:
        """Write options (``DataFrameWriterV2.options``) that put the ledger into Spark's own snapshot.

        Optional: :meth:`publish` adds an empty snapshot with the ledger where the branch's head has none.
        """
        return {f"snapshot-property.{key}": value for key, value in self._properties.items()}

    @property
    def _properties(self) -> dict[str, str]:
        return {**self.commit.properties(), TOKEN: self._token}

    def append(self, rows: pa.Table) -> None:
        """Add ``rows`` (any Arrow table that fits the table's schema). Raises LakehouseError if they do not."""
        self._scope = None
        table = self._lake.table(self.name)
        with named(f"write {self.name}"):
            self._pending += write_rows(table, fit(rows, table.schema(), self.name))

    def overwrite(self, rows: pa.Table, where: str | BooleanExpression | None = None) -> None:
        """Replace all rows, or those that match ``where``, by ``rows``; in one snapshot per kind of change."""
        self._scope = None
        self._flush()
        table = self._lake.table(self.name)
        with named(f"write {self.name}"):
            added = write_rows(table, fit(rows, table.schema(), self.name))
        condition = AlwaysTrue() if where is None else where

        def change(transaction: Transaction) -> None:
            self._stage_delete(transaction, condition)
            add_snapshot(transaction, self._branch, self._properties, added)

        self._commit(change)

    def delete(self, where: str | BooleanExpression) -> None:
        """Remove the rows that match ``where``; files that match wholly are dropped without being read."""
        self._scope = None
        self._flush()
        self._commit(lambda transaction: self._stage_delete(transaction, where))

    def merge(self, rows: pa.Table, on: Sequence[str]) -> MergeResult:
        """Insert or replace ``rows`` by the key columns ``on``, rewriting only files that hold a changed row."""
        self._scope = None
        self._flush()
        table = self._lake.table(self.name)
        with named(f"merge into {self.name}"):
            return self._rewrite(plan_merge(table, self._head(table), self.name, rows, on))

    def replace(self, rows: pa.Table, on: Sequence[str], scope: pa.Table) -> MergeResult:
        """Replace all rows whose ``on`` columns occur in ``scope`` by ``rows`` (each of them within the scope)."""
        self._flush()
        table = self._lake.table(self.name)
        first = not self._exists
        with named(f"merge into {self.name}"):
            result = self._rewrite(plan_replace(table, self._head(table), self.name, rows, on, scope))
        self._scope = scope.select(list(on)) if first else None
        return result

    def delete_keys(self, keys: pa.Table, on: Sequence[str]) -> MergeResult:
        """Remove all rows whose ``on`` columns occur in ``keys``."""
        return self.replace(self._lake.empty(self.name), on, keys)

    def rows(self, columns: Sequence[str] | None = None, where: str | BooleanExpression | None = None) -> pa.Table:
        """The table as it would be once published."""
        self._flush()
        ref = self._branch if self._exists else None
        return self._lake.read(self.name, columns=columns, where=where, ref=ref)

    def changed_rows(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows in the data files that the branch adds: what an audit has to look at.

        After a merge these include the unchanged rows of rewritten files; after one replacement, and nothing else, only
        the rows of its scope.
        """
        self._flush()
        table = self._lake.table(self.name)
        if not self._exists:
            return read_tasks(table, [], columns)
        scope = self._scope
        read = columns if columns is None or scope is None else list(dict.fromkeys([*columns, *scope.column_names]))
        with named(f"read {self.name}"):
            rows = read_tasks(table, self._files(table)[1], read)
        if scope is not None:
            rows = semi_join(rows, scope)
        return rows if columns is None else rows.select(list(columns))

    def replaces_all(self) -> bool:
        """Whether no row stays as it was: :meth:`changed_rows` then are all rows."""
        self._flush()
        with named(f"read {self.name}"):
            return self._exists and self._scope is None and not self._files(self._lake.table(self.name))[0]

    def publish(self) -> int:
        """Make the branch the table; returns the new snapshot id.

        Raises PublishConflict when the table moved since the write was staged, or the branch does not descend from it.
        """
        if self._closed:
            raise LakehouseError(
                f"The staged write to {self.name} was already published or abandoned", "stage a new one"
            )
        self._flush()
        table = self._lake.table(self.name)
        snapshot = table.snapshot_by_name(self._branch)
        summary = snapshot.summary.additional_properties if snapshot and snapshot.summary else {}
        if summary.get(TOKEN) != self._token:
            self._commit(lambda tx: add_snapshot(tx, self._branch, self._properties))
            table = self._lake.table(self.name)
        head = self._head(table)
        self._lake.commit(self.name, lambda fresh: self._publication(fresh, head), f"publish {self.name}")
        self._closed = True
        return head

    def abandon(self, reason: str) -> None:
        """Give the write up: main stays as it is, the branch is kept for a week with ``reason`` in its summary."""
        self._flush()
        self._commit(lambda tx: add_snapshot(tx, self._branch, {**self._properties, ABANDONED: reason}))
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and not self._closed:
            self._flush()
        self._closed = True

    def _files(self, table: Table) -> tuple[list[FileScanTask], list[FileScanTask]]:
        """The data files of the table-to-be: those it had before, and those that the branch adds."""
        before = {task.file.file_path for task in table.scan(snapshot_id=self.base).plan_files()}
        after = list(table.scan(snapshot_id=self._head(table)).plan_files())
        kept = [task for task in after if task.file.file_path in before]
        return kept, [task for task in after if task.file.file_path not in before]

    def _publication(self, table: Table, head: int) -> Transaction | None:
        main = current_id(table)
        if main == head:
            return None  # an earlier attempt landed though its answer was lost
        if main != self.base:
            raise PublishConflict(
                f"{self.name} was at snapshot {self.base} when the write began and is at {main} now", _RERUN
            )
        if table.snapshot_by_name(self._branch) is None or not is_ancestor_of(head, self.base, table.metadata):
            raise PublishConflict(
                f"Branch {self._branch} of {self.name} does not descend from what it would replace", _RERUN
            )
        transaction = move_main(table, head, self.base)
        refs.stage(transaction, (refs.drop(self._branch),), (refs.expect(self._branch, head),))
        return transaction

    def _rewrite(self, plan: MergeResult) -> MergeResult:
        if plan.added or plan.removed:
            self._commit(lambda tx: add_snapshot(tx, self._branch, self._properties, plan.added, plan.removed))
        return plan

    def _stage_delete(self, transaction: Transaction, where: str | BooleanExpression) -> None:
        scan = transaction._scan(where).use_ref(self._branch)
        # PyIceberg warns when a delete meets no row, which is an ordinary case here.
        if any(True for _ in scan.plan_files()):
            transaction.delete(where, snapshot_properties=self._properties, branch=self._branch)

    def _flush(self) -> None:
        if self._pending:
            self._commit(lambda tx: add_snapshot(tx, self._branch, self._properties, self._pending))
            self._pending = []

    def _head(self, table: Table) -> int:
        head = refs.head(table, self._branch) if self._exists else None
        return self.base if head is None else head

    def _commit(self, stage: Callable[[Transaction], None]) -> None:
        def change(table: Table) -> Transaction:
            transaction = table.transaction()
            if not self._exists:
                self._create_branch(table, transaction)
            elif self._branch not in table.refs():
                raise LakehouseError(f"Branch {self._branch} of {self.name} was dropped while it was written", _RERUN)
            stage(transaction)
            return transaction

        self._lake.commit(self.name, change, f"write {self.name}")
        self._exists = True

    def _create_branch(self, table: Table, transaction: Transaction) -> None:
        if table.snapshot_by_id(self.base) is None:
            raise PublishConflict(f"Snapshot {self.base} of {self.name} expired while the write was prepared", _RERUN)
        create = refs.point(self._branch, self.base, SnapshotRefType.BRANCH)
        dropped = tuple(refs.drop(ref) for ref in stale_branches(table))
        refs.stage(transaction, (create, *dropped), (refs.expect(self._branch, None),))


def stale_branches(table: Table, now: datetime | None = None) -> list[str]:
    """Audit branches that nobody published within BRANCH_AGE."""
    oldest = (now or datetime.now(UTC)) - BRANCH_AGE
    stale = []
    for name, ref in table.refs().items():
        match = _BRANCH.fullmatch(name)
        if match is None or ref.snapshot_ref_type != SnapshotRefType.BRANCH:
            continue
        if datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC) < oldest:
            stale.append(name)
    return stale
