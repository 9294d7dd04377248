"""Bronze → silver: conform what is new, record what was refused or repeated, audit, publish.

The order of the commits makes a crash harmless. Refused and repeated records are written first, each at most once by
source position; the silver table's own commit, which names the bronze snapshot it consumed, comes last. A rerun after
a crash therefore conforms the same records again and adds only what is missing.

A rebuild replaces what came from the landing files that bronze holds. Bronze forgets after months what silver keeps
for years: the rows of forgotten files stay as they are, and precede the others as they did when they arrived.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa

from c360.conform import Existing, Outcome, conform
from c360.contracts import get_contract
from c360.errors import PublishConflict
from c360.lakehouse import Commit, Lakehouse, Staged
from c360_assets.pipeline.existing import beyond, existing_rows
from c360_assets.pipeline.publication import Publication, audit_and_publish
from c360_assets.pipeline.side_tables import append_once, replace_rows


@dataclass(frozen=True)
class SilverRun:
    """What one run did. ``publication`` is None when bronze had nothing new.

    ``kept`` counts the rows that a full run left as they were, because bronze no longer holds their landing files.
    """

    publication: Publication | None
    mode: str
    received: int
    accepted: int
    deduplicated: int
    rejected: dict[str, int] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=dict)
    kept: int = 0


def refine(lake: Lakehouse, name: str, *, run_id: str, full_refresh: bool = False) -> SilverRun:
    """Bring the silver table ``name`` up to its bronze source.

    Incremental from the bronze snapshot consumed last; from all that bronze holds with ``full_refresh`` or where that
    snapshot is gone. Raises AuditFailed when the contract's audit fails.
    """
    contract = get_contract(name)
    source = contract.upstream[0]
    for table in (get_contract(source), contract, get_contract("silver.rejected"), get_contract("silver.deduplicated")):
        lake.ensure(table)
    last = lake.last_commit(name)
    since = None if full_refresh or last is None else last.sources.get(source)
    changes = lake.changes(source, since)
    first_run = last is None or source not in last.sources
    if changes.snapshot_id is None or (not changes.rows.num_rows and not full_refresh and not first_run):
        return SilverRun(None, "nothing new", 0, 0, 0)
    base = lake.snapshot(name)
    files = _files(changes.rows) if changes.is_full else None
    if files is None:
        known = existing_rows(lake, contract, changes.rows)
    else:
        known = Existing(beyond(lake, name, "_source_file", files))
    outcome = conform(changes.rows, contract, known, explain=True)
    kept = known.rows if files is not None and known.rows is not None else None
    upstream = lake.last_commit(source)
    commit = Commit(
        run_id=run_id,
        sources={source: changes.snapshot_id},
        contract_version=contract.version,
        watermark=upstream.watermark if upstream else None,
        extra={
            "c360.received": str(changes.rows.num_rows),
            "c360.accepted": str(outcome.accepted.num_rows),
            "c360.deduplicated": str(outcome.deduplicated.num_rows),
            "c360.rejected": str(outcome.rejected.num_rows),
            "c360.kept": str(kept.num_rows if kept is not None else 0),
        },
    )
    with lake.stage(name, commit) as staged:
        if staged.base != base:
            raise PublishConflict(
                f"{name} moved while new records were compared with it", "rerun when no other run does"
            )
        if kept is None:
            staged.append(outcome.accepted)
        else:
            staged.overwrite(pa.concat_tables([kept.cast(outcome.accepted.schema), outcome.accepted]))
        publication = _publish(lake, staged, name, outcome, commit, files)
    summary = outcome.summary()
    return SilverRun(
        publication,
        "incremental" if kept is None else "full",
        changes.rows.num_rows,
        outcome.accepted.num_rows,
        outcome.deduplicated.num_rows,
        dict(summary.rejected),
        dict(summary.repaired),
        kept.num_rows if kept is not None else 0,
    )


def _files(rows: pa.Table) -> set[str]:
    return set(pl.DataFrame(rows.select(["_source_file"])).to_series().unique())


def _publish(
    lake: Lakehouse, staged: Staged, name: str, outcome: Outcome, commit: Commit, files: set[str] | None
) -> Publication:
    def record_the_rest() -> None:
        for side, rows in (("silver.rejected", outcome.rejected), ("silver.deduplicated", outcome.deduplicated)):
            if files is None:
                append_once(lake, side, name, rows, commit)
            else:
                replace_rows(lake, side, name, rows, commit, files)

    return audit_and_publish(staged, get_contract(name), before_publish=record_the_rest)


def counts(lake: Lakehouse, name: str) -> dict[str, int]:
    """Records by what became of them: ``received`` (bronze), ``accepted``, ``deduplicated``, ``rejected``.

    Of the landing files that bronze holds; of older ones it has forgotten how many records there were.
    """
    contract = get_contract(name)
    received = _by_file(lake, contract.upstream[0], "_source_file")
    of_this = f"source_table = '{name}'"
    accepted = _by_file(lake, name, "_source_file")
    deduplicated = _by_file(lake, "silver.deduplicated", "source_file", of_this)
    rejected = _by_file(lake, "silver.rejected", "source_file", of_this)
    return {
        "received": received.total(),
        "accepted": sum(accepted[file] for file in received),
        "deduplicated": sum(deduplicated[file] for file in received),
        "rejected": sum(rejected[file] for file in received),
    }


def _by_file(lake: Lakehouse, table: str, column: str, where: str | None = None) -> Counter[str]:
    if not lake.exists(table):
        return Counter()
    return Counter(dict(pl.DataFrame(lake.read(table, columns=[column], where=where)).group_by(column).len().rows()))
