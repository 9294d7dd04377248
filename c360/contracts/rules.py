"""Quality rules of a contract, from the standard's words to one :class:`~c360.contracts.model.Rule` each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NoReturn

from c360.contracts.model import Rule
from c360.contracts.vocabulary import EXPECTATIONS, METRICS
from c360.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from open_data_contract_standard.model import DataQuality

_SEVERITY: dict[str, Literal["error", "warning"]] = {"error": "error", "warning": "warning"}


def compile_rule(quality: DataQuality, column: str | None, known: Sequence[str], path: Path) -> Rule:
    """One rule, stated at a column or (``column`` is None) at the table; ContractError if it could not be audited."""
    severity = _SEVERITY.get(quality.severity or "error")
    if severity is None:
        _refuse(path, f"quality rule has the severity '{quality.severity}'", "use error or warning")
    rule = _custom(quality, severity, path) if quality.type == "custom" else _metric(quality, column, severity, path)
    for name in rule.columns:
        if name not in known:
            _refuse(path, f"quality rule {rule.name or rule.metric} names the unknown column '{name}'", "name a column")
    return rule


def _custom(quality: DataQuality, severity: Literal["error", "warning"], path: Path) -> Rule:
    stated = quality.implementation
    if quality.engine != "greatExpectations" or not isinstance(stated, dict):
        mend = "use engine greatExpectations with implementation {type, kwargs}"
        _refuse(path, f"custom quality rule for the engine '{quality.engine}' cannot be audited", mend)
    expectation, arguments = stated.get("type"), stated.get("kwargs", {})
    if expectation not in EXPECTATIONS:
        mend = f"use one of {', '.join(EXPECTATIONS)}"
        _refuse(path, f"quality rule names the unknown expectation '{expectation}'", mend)
    named = EXPECTATIONS[expectation]
    missing = [argument for argument in named if argument not in arguments]
    if missing:
        _refuse(path, f"quality rule {expectation} lacks {', '.join(missing)}", "add the arguments")
    return Rule(
        metric=expectation,
        arguments=dict(arguments),
        severity=severity,
        description=quality.description or "",
        name=quality.name or "",
        columns=tuple(str(arguments[argument]) for argument in named),
    )


def _metric(quality: DataQuality, column: str | None, severity: Literal["error", "warning"], path: Path) -> Rule:
    metric = quality.metric
    if metric not in METRICS:
        mend = f"use a metric of {', '.join(METRICS)}, or type custom"
        _refuse(path, f"quality rule of type {quality.type} with metric '{metric}' cannot be audited", mend)
    arguments = dict(quality.arguments or {})
    stated = arguments.get("properties", ())
    columns = tuple(str(name) for name in stated) if column is None else (column,)
    if bool(columns) == (metric == "rowCount"):
        _refuse(path, f"quality rule {metric} stands at the wrong place", "rowCount at the table, others at columns")
    percent = quality.unit == "percent"
    minimum, maximum = _bounds(quality, percent, path)
    if metric != "rowCount" and (minimum or maximum is None):
        _refuse(path, f"quality rule {metric} asks for bad values", "state the most that is allowed")
    if metric == "duplicateValues" and maximum != 0:
        _refuse(path, "quality rule duplicateValues allows some duplicates", "state mustBe: 0")
    if metric in ("missingValues", "invalidValues") and not set(arguments) & {
        "missingValues",
        "validValues",
        "pattern",
    }:
        _refuse(path, f"quality rule {metric} does not say which values", "add missingValues, validValues or pattern")
    if not percent and metric not in ("rowCount", "duplicateValues") and maximum != 0:
        mend = "use unit: percent, or mustBe: 0"
        _refuse(path, f"quality rule {metric} allows a number of rows, which grows with the table", mend)
    return Rule(
        metric=metric,
        arguments=arguments,
        severity=severity,
        description=quality.description or "",
        name=quality.name or "",
        columns=columns,
        minimum=minimum,
        maximum=maximum,
        percent=percent,
    )


def _bounds(quality: DataQuality, percent: bool, path: Path) -> tuple[float | None, float | None]:
    """Inclusive (minimum, maximum) of the measured number; the standard allows exactly one operator per rule."""
    step = 0 if percent else 1
    if quality.mustBe is not None and isinstance(quality.mustBe, int | float):
        return quality.mustBe, quality.mustBe
    if quality.mustBeBetween is not None:
        low, high = quality.mustBeBetween
        return low, high
    if quality.mustBeGreaterOrEqualTo is not None:
        return quality.mustBeGreaterOrEqualTo, None
    if quality.mustBeLessOrEqualTo is not None:
        return None, quality.mustBeLessOrEqualTo
    if quality.mustBeGreaterThan is not None and step:
        return quality.mustBeGreaterThan + step, None
    if quality.mustBeLessThan is not None and step:
        return None, quality.mustBeLessThan - step
    mend = "use mustBe, mustBeBetween, mustBeGreaterOrEqualTo or mustBeLessOrEqualTo"
    return _refuse(path, f"quality rule {quality.metric} has an operator that is not supported", mend)


def _refuse(path: Path, problem: str, mend: str) -> NoReturn:
    raise ContractError(f"{path}: {problem}", mend)
