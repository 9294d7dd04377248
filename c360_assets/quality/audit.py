"""Great Expectations on an Arrow table: the contract's suite in, a small report out. Knows nothing of Dagster."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from c360.contracts import to_expectations, to_frame

if TYPE_CHECKING:
    import pyarrow as pa

    from c360.contracts.expectations import Scope
    from c360.contracts.model import Contract

SAMPLE_ROWS = 10


@dataclass(frozen=True)
class Finding:
    """The outcome of one expectation; ``unexpected`` counts failing rows, ``sample`` shows up to ten of them."""

    expectation: str
    column: str
    severity: str
    passed: bool
    unexpected: int
    sample: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class AuditReport:
    """All findings on ``rows`` rows of one staged table."""

    table: str
    rows: int
    findings: tuple[Finding, ...]

    @property
    def failures(self) -> tuple[Finding, ...]:
        """Findings that forbid publishing."""
        return tuple(f for f in self.findings if not f.passed and f.severity == "critical")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings that are shown but do not forbid publishing."""
        return tuple(f for f in self.findings if not f.passed and f.severity != "critical")

    @property
    def passed(self) -> bool:
        """True when the table may be published."""
        return not self.failures

    def sentence(self) -> str:
        """One line for logs and errors."""
        failed = ", ".join(f"{f.expectation}({f.column}): {f.unexpected} rows" for f in self.failures)
        return failed or f"{len(self.findings)} expectations passed on {self.rows} rows"


def audit(contract: Contract, changed: pa.Table, whole: pa.Table) -> AuditReport:
    """Run the contract's expectations: those on rows over ``changed``, those on the table over ``whole``.

    Each table needs only the columns of :func:`c360.contracts.audited_columns` for its scope, and the primary key to
    name failing rows by. Raises nothing for bad data: failures are in the report, and an expectation that itself raises
    counts as failed.
    """
    findings = (*_validate(contract, "rows", changed), *_validate(contract, "table", whole))
    return AuditReport(contract.name, changed.num_rows, findings)


def _validate(contract: Contract, scope: Scope, rows: pa.Table) -> tuple[Finding, ...]:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    expectations = to_expectations(contract, scope)
    if not expectations:
        return ()
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    asset = context.data_sources.add_pandas(contract.name).add_dataframe_asset(contract.name)
    batch = asset.add_batch_definition_whole_dataframe("staged").get_batch({"dataframe": to_frame(rows)})
    key = [name for name in contract.primary_key if name in rows.column_names]
    result = batch.validate(
        gx.ExpectationSuite(name=contract.name, expectations=expectations),
        result_format={
            "result_format": "SUMMARY",
            "partial_unexpected_count": SAMPLE_ROWS,
            **({"unexpected_index_column_names": key} if key else {}),
        },
    )
    return tuple(_finding(one) for one in result.results)


def _finding(result: Any) -> Finding:
    configuration = result.expectation_config
    kwargs = configuration.kwargs
    columns = [kwargs.get(name) for name in ("column", "column_A", "column_B")] + list(kwargs.get("column_list") or ())
    column = ", ".join(name for name in columns if name)
    details = dict(result.result or {})
    sample = details.get("partial_unexpected_index_list") or [
        {"value": value} for value in details.get("partial_unexpected_list") or ()
    ]
    severity = configuration.to_json_dict().get("severity") or "critical"
    raised = str((result.exception_info or {}).get("exception_message") or "")
    if raised and not result.success:
        sample = [{"exception": raised[:500]}]
    return Finding(
        expectation=configuration.type,
        column=column,
        severity=str(severity),
        passed=bool(result.success),
        unexpected=int(details.get("unexpected_count") or 0),
        sample=tuple({str(k): v for k, v in row.items()} for row in sample[:SAMPLE_ROWS]),
    )
