"""Fixtures for the landing tests: a mapping over a small file, given as texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from c360.ingest.mapping import parse_mapping
from c360.ingest.mapping_run import Conversion, Tally
from c360.ingest.mapping_source import RECORD
from c360.ingest.mapping_target import find_target


@dataclass
class Ran:
    """Target records as dicts (without the record number), the numbers, and the tally."""

    rows: list[dict[str, str | None]]
    records: list[int]
    malformed: list[tuple[int, str]]
    tally: Tally


Convert = Callable[..., Ran]
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a text or bytes into a file of the test's folder."""

    def put(name: str, content: str | bytes, encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return put


@pytest.fixture
def mapping_text() -> Callable[..., str]:
    """A mapping text for catalog.products (or another target) whose other required columns are constants."""

    def text(columns: str, target: str = "catalog.products", head: str = "") -> str:
        given = {line.split(":")[0].strip() for line in columns.splitlines()}
        needed = find_target(target)
        rest = [
            f"  {field}: {{value: x}}"
            for field, column in zip(needed.fields, needed.columns, strict=True)
            if column.required and field not in given
        ]
        body = "\n".join([*(f"  {line}" for line in columns.strip("\n").splitlines()), *rest])
        return f"version: 1\ntarget: {target}\n{head}\ncolumns:\n{body}\n"

    return text


@pytest.fixture
def convert(tmp_path: Path, mapping_text: Callable[..., str]) -> Convert:
    """Run a mapping over a file in memory."""

    def run(
        columns: str, content: str | bytes, *, head: str = "", name: str = "in.csv", target: str = "catalog.products",
        lookups: dict[str, str] | None = None,
    ) -> Ran:  # fmt: skip
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        paths = {}
        for lookup, text in (lookups or {}).items():
            paths[lookup] = tmp_path / f"{lookup}.csv"
            paths[lookup].write_text(text)
        mapping, found, _ = parse_mapping(mapping_text(columns, target, head), "m.yaml")
        ran = Ran([], [], [], Tally())
        with Conversion(mapping, found, path, paths) as conversion:
            for batch in conversion.run(ran.tally):
                ran.records += [int(n or 0) for n in batch.table.column(RECORD).to_pylist()]
                ran.rows += batch.table.drop_columns([RECORD]).to_pylist()
                ran.malformed += [(m.record, m.text) for m in batch.malformed]
        return ran

    return run
