"""Great Expectations on an Arrow table: the contract's suite in, a small report out. Knows nothing of Dagster."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from c360.contracts import audited_columns, to_expectations, to_frame

if TYPE_CHECKING:
    import pyarrow as pa
    from great_expectations.core.batch_definition import BatchDefinition

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


def audit(contract: Contract, changed: pa.Table, keys: pa.Table, whole: pa.Table) -> AuditReport:
    """Run the contract's expectations: on rows over ``changed``, on unique keys over ``keys``, shares over ``whole``.

    Each table needs only the columns of :func:`c360.contracts.audited_columns` for its scope, and the primary key to
    name failing rows by. Raises nothing for bad data: failures are in the report, and an expectation that itself raises
    counts as failed.
    """
    scopes: tuple[tuple[Scope, pa.Table], ...] = (("rows", changed), ("key", keys), ("table", whole))
    findings = tuple(finding for scope, rows in scopes for finding in _validate(contract, scope, rows))
    return AuditReport(contract.name, changed.num_rows, findings)


def _validate(contract: Contract, scope: Scope, rows: pa.Table) -> tuple[Finding, ...]:
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    expectations = to_expectations(contract, scope)
    if not expectations:
        return ()
    import great_expectations as gx

    asked = [name for name in audited_columns(contract, scope) or contract.primary_key if name in rows.column_names]
    batch = _frames().get_batch({"dataframe": to_frame(rows.select(asked))})
    result = batch.validate(
        gx.ExpectationSuite(name=contract.name, expectations=expectations),
        result_format={
            "result_format": "SUMMARY",
            "partial_unexpected_count": SAMPLE_ROWS,
            "return_unexpected_index_query": False,
        },
    )
    return tuple(_finding(one, rows, contract.primary_key) for one in result.results)


@cache
def _frames() -> BatchDefinition[Any]:
    """What takes in a frame to be validated: one for the life of the process, as each new one is written as YAML."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.execution_engine import pandas_execution_engine

    # Frames below this size are fingerprinted, twice. Nobody reads it, and it costs more than all checks together.
    pandas_execution_engine.HASH_THRESHOLD = 0
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    return (
        context.data_sources.add_pandas("staged")
        .add_dataframe_asset("rows")
        .add_batch_definition_whole_dataframe("all")
    )


def _finding(result: Any, rows: pa.Table, key: tuple[str, ...]) -> Finding:
    configuration = result.expectation_config
    kwargs = configuration.kwargs
    columns = [kwargs.get(name) for name in ("column", "column_A", "column_B")] + list(kwargs.get("column_list") or ())
    columns = [name for name in columns if name]
    details = dict(result.result or {})
    shown = [name for name in dict.fromkeys((*key, *columns)) if name in rows.column_names]
    failing = list(details.get("partial_unexpected_index_list") or ())[:SAMPLE_ROWS]
    sample = rows.select(shown).take(failing).to_pylist() if failing else []
    raised = _raised(result.exception_info or {})
    if raised and not result.success:
        sample = [{"exception": raised[:500]}]
    return Finding(
        expectation=configuration.type,
        column=", ".join(columns),
        severity=str(configuration.to_json_dict().get("severity") or "critical"),
        passed=bool(result.success),
        unexpected=int(details.get("unexpected_count") or 0),
        sample=tuple(sample),
    )


def _raised(info: dict[str, Any]) -> str:
    """The message of whatever an expectation raised; it lies at the top or below the metric that raised."""
    found = [one.get("exception_message") for one in (info, *info.values()) if isinstance(one, dict)]
    return "; ".join(str(message) for message in found if message)
