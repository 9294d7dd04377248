"""What OpenAPI says of the answers: their schemas follow from the contracts of the tables.

Every schema has a name under ``components``, so that generators of clients have one class for one thing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query

from api.presenting import EXPORT_TOKENS
from api.serving.source import BY_KIND
from c360.contracts import get_contract
from c360.streams.job import METRICS

if TYPE_CHECKING:
    from c360.contracts.model import Column
    from c360.serving.model import Kind

AsOf = Annotated[
    str | None,
    Query(
        max_length=40,
        description="ISO 8601 moment with a time zone: answer as of then. Without it: now.",
        examples=["2025-12-31T00:00:00Z"],
        json_schema_extra={"format": "date-time"},
    ),
]
REPEATABLE = {"x-repeatable": True}
"""``openapi_extra`` of a POST that only reads: asking twice does no more than asking once."""
REFUSALS = {
    400: "The cursor is none of this list.", 401: "No valid credential.", 403: "Not permitted.",
    404: "No such thing, or it may not be seen; or nothing was published by then.", 422: "The request is not valid.",
    429: "Too fast.", 503: "Not available at the moment.",
}  # fmt: skip
ROWS: dict[Kind, str] = {
    "customer": "Customer", "versions": "ProfileVersion", "consents": "Consent", "orders": "Order",
    "deliveries": "Delivery", "events": "Event", "alerts": "Alert", "product": "Product",
    "inventory": "Inventory", "sales": "SalesFigures", "delivery": "DeliveryFigures",
}  # fmt: skip
"""Documents, and the schemas of their rows, which the contracts describe."""
OTHERS = {
    "timeline": "TimelineEntry", "segment": "Segment", "table": "Table", "release": "Release", "spell": "SegmentSpell",
    "live": "LiveCustomer", "window": "StreamWindow", "live_inventory": "LiveInventory",
}  # fmt: skip
"""What else is answered, and its schema in :data:`SCHEMAS`."""
_TEXT, _WHOLE = {"type": "string"}, {"type": "integer"}
_MOMENT = {"type": "string", "format": "date-time"}
TEXTS = {"type": "array", "items": _TEXT}
_RECORD = {"type": "object", "additionalProperties": True}


def _object(description: str, members: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "description": description, "properties": members, "required": list(members)}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    # As pydantic writes it: fewer generators know a list of types.
    return {"anyOf": [schema, {"type": "null"}]}


def ref(name: str) -> dict[str, str]:
    """A reference to the schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


PROBLEM = ref("Problem")
_LIVE = {"state": _TEXT, "current": _or_null(_MOMENT), "unread": _WHOLE}
SCHEMAS = {
    "Problem": _object(
        "A refusal (RFC 9457). `code` is a fixed word for programs, `detail` a sentence for people.",
        {"type": _TEXT, "title": _TEXT, "status": _WHOLE, "code": _TEXT, "detail": _TEXT},
    ),
    "Release": _object(
        "What the answer was read from: all tables as published together.",
        {
            "id": _TEXT,
            "as_of": {**_MOMENT, "description": "Decided recency and segments."},
            "published_at": _MOMENT,
        },
    ),
    "TimelineEntry": _object(
        "Something that happened, with the record that tells of it.",
        {"at": _or_null(_MOMENT), "kind": _TEXT, "record": {"type": "object", "additionalProperties": True}},
    ),
    "Segment": _object("A segment and how many customers it has.", {"segment": _or_null(_TEXT), "customers": _WHOLE}),
    "Table": _object(
        "A table that answers come from; its age in seconds.",
        {"table": _TEXT, "snapshot": _TEXT, "published_at": _MOMENT, "age_s": _WHOLE},
    ),
    "SegmentSpell": _object(
        "A time in one segment; `since` is null from the beginning, `until` while it lasts.",
        {"segment": _TEXT, "since": _or_null(_MOMENT), "until": _or_null(_MOMENT)},
    ),
    "LivePart": _object(
        "The newest of its kind, who knows it (`stream` or `release`), and its own time.",
        {"source": _TEXT, "event_time": _MOMENT, "record": {"type": "object", "additionalProperties": True}},
    ),
    "LiveCustomer": _object(
        "What is newest of a customer, by part; null for what never happened.",
        {
            "customer_id": _TEXT,
            "parts": {"type": "object", "additionalProperties": _or_null(ref("LivePart"))},
            "features": ref("LiveFeatures"),
        },
    ),
    "LiveFeatures": _object(
        "The newest row of the segment, and active alerts, newest first, as the feature store has them.",
        {**_LIVE, "segment": _or_null(_RECORD), "alerts": {"type": "array", "items": _RECORD}},
    ),
    "LiveSales": _object(
        "Sales in windows of an hour, sliding by five minutes, newest first, as the feature store has them.",
        {**_LIVE, "windows": {"type": "array", "items": _RECORD}},
    ),
    "LiveInventory": {
        **_or_null(_RECORD),
        "description": "The newest row of a product's stock, as the feature store has it.",
    },
    "Liveness": {
        "type": "object",
        "description": "`live`, `behind`, `stopped`, `absent`, `not_available`: then the release, or nothing, answers.",
        "properties": {
            "state": _TEXT,
            "current": _or_null(_MOMENT),
            "unread": _WHOLE,
            "snapshot": _TEXT,
            "committed_at": _MOMENT,
        },
        "required": ["state"],
    },
    "GraphqlError": {
        "type": "object",
        "description": "Why a field, or the query, is refused: `extensions.code`.",
        "properties": {
            "message": _TEXT,
            "extensions": {"type": "object", "additionalProperties": True},
            "locations": {"type": "array", "items": {"type": "object", "additionalProperties": True}},
            "path": {"type": "array", "items": {}},
        },
        "required": ["message", "extensions"],
    },
    "GraphqlAnswer": {
        "type": "object",
        "description": "What was found; `errors` tell what was refused.",
        "properties": {
            "data": _or_null({"type": "object", "additionalProperties": True}),
            "errors": {"type": "array", "items": ref("GraphqlError")},
            "extensions": {"type": "object", "additionalProperties": True},
        },
        "required": ["data", "extensions"],
    },
    "GraphqlRefusal": _object(
        "Why the query was not run.", {"errors": {"type": "array", "items": ref("GraphqlError")}}
    ),
}
"""What is no row of a table."""


