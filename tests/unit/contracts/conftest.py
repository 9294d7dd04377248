from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

os.environ["GX_ANALYTICS_ENABLED"] = "false"

SMALL: dict[str, Any] = {
    "apiVersion": "v3.2.0",
    "kind": "DataContract",
    "id": "silver.things",
    "name": "silver.things",
    "version": "1.0.0",
    "status": "active",
    "domain": "sales",
    "description": {"purpose": "Things for tests."},
    "team": {"name": "sales-data"},
    "slaProperties": [
        {"property": "freshness", "value": 2, "unit": "d"},
        {"property": "retention", "value": 2, "unit": "y"},
    ],
    "schema": [
        {
            "name": "things",
            "physicalType": "table",
            "customProperties": [{"property": "versionColumn", "value": "seen_at"}],
            "properties": [
                {
                    "name": "thing_id",
                    "description": "Which thing.",
                    "logicalType": "string",
                    "physicalType": "string",
                    "required": True,
                    "primaryKey": True,
                    "primaryKeyPosition": 1,
                    "classification": "none",
                    "customProperties": [{"property": "standardise", "value": ["trim"]}],
                },
                {
                    "name": "seen_at",
                    "description": "When.",
                    "logicalType": "timestamp",
                    "physicalType": "timestamp",
                    "required": True,
                    "primaryKey": True,
                    "primaryKeyPosition": 2,
                    "partitioned": True,
                    "partitionKeyPosition": 1,
                    "classification": "none",
                    "customProperties": [{"property": "partitionTransform", "value": "month"}],
                },
                {
                    "name": "colour",
                    "description": "Its colour.",
                    "logicalType": "string",
                    "physicalType": "string",
                    "classification": "none",
                    "enum": [{"value": "red"}, {"value": "blue"}],
                },
                {
                    "name": "size",
                    "description": "Its size.",
                    "logicalType": "integer",
                    "physicalType": "int",
                    "logicalTypeOptions": {"minimum": 0, "maximum": 10},
                    "classification": "none",
                },
            ],
        }
    ],
}

Write = Callable[[dict[str, Any]], Path]


@pytest.fixture
def small() -> dict[str, Any]:
    """A contract of the standard as plain data, to be changed by a test."""
    return copy.deepcopy(SMALL)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a contract below ``tmp_path/tables`` and returns that folder."""

    def to_folder(document: dict[str, Any]) -> Path:
        layer, table = document["id"].split(".")
        path = tmp_path / "tables" / layer / f"{table}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return tmp_path / "tables"

    return to_folder
