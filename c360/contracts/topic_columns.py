"""The columns that a table of a topic's events has, from the topic's contract: one per leaf of the event."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from open_data_contract_standard.model import CustomProperty, SchemaProperty

from c360.contracts.standard import parse_contract, parse_shared
from c360.contracts.topic import MAP, SHARED, TOPICS, load_topics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

EVENT_ID, EVENT_TIME = "event_id", "event_timestamp"


def column_name(field: str) -> str:
    """Column of a field by dotted path: ``payload.user_id`` becomes ``user_id``."""
    return field.rpartition(".")[2]


def topic_columns(root: Path | None = None) -> Mapping[str, tuple[SchemaProperty, ...]]:
    """Columns by ``topic:<name>``, for all topics of a folder (the product's own by default) with events in JSON.

    The id is the key, the time partitions by month, maps become JSON text, and a sealed text has no bounds.
    """
    return _packaged() if root is None else _columns(root)


@cache
def _packaged() -> Mapping[str, tuple[SchemaProperty, ...]]:
    return _columns(TOPICS)


def _columns(root: Path) -> Mapping[str, tuple[SchemaProperty, ...]]:
    envelope = parse_shared(root / SHARED)
    found = {}
    for topic in load_topics(None if root == TOPICS else root).values():
        if topic.format == "json":
            body = (parse_contract(root / f"{topic.name}.yaml").schema_ or [])[0]
            group = next((p.value for p in body.customProperties or () if p.property == "sharedFields"), "")
            found[f"topic:{topic.name}"] = tuple(_leaves((*envelope.get(str(group), ()), *(body.properties or ()))))
    return found


def _leaves(properties: Sequence[SchemaProperty]) -> Iterator[SchemaProperty]:
    for item in properties:
        if item.logicalType == "object":
            yield from _leaves(item.properties or ())
        elif item.logicalType == MAP:
            yield item.model_copy(update={"logicalType": "string", "physicalType": "string", "map": None})
        elif item.name == EVENT_ID:
            yield item.model_copy(update={"primaryKey": True, "primaryKeyPosition": 1})
        elif item.name == EVENT_TIME:
            by_month = [CustomProperty(property="partitionTransform", value="month")]
            yield item.model_copy(update={"partitioned": True, "partitionKeyPosition": 1, "customProperties": by_month})
        elif item.classification == "direct":
            yield item.model_copy(update={"logicalTypeOptions": None})
        else:
            yield item