class Described(FastAPI):
    """Its OpenAPI document has the schemas that its routes refer to."""

    def openapi(self) -> dict[str, Any]:
        """The document; made once."""
        if self.openapi_schema is None:
            components = super().openapi().setdefault("components", {})
            components["schemas"] = dict(sorted((components.get("schemas", {}) | _schemas()).items()))
        return super().openapi()


def as_documented(_: object) -> None:
    """Marks a parameter that is declared for OpenAPI and read elsewhere."""


def answers(what: str, *, many: bool = False, name: str = "", **members: Any) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that gives one or ``many`` of what :data:`ROWS` and :data:`OTHERS` name.

    ``name`` is of the answer's schema, needed if it has ``members`` that other answers have not.
    """
    item = (ROWS | OTHERS)[what]
    name = name or f"{item}{'List' if many else 'Answer'}"
    _ANSWERS[name] = _answer(item, members, many=many)
    return {
        200: {"description": "Found.", "content": {"application/json": {"schema": ref(name)}}},
        304: {"description": "Not changed since the ETag given."},
        **refusals(),
    }


_ANSWERS: dict[str, dict[str, Any]] = {}


def _answer(item: str, members: dict[str, Any], *, many: bool) -> dict[str, Any]:
    data = {"type": "array", "items": ref(item)} if many else ref(item)
    onward = {"next": {**_or_null(_TEXT), "description": "Cursor of the next page."}} if many else {}
    says = "A page of them, and the release they were read from." if many else "It, and the release it was read from."
    return _object(says, {"data": data, "release": ref("Release"), **onward, **members})


def refusals() -> dict[int | str, dict[str, Any]]:
    """The refusals that every route may give."""
    content = {"application/problem+json": {"schema": PROBLEM}}
    return {status: {"description": text, "content": content} for status, text in REFUSALS.items()}


def _schemas() -> dict[str, Any]:
    rows = {name: _row(BY_KIND[kind].table) for kind, name in ROWS.items()}
    exported, window = _row(BY_KIND["customer"].table, texts=EXPORT_TOKENS), _row(METRICS)
    return SCHEMAS | rows | _ANSWERS | {"ExportedCustomer": exported, "StreamWindow": window}


def _row(table: str, texts: frozenset[str] = frozenset()) -> dict[str, Any]:
    """``texts`` are columns that may hold a token in place of their value."""
    contract = get_contract(table)
    columns = [column for column in contract.columns if not column.name.startswith("_")]
    return {
        "type": "object",
        "description": f"{contract.description} Columns that you may not see are left out or masked.",
        "properties": {column.name: _schema(column, masked=column.name in texts) for column in columns},
    }


def _schema(column: Column, *, masked: bool) -> dict[str, Any]:
    kinds: dict[str, dict[str, Any]] = {
        "int": _WHOLE, "long": _WHOLE, "double": {"type": "number"}, "boolean": {"type": "boolean"},
        "timestamp": _MOMENT,
    }  # fmt: skip
    found = kinds.get(column.type, _TEXT)
    # Masked or tokenised, every value is text.
    masked = masked or column.classification != "none" or column.unique
    types = [found] if found["type"] == "string" or not masked else [found, _TEXT]
    says = {"description": column.description, "x-classification": column.classification}
    return {"anyOf": [*types, {"type": "null"}], **says}


def graphql_answers() -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of GraphQL: what it finds, what it does not run, and the refusals of every route."""
    problem = {"application/problem+json": {"schema": PROBLEM}}
    found, not_run = ({"application/json": {"schema": ref(f"Graphql{name}")}} for name in ("Answer", "Refusal"))
    return refusals() | {
        200: {"description": "Run; `errors` tell what was refused.", "content": found},
        400: {
            "description": "Not run: not valid or beyond a limit; a cursor of no list.",
            "content": not_run | problem,
        },
        410: {"description": "The release of the cursor is no longer kept.", "content": problem},
    }
