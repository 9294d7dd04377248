"""From a document to its answer: parsed, measured, validated, planned, read, on record, and only then told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from graphql import (
    GraphQLError,
    GraphQLSyntaxError,
    OperationType,
    ValuesOfCorrectTypeRule,
    execute_sync,
    get_operation_ast,
    get_variable_values,
    parse,
    specified_rules,
    validate,
)

from api.graphql.fields import SCHEMA
from api.graphql.limits import LIMITS, LimitError, Plan, measure, plan, screen
from api.problem import problem_told

if TYPE_CHECKING:
    from graphql import DocumentNode

    from api.graphql.reading import Reading

MOST_ERRORS = 20
_CORE = SCHEMA._schema
"""Strawberry declares the types and graphql-core runs them: between its steps come limits, the rate and the release."""


class QueryError(Exception):
    """A document that is not run. ``errors`` are as of a GraphQL answer, and repeat no value."""

    def __init__(self, *errors: dict[str, Any]) -> None:
        super().__init__("the query is refused")
        self.errors = list(errors)


class _Values(ValuesOfCorrectTypeRule):
    def report_error(self, error: GraphQLError) -> None:
        """Without the value, which may be somebody's address."""
        super().report_error(GraphQLError("A value is not of the type that its place takes.", error.nodes))


_RULES = [_Values if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules]


@dataclass(frozen=True)
class Prepared:
    """A query that may be run, as far as its form goes."""

    document: DocumentNode
    operation: str | None
    variables: dict[str, Any]
    plan: Plan


def prepare(text: str, variables: dict[str, Any], operation: str | None) -> Prepared:
    """Check a query without reading anything. Raises QueryError."""
    try:
        screen(text)
        document = parse(text, max_tokens=LIMITS["tokens"])
        measure(document)
        errors = validate(_CORE, document, _RULES, max_errors=MOST_ERRORS)
        if errors:
            raise QueryError(*(_told(each, "not_valid") for each in errors))
        chosen = get_operation_ast(document, operation)
        if chosen is None:
            raise QueryError(_said("There is no such operation, or several and none was named.", "not_valid"))
        if chosen.operation is not OperationType.QUERY:
            raise QueryError(_said("There are queries only.", "not_valid"))
        values = get_variable_values(_CORE, chosen.variable_definitions, variables, max_errors=1)
        if isinstance(values, list):
            raise QueryError(_said("A variable is missing or not of its type.", "not_valid"))
        return Prepared(document, operation, variables, plan(_CORE, document, chosen, values))
    except LimitError as error:
        raise QueryError(_said(str(error), "limit_exceeded", limit=error.limit, most=error.most)) from None
    except GraphQLSyntaxError as error:
        # What it says would quote the place.
        raise QueryError(_told(error, "not_valid", "The query is not written in GraphQL.")) from None
    except GraphQLError:
        raise QueryError(_said("An argument is missing or not of its type.", "not_valid")) from None


def run(prepared: Prepared, reading: Reading) -> dict[str, Any]:
    """The answer of a query, on record. Raises AuditError, and ProblemError 403 where nothing of it is permitted."""
    found = execute_sync(
        _CORE,
        prepared.document,
        context_value=reading,
        variable_values=prepared.variables,
        operation_name=prepared.operation,
    )
    reading.record()
    if reading.refused is not None and not reading.permitted:
        raise reading.refused
    extensions: dict[str, Any] = {"cost": prepared.plan.cost}
    if reading.permitted:
        extensions["release"] = reading.release
    answer = {"data": found.data, "extensions": extensions}
    errors = [_problem(each, reading.request_id) for each in found.errors or ()]
    return answer | ({"errors": errors} if errors else {})


def _problem(error: GraphQLError, request_id: str) -> dict[str, Any]:
    """The error of a field as the other routes tell it."""
    problem = problem_told(error.original_error or RuntimeError("graphql"), request_id)
    return _told(error, problem.code, problem.detail, status=problem.status)


def _told(error: GraphQLError, code: str, message: str | None = None, **more: Any) -> dict[str, Any]:
    where = [{"line": each.line, "column": each.column} for each in error.locations or ()]
    found = _said(message or error.message, code, **more)
    return found | ({"locations": where} if where else {}) | ({"path": error.path} if error.path else {})


def _said(message: str, code: str, **more: Any) -> dict[str, Any]:
    return {"message": message, "extensions": {"code": code, **more}}
