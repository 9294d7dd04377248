"""Rows go when their layer's time is over; what is still the state of something stays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import polars as pl
from pyiceberg.expressions import LessThan, Reference
from pyiceberg.expressions.literals import literal

from c360.errors import LakehouseError
from c360.lakehouse.ledger import OPERATION, RETENTION, Commit

if TYPE_CHECKING:
    from datetime import date, datetime

    from pyiceberg.expressions import BooleanExpression

    from c360.contracts import Contract
    from c360.lakehouse.lake import Lakehouse

COLUMN_PROPERTY = "c360.retention-column"
"""Table property by which a contract names the column its retention counts from."""
_TIME_TRANSFORMS = {"identity", "day", "month", "year", "hour"}
_BATCH_COLUMNS = ("_batch_date", "batch_date")


@dataclass(frozen=True)
class Rule:
    """How a table forgets: rows older by ``column``, or versions that a newer one superseded before the cutoff."""

    kind: Literal["older", "superseded"]
    column: str


def rule_of(contract: Contract) -> Rule | None:
    """How the table's rows expire; None for a table that is kept, or rebuilt from others that forget.

    In this order: the column the contract names; a bronze table's batch date; the time a table is partitioned by; for
    version histories the versions no longer in force; the batch date.
    """
    if contract.retention_days is None:
        return None
    named = contract.properties.get(COLUMN_PROPERTY)
    if named is not None:
        return Rule("older", named)
    batch = next((column for column in _BATCH_COLUMNS if column in contract.names), None)
    if contract.layer == "bronze" and batch is not None:
        return Rule("older", batch)
    for part in contract.partitioning:
        if part.transform in _TIME_TRANSFORMS and contract.column(part.column).type in {"date", "timestamp"}:
            return Rule("older", part.column)
    if contract.version_column is not None:
        return Rule("superseded", contract.version_column)
    return Rule("older", batch) if batch is not None else None


def retain(lake: Lakehouse, contract: Contract, as_of: datetime, run_id: str) -> int:
    """Remove what is older than ``as_of`` (aware) minus the contract's retention; returns the rows removed.

    The commit is marked as retention: consumers that read the table incrementally keep what they made of the rows.
    Raises PublishConflict when the table moved meanwhile.
    """
    rule = rule_of(contract)
    if rule is None or contract.retention_days is None or not lake.exists(contract.name):
        return 0
    if as_of.tzinfo is None:
        raise LakehouseError(f"The moment {as_of.isoformat()} has no time zone", "give it with a zone, such as +00:00")
    cutoff = as_of - timedelta(days=contract.retention_days)
    commit = Commit(
        run_id, contract_version=contract.version, extra={OPERATION: RETENTION, "c360.cutoff": cutoff.isoformat()}
    )
    with lake.stage(contract.name, commit) as staged:
        if rule.kind == "older":
            where = _older(contract, rule.column, cutoff)
            removed = lake.table(contract.name).scan(row_filter=where).count()
            if removed:
                staged.delete(where)
        else:
            keys = _superseded(lake, contract, rule.column, cutoff)
            removed = keys.height
            if removed:
                staged.delete_keys(keys.to_arrow(), keys.columns)
        if removed:
            staged.publish()
    return removed


def _older(contract: Contract, column: str, cutoff: datetime) -> BooleanExpression:
    limit = cutoff.date() if contract.column(column).type == "date" else cutoff
    return LessThan(term=Reference(column), value=literal(limit.isoformat()))


def _superseded(lake: Lakehouse, contract: Contract, column: str, cutoff: datetime) -> pl.DataFrame:
    """Keys of the versions that were no longer in force at ``cutoff``: the one in force then, and newer ones, stay."""
    business_key = [k for k in (contract.business_key or contract.primary_key) if k != column]
    limit: date | datetime = cutoff.date() if contract.column(column).type == "date" else cutoff
    versions = pl.from_arrow(lake.read(contract.name, columns=[*business_key, column]))
    assert isinstance(versions, pl.DataFrame)
    past = versions.filter(pl.col(column) <= limit)
    in_force = pl.col(column).max().over(business_key)
    return past.filter(pl.col(column) < in_force).unique()
