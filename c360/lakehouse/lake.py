"""The lakehouse as the product sees it: tables by contract, read at any point, written by write-audit-publish."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Self

from pyiceberg.exceptions import NamespaceAlreadyExistsError, NoSuchTableError, TableAlreadyExistsError
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.table.refs import MAIN_BRANCH
from sqlalchemy.exc import IntegrityError

from c360.contracts import to_iceberg_schema, to_partition_spec, to_properties
from c360.errors import LakehouseError
from c360.lakehouse import changes as changing
from c360.lakehouse import commits, ledger, snapshots
from c360.lakehouse.arrow import arrow_schema
from c360.lakehouse.catalog import open_catalog
from c360.lakehouse.evolution import evolve
from c360.lakehouse.faults import named, retry_contention
from c360.lakehouse.staged import Staged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from types import TracebackType

    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import DataScan, Table, Transaction

    from c360.contracts import Contract
    from c360.lakehouse.changes import Changes
    from c360.lakehouse.ledger import Commit, CommitInfo
    from c360.settings import Settings

LOCK_TIMEOUT_S = 60.0
TABLE_DEFAULTS = {
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "100",
}
"""Each commit writes a metadata file; without a limit a table's folder grows by one for ever."""


class Lakehouse:
    """Tables of the catalog ``lake``, named ``<layer>.<table>``.

    Opened lazily and safe to share between threads; processes open their own. ``lock_timeout_s`` bounds in seconds how
    long a commit waits for other writers. All methods raise LakehouseError naming the mend.
    """

    def __init__(self, settings: Settings, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
        self.settings = settings
        self.lock_timeout_s = lock_timeout_s
        self._catalog: Catalog | None = None
        self._opening = Lock()

    @property
    def catalog(self) -> Catalog:
        """The PyIceberg catalog behind it."""
        with self._opening:
            if self._catalog is None:
                self._catalog = open_catalog(self.settings, self.lock_timeout_s)
            return self._catalog

    def close(self) -> None:
        """Let go of the catalog's connections; the next use opens them again."""
        if self._catalog is not None:
            self._catalog.close()
            self._catalog = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def ensure(self, contract: Contract) -> Table:
        """Create the table, or bring it to its contract; idempotent, and safe when two processes do it at once.

        A new table gets an empty base snapshot, because a branch needs one to start from. Raises ContractError when the
        contract breaks the existing table.
        """
        name, base = contract.name, {ledger.OPERATION: "base", ledger.CONTRACT_VERSION: contract.version}
        with named(f"create {name}"):
            try:
                table = self.catalog.load_table(name)
            except NoSuchTableError:
                table = retry_contention(lambda: self._create(contract), self.lock_timeout_s)
        if evolve(table, contract) is not None:
            table = self.commit(name, lambda fresh: evolve(fresh, contract), f"evolve {name}")
        if table.current_snapshot() is None:
            table = self.commit(name, lambda fresh: _base_snapshot(fresh, base), f"create {name}")
        return table

    def table(self, name: str) -> Table:
        """The PyIceberg table as it is now."""
        with named(f"open {name}"):
            return self.catalog.load_table(name)

    def exists(self, name: str) -> bool:
        """Whether the table is in the catalog."""
        with named(f"look for {name}"):
            return self.catalog.table_exists(name)

    def names(self) -> list[str]:
        """All tables, ``<layer>.<table>``, sorted."""
        with named("list the tables"):
            return sorted(
                ".".join(identifier)
                for space in self.catalog.list_namespaces()
                for identifier in self.catalog.list_tables(space)
            )

    def read(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        where: str | BooleanExpression | None = None,
        snapshot_id: int | None = None,
        as_of: datetime | None = None,
        ref: str | None = None,
    ) -> pa.Table:
        """Rows of a table: published ones, or those of a snapshot, a moment (aware) or a branch or tag.

        ``columns`` come in the order asked for; ``where`` is an Iceberg expression or its text.
        """
        scan = self._scan(name, columns, where, snapshot_id, as_of, ref)
        with named(f"read {name}"):
            rows = scan.to_arrow()
        return rows if columns is None else rows.select(list(columns))

    def reader(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        where: str | BooleanExpression | None = None,
        snapshot_id: int | None = None,
        as_of: datetime | None = None,
        ref: str | None = None,
    ) -> pa.RecordBatchReader:
        """Like :meth:`read`, one batch at a time; columns come in the table's order."""
        return self._scan(name, columns, where, snapshot_id, as_of, ref).to_arrow_batch_reader()

    def row_count(self, name: str) -> int:
        """Published rows, from the metadata alone."""
        with named(f"read {name}"):
            return self.table(name).scan().count()

    def empty(self, name: str) -> pa.Table:
        """No rows, in the table's Arrow schema."""
        return arrow_schema(self.table(name).schema()).empty_table()

    def snapshot(self, name: str) -> int | None:
        """The published snapshot's id; None when the table has none."""
        return snapshots.current_id(self.table(name))

    def changes(
        self,
        name: str,
        since: int | None,
        columns: Sequence[str] | None = None,
        where: str | BooleanExpression | None = None,
    ) -> Changes:
        """The rows appended after snapshot ``since``; all rows where that difference is not known (``is_full``).

        ``where`` chooses among them, as in :meth:`read`.

        It is not known when ``since`` is None, has expired or is not an ancestor of the published snapshot, or when
        rows were replaced or removed since. Compaction and retention do not count as such.
        """
        table = self.table(name)
        with named(f"read {name}"):
            return changing.changes(table, since, columns, where)

    def last_commit(self, name: str, ref: str = MAIN_BRANCH) -> CommitInfo | None:
        """The newest commit of data on ``ref`` with its ledger; None when there was none yet."""
        return ledger.last_commit(self.table(name), ref)

    def history(self, name: str) -> list[CommitInfo]:
        """The published snapshots still kept, newest first."""
        return snapshots.history(self.table(name))

    def refs(self, name: str) -> dict[str, int]:
        """Branches and tags with the snapshots they point at."""
        return {ref: value.snapshot_id for ref, value in self.table(name).refs().items()}

    def rollback(self, name: str, snapshot_id: int | None = None, as_of: datetime | None = None) -> int:
        """Publish an earlier published snapshot again; returns its id. Nothing is deleted."""
        target = snapshots.resolve(self.table(name), name, snapshot_id, as_of)
        if target is None:
            raise LakehouseError(f"No point was given to roll {name} back to", "give a snapshot id or a moment")
        self.commit(name, lambda table: snapshots.rollback(table, name, target), f"roll {name} back")
        return target

    def tag(self, name: str, tag: str, snapshot_id: int | None = None) -> int:
        """Name a snapshot (the published one by default) so that expiry keeps it; returns its id."""
        target = snapshots.resolve(self.table(name), name, snapshot_id) or self.snapshot(name)
        if target is None:
            raise LakehouseError(f"{name} has no snapshot to tag", "materialise the table first")
        self.commit(name, lambda table: snapshots.tag(table, name, tag, target), f"tag {name}")
        return target

    def untag(self, name: str, tag: str) -> None:
        """Drop a tag; its snapshot may expire from then on."""
        self.commit(name, lambda table: snapshots.untag(table, name, tag), f"untag {name}")

    def stage(self, name: str, commit: Commit) -> Staged:
        """Begin a write that is audited on a branch before it becomes the table; see :class:`Staged`."""
        return Staged(self, name, commit)

    def commit(self, name: str, change: commits.Change, action: str) -> Table:
        """Commit a change to a table's metadata, again and again while other writers get in between."""
        return commits.commit(self.catalog, name, change, self.lock_timeout_s, action)

    def _create(self, contract: Contract) -> Table:
        # Another process may be first at either; its table is as good.
        with suppress(NamespaceAlreadyExistsError, IntegrityError):
            self.catalog.create_namespace(contract.layer)
        schema = to_iceberg_schema(contract)
        with suppress(TableAlreadyExistsError, IntegrityError):
            self.catalog.create_table(
                contract.name,
                schema,
                partition_spec=to_partition_spec(contract, schema),
                properties={**TABLE_DEFAULTS, **to_properties(contract)},
            )
        return self.catalog.load_table(contract.name)

    def _scan(
        self,
        name: str,
        columns: Sequence[str] | None,
        where: str | BooleanExpression | None,
        snapshot_id: int | None,
        as_of: datetime | None,
        ref: str | None,
    ) -> DataScan:
        table = self.table(name)
        target = snapshots.resolve(table, name, snapshot_id, as_of, ref)
        known = table.schema().column_names
        unknown = [c for c in columns or () if c not in known]
        if unknown and target is None:
            raise LakehouseError(f"{name} has no column {', '.join(unknown)}", f"pick from: {', '.join(known)}")
        return table.scan(
            row_filter=AlwaysTrue() if where is None else where,
            selected_fields=("*",) if columns is None else tuple(columns),
            snapshot_id=target,
        )


def _base_snapshot(table: Table, properties: dict[str, str]) -> Transaction | None:
    if table.current_snapshot() is not None:
        return None
    transaction = table.transaction()
    commits.add_snapshot(transaction, MAIN_BRANCH, properties)
    return transaction
