"""The JSON Schema of a topic's events as they are on the wire, for the registry and for readers in other languages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from c360.contracts.topic import MAP
from c360.contracts.vocabulary import decimal_of

if TYPE_CHECKING:
    from c360.contracts.model import Column
    from c360.contracts.topic import TopicContract

DIALECT = "http://json-schema.org/draft-07/schema#"

_TYPES = {"string": "string", "int": "integer", "long": "integer", "double": "number", "boolean": "boolean"}


def to_json_schema(topic: TopicContract) -> dict[str, Any]:
    """The schema of one event. Closed: only what the contract names may be there, else an added field could collide."""
    root = _object()
    root = {"$schema": DIALECT, "title": topic.name, "description": topic.description, **root}
    encrypted = set(topic.encrypted)
    for field in topic.fields:
        *parents, name = field.name.split(".")
        here = root
        for parent in parents:
            if parent not in here["properties"]:
                here["properties"][parent] = _object()
                here["required"].append(parent)
            here = here["properties"][parent]
        here["properties"][name] = _property(field, sealed=field.name in encrypted)
        if field.required:
            here["required"].append(name)
    return root


def to_text(topic: TopicContract) -> str:
    """The same as text, always in the same bytes for the same contract."""
    return json.dumps(to_json_schema(topic), separators=(",", ":"), ensure_ascii=False)


def _object() -> dict[str, Any]:
    return {"type": "object", "properties": {}, "required": [], "additionalProperties": False}


def _property(field: Column, *, sealed: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"description": field.description}
    if field.type == MAP:
        found |= {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
    elif field.type == "timestamp":
        found |= {"type": "string", "format": "date-time"}
    elif field.type == "date":
        found |= {"type": "string", "format": "date"}
    else:
        found["type"] = "number" if decimal_of(field.type) else _TYPES[field.type]
    if sealed:
        # What bounds the clear text says nothing about the sealed one.
        return {**found, "type": ["string", "null"]}
    if field.enum:
        found["enum"] = [*field.enum, *([] if field.required else [None])]
    for word, bound in (("minimum", field.minimum), ("maximum", field.maximum)):
        if bound is not None and field.name != "schema_version":
            found[word] = float(bound) if "." in bound else int(bound)
    if field.name == "schema_version":
        # The newest version is not part of the schema: each added field would otherwise also loosen a bound.
        found["minimum"] = 1
    if field.pattern is not None:
        found["pattern"] = field.pattern
    if field.max_length is not None:
        found["maxLength"] = field.max_length
    if not field.required:
        found["type"] = [found["type"], "null"]
    return found
