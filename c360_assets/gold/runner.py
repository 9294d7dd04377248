"""Builds one gold table on an audit branch: in full, or only what changed upstream since its last commit."""

from __future__ import annotations

import hashlib
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from c360.contracts import get_contract
from c360.errors import LakehouseError, SettingsError
from c360.lakehouse import Commit, Staged
from c360.lakehouse.ledger import AS_OF
from c360_assets.gold.catalogue import GOLD, GoldTable
from c360_assets.gold.query import select
from c360_assets.gold.scope import RebuildNeededError, Scope
from c360_assets.gold.upstream import LakeUpstream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pyspark.sql import DataFrame, SparkSession

    from c360.contracts.model import Contract
    from c360.lakehouse import Lakehouse

Mode = Literal["full", "incremental", "no-op"]

RULE = "c360.sql-sha256"
"""Snapshot property: the SQL text that built the table. Another text means another table, so it is built in full."""

FEW_KEYS = 20_000
"""A refresh of so few keys is always cheaper than a full build."""


WRITE_OPTIONS = {
    # the contract's required columns are nullable to Spark; a null among them still fails in the audit
    "check-nullability": "false",
    # rows come sorted, so that Iceberg need not shuffle them once more
    "use-table-distribution-and-ordering": "false",
    # a refresh rewrites whole files: few of them, and small ones
    "target-file-size-bytes": str(4 * 1024 * 1024),
}


@dataclass(frozen=True)
class GoldBuild:
    """What a build did. ``staged`` waits for its audit and publication; it is None when there is nothing to do.

    ``rows`` counts the rows written, ``affected`` the keys that a refresh computed anew (None: all); ``seconds`` is the
    time by phase.
    """

    table: str
    mode: Mode
    reason: str
    rows: int
    affected: int | None
    staged: Staged | None
    seconds: Mapping[str, float] = field(default_factory=dict)


@contextmanager
def build_gold(
    lake: Lakehouse,
    spark: SparkSession,
    table: str,
    *,
    as_of: datetime,
    full_refresh: bool = False,
    commit_run_id: str,
) -> Iterator[GoldBuild]:
    """Stage the rows of ``table`` (``gold.<name>``); audit and publish ``GoldBuild.staged`` inside the block.

    ``as_of`` must be aware. Nothing is published here, and a failure leaves the published table as it was. Raises
    SettingsError for an unknown table or a naive ``as_of``, LakehouseError for inputs that are missing or as of another
    moment, ContractError for a SELECT that does not fit the contract.
    """
    clock = _Clock()
    plan, moment = _checked(table, as_of)
    contract = get_contract(table)
    lake.ensure(contract)
    _require(lake, plan)
    up = LakeUpstream(lake, table, plan.tables, moment)
    for name in plan.as_of_inputs:
        up.require_as_of(name)
    reason = _reason_for_full(up, plan, contract, full_refresh)
    if reason is None and _is_current(up, plan):
        yield GoldBuild(table, "no-op", "nothing new upstream", 0, 0, None)
        return
    scope: Scope | None = None
    if reason is None:
        scope, reason = _scope(up, plan)
    clock.lap("plan")
    with lake.stage(table, _commit(up, plan, contract, commit_run_id)) as staged:
        rows = 0
        if scope is None or scope.affected != 0:
            frame = select(spark, plan, contract, up, scope, moment)
            clock.lap("bind")
            rows = _write(lake, staged, frame, plan, scope)
        clock.lap("build")
        mode: Mode = "full" if scope is None or (scope.affected is None and not scope.views) else "incremental"
        affected = scope.affected if scope else None
        yield GoldBuild(table, mode, reason or _said(affected), rows, affected, staged, clock.laps)


def _checked(table: str, as_of: datetime) -> tuple[GoldTable, datetime]:
    if table not in GOLD:
        raise SettingsError(f"There is no gold table '{table}'", f"use one of {', '.join(GOLD)}")
    if as_of.tzinfo is None:
        raise SettingsError(f"as_of '{as_of.isoformat()}' has no time zone", "give an aware moment, such as one in UTC")
    return GOLD[table], as_of.astimezone(UTC)


def _require(lake: Lakehouse, plan: GoldTable) -> None:
    for name in plan.tables:
        exists = lake.exists(name)
        if name.startswith("silver.") and not exists:
            lake.ensure(get_contract(name))  # a source that never landed is an empty table, not an obstacle
        elif name.startswith("gold.") and (not exists or lake.last_commit(name) is None):
            raise LakehouseError(f"{plan.name} needs {name}, which was never built", f"materialise {name} first")


def _reason_for_full(up: LakeUpstream, plan: GoldTable, contract: Contract, full_refresh: bool) -> str | None:
    if full_refresh:
        return "asked for"
    if up.last is None:
        return "first build"
    if up.last.extra.get(RULE) != _rule(plan):
        return "its SQL file changed"
    if up.last.contract_version != contract.version:
        return "its contract changed"
    return None


def _is_current(up: LakeUpstream, plan: GoldTable) -> bool:
    unchanged = not any(up.changed(name) for name in plan.tables)
    return unchanged and (not plan.uses_as_of or up.built_as_of == up.as_of)


def _scope(up: LakeUpstream, plan: GoldTable) -> tuple[Scope | None, str | None]:
    """The plan of a refresh, or None and why the table is built in full instead."""
    try:
        scope = plan.plan(up)
    except RebuildNeededError as error:
        return None, str(error)
    affected = scope.affected or 0
    if plan.rebuild_share and affected > max(FEW_KEYS, plan.rebuild_share * up.target_rows):
        return None, f"{affected} keys changed, which is most of the work of a full build"
    return scope, None


def _write(lake: Lakehouse, staged: Staged, frame: DataFrame, plan: GoldTable, scope: Scope | None) -> int:
    if scope is not None and scope.on is not None and scope.keys is not None:
        rows = frame.toArrow()
        staged.replace(rows, [scope.on], pa.table({scope.on: scope.keys.to_arrow()}))
        return rows.num_rows
    if plan.small:
        rows = frame.toArrow()
        staged.overwrite(rows)
        return rows.num_rows
    from pyspark.sql.connect.functions import lit  # sessions are always Spark Connect

    if plan.cluster_by is not None:
        frame = frame.sortWithinPartitions(plan.cluster_by)
    writer = frame.writeTo(staged.spark_table)
    for key, value in {**staged.spark_options, **WRITE_OPTIONS}.items():
        writer = writer.option(key, value)
    writer.overwrite(lit(col=True))
    head = lake.table(plan.name).snapshot_by_name(staged.branch)
    return int(head.summary["total-records"] or 0) if head and head.summary else 0


def _commit(up: LakeUpstream, plan: GoldTable, contract: Contract, run_id: str) -> Commit:
    extra = {RULE: _rule(plan)}
    if plan.uses_as_of:
        extra[AS_OF] = up.as_of.isoformat()
    return Commit(
        run_id=run_id,
        sources=up.sources,
        contract_version=contract.version,
        watermark=up.watermark,
        extra=extra,
    )


def _rule(plan: GoldTable) -> str:
    return hashlib.sha256(plan.sql.encode()).hexdigest()


def _said(affected: int | None) -> str:
    return "upstream changed" if affected is None else f"{affected} keys changed upstream"


class _Clock:
    """Seconds by phase."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name] = round(now - self._last, 3)
        self._last = now
