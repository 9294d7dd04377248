"""Bronze → silver: conform what is new, record what was refused or repeated, audit, publish.

The order of the commits makes a crash harmless. Refused and repeated records are written first, each at most once by
source position; the silver table's own commit, which names the bronze snapshot it consumed, comes last. A rerun after
a crash therefore conforms the same records again and adds only what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from c360.conform import Outcome, conform
from c360.contracts import get_contract
from c360.lakehouse import Commit, Lakehouse, Staged
from c360_assets.pipeline.existing import existing_rows
from c360_assets.pipeline.publication import Publication, audit_and_publish
from c360_assets.pipeline.side_tables import append_once, replace_rows


@dataclass(frozen=True)
class SilverRun:
    """What one run did. ``publication`` is None when bronze had nothing new."""

    publication: Publication | None
    mode: str
    received: int
    accepted: int
    deduplicated: int
    rejected: dict[str, int] = field(default_factory=dict)
    repaired: dict[str, int] = field(default_factory=dict)


def refine(lake: Lakehouse, name: str, *, run_id: str, full_refresh: bool = False) -> SilverRun:
    """Bring the silver table ``name`` up to its bronze source.

    Incremental from the bronze snapshot consumed last; from the beginning with ``full_refresh`` or where that snapshot
    is gone. Raises AuditFailed when the contract's audit fails.
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
    rebuild = changes.is_full
    outcome = conform(
        changes.rows, contract, existing_rows(lake, contract, changes.rows, rebuild=rebuild), explain=True
    )
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
        },
    )
    with lake.stage(name, commit) as staged:
        if rebuild:
            staged.overwrite(outcome.accepted)
        else:
            staged.append(outcome.accepted)
        publication = _publish(lake, staged, name, outcome, commit, rebuild=rebuild)
    summary = outcome.summary()
    return SilverRun(
        publication,
        "full" if rebuild else "incremental",
        changes.rows.num_rows,
        outcome.accepted.num_rows,
        outcome.deduplicated.num_rows,
        dict(summary.rejected),
        dict(summary.repaired),
    )


def _publish(
    lake: Lakehouse, staged: Staged, name: str, outcome: Outcome, commit: Commit, *, rebuild: bool
) -> Publication:
    def record_the_rest() -> None:
        for side, rows in (("silver.rejected", outcome.rejected), ("silver.deduplicated", outcome.deduplicated)):
            if rebuild:
                replace_rows(lake, side, name, rows, commit)
            else:
                append_once(lake, side, name, rows, commit)

    return audit_and_publish(staged, get_contract(name), before_publish=record_the_rest)


def counts(lake: Lakehouse, name: str) -> dict[str, int]:
    """Records by what became of them: ``received`` (bronze), ``accepted``, ``deduplicated``, ``rejected``."""
    contract = get_contract(name)

    def rows(table: str, where: str | None = None) -> int:
        columns = ["source_row"] if where else ["_source_row"]
        return int(lake.read(table, columns=columns, where=where).num_rows) if lake.exists(table) else 0

    of_this = f"source_table = '{name}'"
    return {
        "received": rows(contract.upstream[0]),
        "accepted": rows(name),
        "deduplicated": rows("silver.deduplicated", of_this),
        "rejected": rows("silver.rejected", of_this),
    }
