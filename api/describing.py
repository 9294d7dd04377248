"""What OpenAPI says of the answers: their schemas follow from the contracts of the tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Query

from api.serving.source import BY_KIND
from c360.contracts import get_contract

if TYPE_CHECKING:
    from c360.contracts.model import Column

AsOf = Annotated[
    str | None,
    Query(
        max_length=40,
        description="ISO 8601 moment with a time zone: answer as of then. Without it: now.",
        examples=["2025-12-31T00:00:00Z"],
        json_schema_extra={"format": "date-time"},
    ),
]
PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
        "code": {"type": "string"}, "detail": {"type": "string"},
    },
    "required": ["type", "title", "status", "code", "detail"],
}  # fmt: skip
RELEASE = {
    "type": "object",
    "description": "What the answer was read from: all tables as published together.",
    "properties": {
        "id": {"type": "string"},
        "as_of": {"type": "string", "format": "date-time", "description": "Decided recency and segments."},
        "published_at": {"type": "string", "format": "date-time"},
    },
    "required": ["id", "as_of", "published_at"],
}
REFUSALS = {
    400: "The cursor is none of this list.", 401: "No valid credential.", 403: "Not permitted.",
    404: "No such thing, or it may not be seen; or nothing was published by then.", 422: "The request is not valid.",
    429: "Too fast.", 503: "Not available at the moment.",
}  # fmt: skip
TIMELINE = {
    "type": "object",
    "properties": {
        "at": {"type": ["string", "null"], "format": "date-time"},
        "kind": {"type": "string"},
        "record": {"type": "object"},
    },
    "required": ["at", "kind", "record"],
}

SPELL = {
    "type": "object",
    "properties": {
        "segment": {"type": "string"},
        "since": {"type": ["string", "null"], "format": "date-time", "description": "Null: from the beginning."},
        "until": {"type": ["string", "null"], "format": "date-time", "description": "Null: still."},
    },
    "required": ["segment", "since", "until"],
}
PART = {
    "type": ["object", "null"],
    "properties": {
        "source": {"type": "string", "enum": ["stream", "release"]},
        "event_time": {"type": "string", "format": "date-time", "description": "Of this part alone."},
        "record": {"type": "object"},
    },
    "required": ["source", "event_time", "record"],
}
LIVE = {
    "type": "object",
    "properties": {
        "customer_id": {"type": "string"},
        "parts": {"type": "object", "additionalProperties": PART, "description": "Null: never happened."},
    },
    "required": ["customer_id", "parts"],
}
LIVENESS = {
    "type": "object",
    "description": "How live the answer is; where it is not `live`, the release stands in.",
    "properties": {"state": {"enum": ["live", "behind", "stopped", "absent", "not_available"]}},
    "required": ["state"],
}
OF_NO_TABLE: dict[str, dict[str, Any]] = {"timeline": TIMELINE, "spell": SPELL}
WINDOWS = {"type": "array", "items": {"type": "object", "description": "A row of gold.event_metrics."}}


def as_documented(_: object) -> None:
    """Marks a parameter that is declared for OpenAPI and read elsewhere."""


def answers_now(data: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route whose answer is of this moment, with how live it is."""
    members = {"data": data, "release": RELEASE, "live": LIVENESS}
    ok = {"type": "object", "properties": members, "required": list(members)}
    return {200: {"description": "Found.", "content": {"application/json": {"schema": ok}}}, **refusals()}


def answers(what: str, *, many: bool = False) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of a route that gives documents of a kind, or of :data:`OF_NO_TABLE`."""
    item = OF_NO_TABLE[what] if what in OF_NO_TABLE else _row(what)
    data: dict[str, Any] = {"type": "array", "items": item} if many else item
    members: dict[str, Any] = {"data": data, "release": RELEASE}
    if many:
        members["next"] = {"type": ["string", "null"], "description": "Cursor of the next page."}
    ok = {"type": "object", "properties": members, "required": list(members)}
    return {
        200: {"description": "Found.", "content": {"application/json": {"schema": ok}}},
        304: {"description": "Not changed since the ETag given."},
        **refusals(),
    }


def refusals() -> dict[int | str, dict[str, Any]]:
    """The refusals that every route may give."""
    content = {"application/problem+json": {"schema": PROBLEM}}
    return {status: {"description": text, "content": content} for status, text in REFUSALS.items()}


def _row(kind: str) -> dict[str, Any]:
    contract = get_contract(BY_KIND[kind].table)  # type: ignore[index]
    columns = [column for column in contract.columns if not column.name.startswith("_")]
    return {
        "type": "object",
        "description": f"{contract.description} Columns that you may not see are left out or masked.",
        "properties": {column.name: _schema(column) for column in columns},
    }


def _schema(column: Column) -> dict[str, Any]:
    kinds: dict[str, dict[str, Any]] = {
        "int": {"type": "integer"}, "long": {"type": "integer"}, "double": {"type": "number"},
        "boolean": {"type": "boolean"}, "date": {"type": "string"}, "timestamp": {"type": "string"},
    }  # fmt: skip
    found = dict(kinds.get(column.type, {"type": "string"}))
    # Masked or tokenised, every value is text.
    types = {found["type"], "string"} if column.classification != "none" or column.unique else {found["type"]}
    found["type"] = [*sorted(types), "null"]
    if column.type == "timestamp":
        found["format"] = "date-time"
    return found | {"description": column.description, "x-classification": column.classification}
