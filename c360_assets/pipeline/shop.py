"""Bronze change messages → ``silver.shop_<table>_history``: decode what is new, record what cannot be used, publish.

As in :mod:`c360_assets.pipeline.silver` the order of the commits makes a crash harmless: dead letters first, each once
by its position; then the history, whose commit names the bronze snapshot it consumed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa

from c360.cdc.connector import topic
from c360.cdc.contracts import BRONZE, history_name
from c360.cdc.decode import DEAD, Decoded, decode
from c360.cdc.message import LAST, LAST_OF_TABLE
from c360.cdc.schema import NAMES, shop_tables
from c360.contracts import get_contract
from c360.errors import PublishConflict
from c360.lakehouse import Commit, Lakehouse, Staged
from c360_assets.pipeline.publication import Publication, audit_and_publish
from c360_assets.pipeline.shop_snapshots import end_in, inferred_deletions
from c360_assets.pipeline.side_tables import again_after_conflict

if TYPE_CHECKING:
    from c360.cdc.schema import ShopTable
    from c360.lakehouse import CommitInfo

MESSAGE = ("topic", "kafka_partition", "kafka_offset", "kafka_timestamp", "key", "value")
POSITION = ["kafka_partition", "kafka_offset"]
SEEN, DONE = "c360.snapshots-ended", "c360.snapshots-compared"
"""In a commit: where (and when) all rows of all tables had been read anew; and with which of these it was compared."""

PASSED_OVER = 100_000
"""Messages of other tables after which a table without any says how far it has read."""


@dataclass(frozen=True)
class HistoryRun:
    """What one run did: ``read`` = ``added`` + ``repeated`` + ``tombstones`` + ``silent`` + ``dead``.

    ``inferred`` deletions are added beside these. ``publication`` is None when bronze had nothing new.
    """

    publication: Publication | None
    mode: str
    read: int = 0
    added: int = 0
    repeated: int = 0
    tombstones: int = 0
    silent: int = 0
    dead: int = 0
    inferred: int = 0


def refine_history(lake: Lakehouse, name: str, *, run_id: str, full_refresh: bool = False) -> HistoryRun:
    """Bring the history of the shop's table ``name`` up to bronze.

    Only messages after the bronze snapshot consumed last are decoded; all that bronze holds where that snapshot is
    gone. With ``full_refresh`` these are decoded anew and replace the rows made of them. Raises AuditFailed when the
    contract's audit fails, PublishConflict when another run was faster.
    """
    table, contract = shop_tables()[name], get_contract(history_name(name))
    lake.ensure(contract)
    lake.ensure(get_contract(DEAD))
    if not lake.exists(BRONZE):
        return HistoryRun(None, "there are no messages yet")
    last, base = lake.last_commit(contract.name), lake.snapshot(contract.name)
    since = None if full_refresh or last is None else last.sources.get(BRONZE)
    changes = lake.changes(BRONZE, since, MESSAGE, f"topic = '{topic(name)}'")
    if changes.snapshot_id is None:
        return HistoryRun(None, "there are no messages yet")
    decoded = decode(table, changes.rows.sort_by([(column, "ascending") for column in POSITION]))
    known = lake.read(contract.name) if full_refresh else _known(lake, table, decoded)
    fresh = _fresh(table, decoded.history, None if full_refresh else known)
    kept = _fresh(table, known, fresh) if full_refresh else None
    ends, own = _ends(decoded)
    seen, done = {**_of(last, SEEN), **ends}, _of(last, DONE)
    told = {**_told_elsewhere(lake, name), **seen, **own}
    inferred = inferred_deletions(lake, table, fresh, told, done, decoded.dead, kept)
    rows = pa.concat_tables([fresh, inferred.rows])
    if not (decoded.read or rows.num_rows or full_refresh) and not _far(lake, since):
        return HistoryRun(None, "nothing new")
    counted = {
        "read": decoded.read,
        "added": fresh.num_rows,
        "repeated": decoded.history.num_rows - fresh.num_rows,
        "tombstones": decoded.tombstones,
        "silent": decoded.silent,
        "dead": decoded.dead.num_rows,
        "inferred": inferred.rows.num_rows,
    }
    commit = Commit(
        run_id=run_id,
        sources={BRONZE: changes.snapshot_id},
        contract_version=contract.version,
        extra={
            **{f"c360.{word}": str(number) for word, number in counted.items()},
            SEEN: json.dumps(seen),
            DONE: json.dumps(inferred.compared),
        },
    )
    with lake.stage(contract.name, commit) as staged:
        if staged.base != base:
            raise PublishConflict(f"{contract.name} moved while it was compared", "rerun when no other run does")
        if kept is not None:
            staged.overwrite(pa.concat_tables([kept.cast(rows.schema), rows]))
        elif rows.num_rows:
            staged.append(rows)
        publication = _publish(lake, staged, contract.name, decoded.dead, commit)
    mode = "full" if full_refresh else "caught up" if changes.is_full else "incremental"
    return HistoryRun(publication, mode, **counted)


def _publish(lake: Lakehouse, staged: Staged, name: str, dead: pa.Table, commit: Commit) -> Publication:
    return audit_and_publish(staged, get_contract(name), before_publish=lambda: append_dead(lake, dead, commit))


@again_after_conflict
def append_dead(lake: Lakehouse, rows: pa.Table, commit: Commit) -> None:
    """Append the letters, all of one topic, that are not there yet."""
    if not rows.num_rows:
        return
    name = str(rows.column("source_topic").to_pylist()[0])
    with lake.stage(DEAD, commit) as staged:
        known = lake.read(DEAD, columns=POSITION, where=f"source_topic = '{name}'")
        fresh = pl.DataFrame(rows).join(pl.DataFrame(known), on=POSITION, how="anti", maintain_order="left")
        if fresh.height:
            staged.append(fresh.to_arrow().cast(rows.schema))
            staged.publish()


def _known(lake: Lakehouse, table: ShopTable, decoded: Decoded) -> pa.Table:
    """Identities of published rows that the decoded ones could repeat."""
    columns = [*table.key, "lsn", "op"]
    name = history_name(table.name)
    if not decoded.history.num_rows:
        return lake.empty(name).select(columns)
    first: Any = pl.DataFrame(decoded.history.select(["lsn"])).get_column("lsn").min()
    return lake.read(name, columns=columns, where=f"lsn >= {first}")


def _fresh(table: ShopTable, rows: pa.Table, known: pa.Table | None) -> pa.Table:
    """Rows whose key, position and kind occur for the first time, and are not known."""
    identity = [*table.key, "lsn", "op"]
    frame = pl.DataFrame(rows.select(identity)).with_row_index("__position").unique(identity, keep="first")
    if known is not None and known.num_rows:
        frame = frame.join(pl.DataFrame(known.select(identity)), on=identity, how="anti", nulls_equal=True)
    return rows.take(frame.get_column("__position").sort().to_arrow())


def _ends(decoded: Decoded) -> tuple[dict[int, int], dict[int, int]]:
    """Where (and when, in microseconds) all rows of all tables had been read anew, and all of this one."""
    frame = pl.DataFrame(
        {
            "lsn": pl.Series(decoded.history.column("lsn")),
            "at": pl.Series(decoded.history.column("committed_at")).cast(pl.Int64),
            "snapshot": decoded.snapshots,
        }
    )
    found: list[tuple[str, int, int]] = [
        (mark, lsn, at) for lsn, at, mark in frame.filter(pl.col("snapshot").is_in((LAST, LAST_OF_TABLE))).rows()
    ]
    found += [end for value in decoded.dead.column("value").to_pylist() if (end := end_in(value)) is not None]
    return {lsn: at for mark, lsn, at in found if mark == LAST}, {lsn: at for _, lsn, at in found}


def _told_elsewhere(lake: Lakehouse, name: str) -> dict[int, int]:
    """Where other tables saw all rows read: a table that was empty then has no message of its own that says so."""
    others = [history_name(other) for other in NAMES if other != name]
    found: dict[int, int] = {}
    for other in others:
        if lake.exists(other):
            found |= _of(lake.last_commit(other), SEEN)
    return found


def _of(commit: CommitInfo | None, word: str) -> dict[int, int]:
    return {} if commit is None else {int(lsn): at for lsn, at in json.loads(commit.extra.get(word, "{}")).items()}


def _far(lake: Lakehouse, since: int | None) -> bool:
    """Whether so much was passed over that it should not be passed over again."""
    table = lake.table(BRONZE)
    now, then = table.current_snapshot(), None if since is None else table.snapshot_by_id(since)
    counts = [
        int(snapshot.summary.additional_properties.get("total-records", 0)) if snapshot and snapshot.summary else 0
        for snapshot in (now, then)
    ]
    return counts[0] - counts[1] >= PASSED_OVER
