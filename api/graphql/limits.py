"""What a query may ask for at most, found out before anything is read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    InlineFragmentNode,
    Lexer,
    Source,
    TokenKind,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
)
from graphql.execution.values import get_argument_values
from graphql.type import SchemaMetaFieldDef, TypeMetaFieldDef, TypeNameMetaFieldDef

from api.paging import MOST

if TYPE_CHECKING:
    from graphql import DocumentNode, GraphQLSchema, OperationDefinitionNode, SelectionSetNode

LIMITS = {
    "tokens": 1_000, "nesting": 64, "directives": 30, "depth": 16, "fields": 500, "aliases": 30, "first": MOST,
    "cost": 50_000,
}  # fmt: skip
"""``fields``, ``aliases`` and ``depth`` as if each fragment stood where it is used."""
COST_PER_REQUEST = 100
"""So much of the cost counts as one request of the other routes, for the limit to how often somebody may ask."""
OBJECT = 10
"""The cost of an object, which is a document or record that is read; a value costs 1."""
SCANNED = {"sales_metrics": 2_000, "delivery_metrics": 2_000}
"""Fields that read all records of a kind, however few are asked for."""
LOOKED_UP = 100
"""Length of a list that has no ``first``."""
_META = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef, "__typename": TypeNameMetaFieldDef}
_OPEN, _CLOSE = (
    {TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L},
    {TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R},
)


class LimitError(Exception):
    """``limit`` is one of :data:`LIMITS`."""

    def __init__(self, limit: str) -> None:
        super().__init__(f"The query exceeds the limit of {LIMITS[limit]:,} for {limit}.")
        self.limit, self.most = limit, LIMITS[limit]


def _within(limit: str, count: float) -> None:
    if count > LIMITS[limit]:
        raise LimitError(limit)


def screen(text: str) -> None:
    """Before parsing, which recurses. Raises LimitError, and GraphQLSyntaxError for what is no token."""
    lexer, tokens, nesting, directives = Lexer(Source(text)), 0, 0, 0
    while (token := lexer.advance()).kind is not TokenKind.EOF:
        tokens += 1
        nesting += (token.kind in _OPEN) - (token.kind in _CLOSE)
        directives += token.kind is TokenKind.AT
        _within("tokens", tokens)
        _within("nesting", nesting)
        _within("directives", directives)


def measure(document: DocumentNode) -> None:
    """Before validation, whose effort grows with what fragments unfold to. Raises LimitError."""
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    fields = aliases = 0

    def walk(selections: SelectionSetNode | None, depth: int, within: frozenset[str]) -> None:
        nonlocal fields, aliases
        _within("depth", depth)
        for node in selections.selections if selections else ():
            fields += 1
            _within("fields", fields)
            if isinstance(node, FieldNode):
                aliases += node.alias is not None
                _within("aliases", aliases)
                walk(node.selection_set, depth + 1, within)
            elif isinstance(node, InlineFragmentNode):
                walk(node.selection_set, depth, within)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in within:
                # One that is missing or contains itself is for validation to tell.
                found = fragments.get(node.name.value)
                walk(found.selection_set if found else None, depth, within | {node.name.value})

    for each in document.definitions:
        walk(getattr(each, "selection_set", None), 0, frozenset())


@dataclass
class Plan:
    """What a valid operation is going to read.

    ``columns`` are the fields asked for, by the name of their type; ``cursors`` the values of all arguments ``after``.
    """

    cost: int = 0
    columns: dict[str, set[str]] = field(default_factory=dict)
    cursors: set[str] = field(default_factory=set)


def plan(
    schema: GraphQLSchema, document: DocumentNode, operation: OperationDefinitionNode, variables: dict[str, Any]
) -> Plan:
    """The plan of a valid operation, as if each list were as long as it may be. Raises LimitError."""
    fragments = {each.name.value: each for each in document.definitions if isinstance(each, FragmentDefinitionNode)}
    lengths, found = _lengths(schema), Plan()

    def walk(parent: Any, selections: SelectionSetNode | None, times: int, first: int) -> None:
        for node in selections.selections if selections else ():
            if isinstance(node, FragmentSpreadNode):
                walk(parent, fragments[node.name.value].selection_set, times, first)
            elif isinstance(node, InlineFragmentNode):
                walk(parent, node.selection_set, times, first)
            elif isinstance(node, FieldNode):
                visit(parent, node, times, first)

    def visit(parent: Any, node: FieldNode, times: int, first: int) -> None:
        name = node.name.value
        definition: Any = _META.get(name) or parent.fields[name]
        given, kind = get_argument_values(definition, node, variables), get_named_type(definition.type)
        if "first" in given:
            if not 1 <= given["first"] <= MOST:
                raise LimitError("first")
            first = given["first"]
        if given.get("after") is not None:
            found.cursors.add(given["after"])
        own = not parent.name.startswith("__") and not name.startswith("__")
        if is_list_type(get_nullable_type(definition.type)):
            times *= first if own else lengths.get(name, 1)
        leaf = is_leaf_type(kind)
        found.cost += times * (OBJECT if own and not leaf else 1) + SCANNED.get(name, 0) * own
        _within("cost", found.cost)
        if own and leaf:
            found.columns.setdefault(parent.name, set()).add(name)
        walk(kind, node.selection_set, times, first)

    walk(schema.query_type, operation.selection_set, 1, LOOKED_UP)
    return found


def _lengths(schema: GraphQLSchema) -> dict[str, int]:
    """How long the lists of an introspection are, on average."""
    objects = [each for each in schema.type_map.values() if isinstance(each, GraphQLObjectType)]
    fields = sum(len(each.fields) for each in objects) // len(objects)
    return {"types": len(schema.type_map), "fields": fields + 1, "directives": len(schema.directives), "enumValues": 2}
