"""Which rows a table has gained since a consumer last looked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyiceberg.expressions import AlwaysTrue
from pyiceberg.table.snapshots import Operation

from c360.lakehouse.ledger import RETENTION, lineage, read_commit

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from pyiceberg.expressions import BooleanExpression
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot


@dataclass(frozen=True)
class Changes:
    """``rows`` appended in (since, ``snapshot_id``]; with ``is_full`` all rows, because the difference is not known."""

    rows: pa.Table
    snapshot_id: int | None
    is_full: bool


def changes(
    table: Table,
    since: int | None,
    columns: Sequence[str] | None = None,
    where: str | BooleanExpression | None = None,
) -> Changes:
    """Rows appended after snapshot ``since``, each once; compaction and retention in between repeat and lose none."""
    current = table.current_snapshot()
    condition = AlwaysTrue() if where is None else where
    selected = tuple(columns) if columns is not None else ("*",)
    if current is None:
        return Changes(table.scan(condition, selected_fields=selected).to_arrow(), None, is_full=True)
    if since is None or not _only_appended(table, since):
        return Changes(table.scan(condition, selected_fields=selected).to_arrow(), current.snapshot_id, is_full=True)
    if since == current.snapshot_id:  # PyIceberg takes a snapshot for no ancestor of itself
        return Changes(table.scan(selected_fields=selected, limit=0).to_arrow(), since, is_full=False)
    scan = table.incremental_append_scan(
        row_filter=condition,
        selected_fields=selected,
        from_snapshot_id_exclusive=since,
        to_snapshot_id_inclusive=current.snapshot_id,
    )
    return Changes(scan.to_arrow(), current.snapshot_id, is_full=False)


def _only_appended(table: Table, since: int) -> bool:
    """Whether ``since`` is kept, is an ancestor of the published snapshot, and only rows were added after it."""
    if table.snapshot_by_id(since) is None:
        return False
    for snapshot in lineage(table):
        if snapshot.snapshot_id == since:
            return True
        if not _keeps_rows(snapshot):
            return False
    return False


def _keeps_rows(snapshot: Snapshot) -> bool:
    if snapshot.summary is None:
        return False
    if snapshot.summary.operation in {Operation.APPEND, Operation.REPLACE}:
        return True
    # Rows that retention drops were consumed long ago, and a consumer keeps what it made of them.
    return read_commit(snapshot).upkeep == RETENTION
