"""JSON Lines as text columns: numbers keep the digits they were written with."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from c360.errors import LandingError
from c360.ingest.mapping_source import RECORD, Batch, Malformed
from c360.ingest.mapping_stream import text_lines
from c360.ingest.mapping_yaml import MappingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from c360.ingest.mapping_model import SourceSpec

ROWS = 50_000
SAMPLE = 10_000


class _Number(str):
    """The digits of a JSON number as written; told apart from a JSON string only when a nested value is printed."""

    __slots__ = ()


class JsonLinesSource:
    """One JSON object per line; nested fields are columns with dotted names, and also JSON text as a whole."""

    def __init__(self, path: Path, spec: SourceSpec) -> None:
        self.path, self._spec = path, spec
        self.columns = self._sampled_columns()

    def batches(self, wanted: Sequence[str]) -> Iterator[Batch]:
        """See :class:`c360.ingest.mapping_source.TextSource`; a column that no record has is an error at the end."""
        paths = [(name, name.split(".")) for name in wanted]
        unseen = set(wanted)
        values: dict[str, list[str | None]] = {name: [] for name in wanted}
        records: list[int] = []
        bad: list[Malformed] = []
        for number, row in self._rows():
            if isinstance(row, Malformed):
                bad.append(row)
            else:
                records.append(number)
                for name, path in paths:
                    found, value = _dig(row, name, path)
                    if found:
                        unseen.discard(name)
                    values[name].append(value)
            if len(records) >= ROWS:
                yield _batch(values, records, bad)
                values, records, bad = {name: [] for name in wanted}, [], []
        yield _batch(values, records, bad)
        for name in sorted(unseen):
            raise MappingError(
                f"No record of {self.path.name} has the field '{name}'", f"use {', '.join(self.columns[:20])}"
            )

    def places(self, records: Iterable[int]) -> dict[int, str]:
        """Records are numbered by line."""
        return {r: f"line {r}" for r in records}

    def _rows(self) -> Iterator[tuple[int, dict[str, Any] | Malformed]]:
        decode = json.JSONDecoder(parse_float=_Number, parse_int=_Number, parse_constant=_Number).decode
        with text_lines(self.path, self._spec.encoding) as lines:
            for number, line in enumerate(lines, 1):
                text = line.strip()
                if not text:
                    continue
                try:
                    row = decode(text)
                except (ValueError, RecursionError) as error:
                    yield number, Malformed(number, text, f"no JSON: {error}")
                    continue
                if isinstance(row, dict):
                    yield number, row
                else:
                    yield number, Malformed(number, text, "no JSON object")

    def _sampled_columns(self) -> tuple[str, ...]:
        names: dict[str, None] = {}
        first: Malformed | None = None
        for _, row in itertools.islice(self._rows(), SAMPLE):
            if isinstance(row, Malformed):
                first = first or row
            else:
                _collect(row, "", names)
        if names:
            return tuple(names)
        if first is not None and first.text.startswith("["):
            raise LandingError(
                f"{self.path.name} is one JSON array, not JSON Lines", "write one object per line (jq -c '.[]' does it)"
            )
        what = f"no JSON object in its first lines (line {first.record}: {first.why})" if first else "no records"
        raise LandingError(f"{self.path.name} has {what}", "export it as JSON Lines, one object per line")


def _batch(values: dict[str, list[str | None]], records: list[int], bad: list[Malformed]) -> Batch:
    arrays = [pa.array(v, pa.string()) for v in values.values()]
    return Batch(pa.table([*arrays, pa.array(records, pa.int64())], names=[*values, RECORD]), tuple(bad))


def _collect(row: dict[str, Any], prefix: str, names: dict[str, None]) -> None:
    for key, value in row.items():
        names[prefix + key] = None
        if isinstance(value, dict):
            _collect(value, f"{prefix}{key}.", names)


def _dig(row: dict[str, Any], name: str, path: Sequence[str]) -> tuple[bool, str | None]:
    """(field is there, its text); a key with a dot in its name wins over a nested one."""
    if name in row:
        return True, _text(row[name])
    value: Any = row
    for step in path:
        if not isinstance(value, dict) or step not in value:
            return False, None
        value = value[step]
    return True, _text(value)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return _dump(value)


def _dump(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)}: {_dump(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_dump(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)
