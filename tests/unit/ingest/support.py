"""A small bronze contract and a way to read bytes as a landed file."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from c360.contracts.model import Column, Contract, Source
from c360.ingest.readers import SYSTEM_COLUMNS, Reading, read

if TYPE_CHECKING:
    from pathlib import Path

DAY = date(2025, 1, 31)


def contract(*names: str) -> Contract:
    system = (*SYSTEM_COLUMNS, "_ingested_at")
    return Contract(
        name="bronze.example",
        layer="bronze",
        table="example",
        version="1.0.0",
        domain="d",
        owner="o",
        description="",
        columns=tuple(Column(name, "string") for name in (*names, *system)),
        primary_key=("_source_file", "_source_row"),
        source=Source("shop", "example", "csv"),
    )


def land(folder: Path, data: bytes, extension: str, *names: str, required: set[str] | None = None) -> Reading:
    path = folder / f"example.{extension}"
    path.write_bytes(data)
    return read(path, f"shop/example/{DAY}/example.{extension}", contract(*(names or ("id", "name"))), DAY, required)


def rows(reading: Reading, *names: str) -> list[tuple[Any, ...]]:
    """Values of the named columns, by default id, name, the raw text and the error."""
    table = reading.table.select(list(names or ("id", "name", "_raw", "_error")))
    return [tuple(row.values()) for row in table.to_pylist()]
