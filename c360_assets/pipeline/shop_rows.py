"""``silver.shop_<table>_history`` → ``silver.shop_<table>``: the rows as they are now, by the newest change of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from c360.cdc.contracts import current_name, history_name
from c360.cdc.schema import shop_tables
from c360.cdc.state import BEFORE_ALL, alive, truncated_at
from c360.contracts import get_contract
from c360.lakehouse import Commit, Lakehouse
from c360.lakehouse.lookup import lookup
from c360_assets.pipeline.publication import Publication, audit_and_publish

if TYPE_CHECKING:
    from c360.lakehouse import Changes, CommitInfo

NEWEST, EMPTIED = "c360.newest-lsn", "c360.emptied-at"


@dataclass(frozen=True)
class RowsRun:
    """What one run did with ``changes`` of the history. ``publication`` is None when there were none."""

    publication: Publication | None
    mode: str
    changes: int = 0
    keys: int = 0
    late: int = 0


def refine_rows(lake: Lakehouse, name: str, *, run_id: str, full_refresh: bool = False) -> RowsRun:
    """Bring the rows of the shop's table ``name`` up to its history.

    Raises AuditFailed when the contract's audit fails, and PublishConflict when another run was faster.
    """
    contract, history, key = get_contract(current_name(name)), history_name(name), list(shop_tables()[name].key)
    lake.ensure(contract)
    lake.ensure(get_contract(history))
    last = lake.last_commit(contract.name)
    since = None if full_refresh or last is None else last.sources.get(history)
    changes = lake.changes(history, since)
    if changes.snapshot_id is None or (not changes.rows.num_rows and not full_refresh and since is not None):
        return RowsRun(None, "nothing new")
    new = pl.DataFrame(changes.rows)
    before = BEFORE_ALL if changes.is_full else _number(last, NEWEST)
    emptied = max(truncated_at(new), BEFORE_ALL if changes.is_full else _number(last, EMPTIED))
    whole = changes.is_full or truncated_at(new) != BEFORE_ALL
    late = new.filter((pl.col("lsn") <= before) & (pl.col("op") != "t"))
    if whole:
        told = new if changes.is_full else pl.DataFrame(lake.read(history, snapshot_id=changes.snapshot_id))
    else:
        # What is newer than all before needs no look at the past of its key.
        past = lookup(lake, history, late.select(key).unique().to_arrow())
        told = pl.concat([pl.DataFrame(past), new])
    top: Any = new.get_column("lsn").max()
    newest = before if top is None else max(before, int(top))
    rows = alive(told, key, emptied).select(contract.names).to_arrow()
    commit = Commit(
        run_id=run_id,
        sources={history: changes.snapshot_id},
        contract_version=contract.version,
        extra={NEWEST: str(newest), EMPTIED: str(emptied), "c360.changes": str(new.height)},
    )
    with lake.stage(contract.name, commit) as staged:
        if whole:
            staged.overwrite(rows)
        else:
            staged.replace(rows, key, new.select(key).unique().to_arrow())
        publication = audit_and_publish(staged, contract)
    return RowsRun(publication, _mode(changes, whole=whole), new.height, rows.num_rows, late.height)


def _mode(changes: Changes, *, whole: bool) -> str:
    return "full" if changes.is_full else "emptied" if whole else "incremental"


def _number(commit: CommitInfo | None, word: str) -> int:
    return int(commit.extra.get(word, BEFORE_ALL)) if commit else BEFORE_ALL
