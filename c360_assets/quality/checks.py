"""AuditReport → Dagster: the check result with its table of expectations and a sample of the failing rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from c360_assets.specs import AUDIT_CHECK, asset_key

if TYPE_CHECKING:
    from c360_assets.quality.audit import AuditReport

_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("expectation"),
        dg.TableColumn("column"),
        dg.TableColumn("severity"),
        dg.TableColumn("passed", "bool"),
        dg.TableColumn("failing_rows", "int"),
    ]
)


def check_result(report: AuditReport) -> dg.AssetCheckResult:
    """The audit as an asset check: ERROR blocks downstream, WARN only shows. What failed comes first."""
    records = [
        dg.TableRecord(
            {
                "expectation": f.expectation,
                "column": f.column,
                "severity": f.severity,
                "passed": f.passed,
                "failing_rows": f.unexpected,
            }
        )
        for f in sorted(report.findings, key=lambda f: f.passed)
    ]
    failing = [
        {"expectation": f.expectation, "column": f.column, **{k: str(v) for k, v in row.items()}}
        for f in (*report.failures, *report.warnings)
        for row in f.sample
    ]
    return dg.AssetCheckResult(
        asset_key=asset_key(report.table),
        check_name=AUDIT_CHECK,
        passed=not (report.failures or report.warnings),
        severity=dg.AssetCheckSeverity.ERROR if report.failures else dg.AssetCheckSeverity.WARN,
        description=report.sentence(),
        # The UI sorts by name: what failed must not lie below all that passed.
        metadata={
            **({"failing_rows": _table(failing)} if failing else {}),
            "rows_checked": report.rows,
            "suite": dg.MetadataValue.table(records=records, schema=_COLUMNS),
        },
    )


def _table(rows: list[dict[str, str]]) -> dg.TableMetadataValue:
    """Rows of unlike columns as one table; a cell is empty where a row has no such column."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: row.get(name, "") for name in names}) for row in rows],
        schema=dg.TableSchema(columns=[dg.TableColumn(name) for name in names]),
    )
