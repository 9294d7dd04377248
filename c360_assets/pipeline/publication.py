"""Audit what is staged, publish it if it passed: the one place where a table of the lakehouse changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from c360.contracts import audited_columns
from c360.contracts.expectations import Scope
from c360.contracts.model import Contract
from c360.errors import AuditFailed
from c360.lakehouse import Staged
from c360.lakehouse.arrow import semi_join
from c360_assets.quality.audit import AuditReport, audit

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Publication:
    """A published commit and the audit it passed."""

    table: str
    snapshot_id: int
    report: AuditReport


class RefusedByAudit(AuditFailed):
    """The staged rows failed their audit. ``report`` holds the failing expectations with sampled rows."""

    def __init__(self, report: AuditReport, branch: str) -> None:
        super().__init__(
            f"Audit of {report.table} failed: {report.sentence()}; its published snapshot is unchanged",
            f"see the failing rows in the check or on branch '{branch}', mend the source or the contract, and rerun",
        )
        self.report = report
        self.branch = branch


def audit_and_publish(
    staged: Staged, contract: Contract, *, before_publish: Callable[[], None] | None = None
) -> Publication:
    """Audit the rows that the branch adds and publish them; RefusedByAudit if they failed.

    ``before_publish`` runs between the two, for commits to other tables that must not happen for refused rows.
    """
    of_all = list(dict.fromkeys([*_columns(contract, "key"), *_columns(contract, "table")]))
    if staged.replaces_all():
        changed = every = staged.changed_rows(list(dict.fromkeys([*_columns(contract, "rows"), *of_all])))
    else:
        changed, every = staged.changed_rows(_columns(contract, "rows")), staged.rows(of_all)
    report = audit(contract, changed, _keys(contract, changed, every), every.select(_columns(contract, "table")))
    if not report.passed:
        staged.abandon(report.sentence())
        raise RefusedByAudit(report, staged.branch)
    if before_publish is not None:
        before_publish()
    return Publication(contract.name, staged.publish(), report)


def _keys(contract: Contract, changed: pa.Table, every: pa.Table) -> pa.Table:
    """Of all rows those that can repeat a key: it is unique in the published table, so they share a changed row's."""
    on = list(contract.primary_key)
    if set(audited_columns(contract, "key")) != set(on) or changed.num_rows * 2 > every.num_rows:
        return every
    return semi_join(every, changed.select(on))


def _columns(contract: Contract, scope: Scope) -> list[str]:
    """What the audit reads back: only columns that a rule names, and the key to name failing rows by."""
    wanted = {*audited_columns(contract, scope), *contract.primary_key}
    return [name for name in contract.names if name in wanted]
