"""JSON Lines as received: one object per line; numbers keep their digits, nested values become compact JSON text.

A line is malformed when it is blank, no JSON, no object, or names a key twice (nobody knows which is meant).
"""

from __future__ import annotations

import gc
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa

from c360.errors import LandingError
from c360.ingest.encoding import escape, without_mark
from c360.ingest.jsonl_keys import repeated_keys
from c360.ingest.jsonl_uniform import Block, Uniform
from c360.ingest.records import BAD_ENCODING, MALFORMED, Records, Refused, check_columns, spread

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from c360.ingest.records import StringArray

_SAMPLE, _BLOCK = 1 << 16, 1 << 19  # bytes read at a time: little at first, never so much that memory is not used again
_EXACT = json.JSONDecoder(parse_float=str, parse_int=str)
_STRINGS, _INTEGERS = {str, type(None)}, {int, type(None)}


def read_jsonl(data: bytes, where: str, declared: Sequence[str], required: Collection[str]) -> Records:
    """The records of a JSON Lines file.

    A key that one record lacks is null there. Raises LandingError for an empty file, another encoding, one JSON array
    instead of lines, and when a required key is missing from every record while an undeclared one is present (renamed).
    """
    data = without_mark(data, where)
    reader = _Reader(declared)
    with _no_collection():
        reader.read(_blocks(data))
    if data.lstrip()[:1] == b"[" and (not reader.kept or data.lstrip()[1:2] in b"\r\n"):
        raise LandingError(f"{where} is one JSON array, not JSON Lines", "write one object per line (`jq -c '.[]'`)")
    if reader.kept and reader.seen - set(declared):
        check_columns(where, sorted(reader.seen), declared, required)
    return reader.records()


def _blocks(data: bytes) -> Iterator[bytes]:
    """The data in pieces of whole lines; white space after the last line end is no line."""
    start, end = 0, len(data)
    last = data.rfind(b"\n") + 1
    if not data[last:].strip():
        end = max(last - 1, 0)
    while data:
        stop = data.find(b"\n", start + (_BLOCK if start else _SAMPLE), end)
        yield data[start : end if stop < 0 else stop]
        if stop < 0:
            return
        start = stop + 1


@contextmanager
def _no_collection() -> Iterator[None]:
    """Parsed JSON has no cycles: collecting while it is built only costs."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Reader:
    def __init__(self, declared: Sequence[str]) -> None:
        self._declared = tuple(declared)
        self._chunks: dict[str, list[StringArray]] = {name: [] for name in declared}
        self._extra: list[StringArray] = []
        self._refused: list[Refused] = []
        self._count = 0
        self._unknown: set[str] = set()
        self.kept: list[int] = []
        self.seen: set[str] = set()

    def read(self, blocks: Iterator[bytes]) -> None:
        """Read all blocks: the first with care, the others faster if the first shows keys of simple types."""
        for first in blocks:
            uniform = Uniform.of(self._take(first))
            if uniform is None:
                continue
            with ThreadPoolExecutor(pa.cpu_count()) as pool:
                while ahead := list(islice(blocks, 4 * pa.cpu_count())):
                    for block, parsed in zip(ahead, pool.map(uniform.parse, ahead), strict=True):
                        if parsed is None:
                            self._take(block)
                        else:
                            self._add(parsed)

    def _add(self, block: Block) -> None:
        for index, line in block.odd.items():
            self._refuse(self._count + index, line)
        for name in self._declared:
            column = block.columns[name]
            self._chunks[name].append(column)
            if column.null_count < len(column):
                self.seen.add(name)
        self._extra.append(pa.nulls(len(block.kept), pa.string()))
        self.kept += (block.kept + self._count).tolist()
        self._count += block.count

    def _take(self, block: bytes) -> dict[str, set[type]]:
        """Parse a block line by line; returns the types of the declared columns' values."""
        lines = block.split(b"\n")
        documents: list[dict[str, Any]] = []
        sources: list[bytes] = []
        ordinals: list[int] = []
        loads = orjson.loads
        for ordinal, line in enumerate(lines, self._count):
            try:
                document = loads(line)
            except orjson.JSONDecodeError:
                document = None
            if type(document) is dict:
                documents.append(document)
                sources.append(line)
                ordinals.append(ordinal)
            else:
                self._refuse(ordinal, line)
        self._count += len(lines)
        columns = self._columns(documents)
        twice = repeated_keys(documents, sources, columns.values())
        for index in reversed(twice):
            self._refuse(ordinals.pop(index), sources.pop(index))
            del documents[index]
        self.kept += ordinals
        kinds = {name: set(map(type, values)) for name, values in columns.items()}
        for name, values in (self._columns(documents) if twice else columns).items():
            if name in self._chunks:
                self._chunks[name].append(_texts(name, values, kinds[name], sources))
        self._extra.append(_extras(sorted(self._unknown), documents))
        return {name: kinds[name] for name in self._declared}

    def records(self) -> Records:
        kept, count = np.array(self.kept, dtype=np.int64), self._count
        columns = {name: spread(_joined(self._chunks[name]), kept, count) for name in self._declared}
        extra = spread(_joined(self._extra), kept, count)
        refused = sorted(self._refused, key=lambda r: r.ordinal)
        return Records(count, columns, None if extra.null_count == count else extra, refused, tuple(sorted(self.seen)))

    def _columns(self, documents: list[dict[str, Any]]) -> dict[str, Sequence[Any]]:
        """The values of every declared column, and of every other key in use."""
        used: set[str] = set().union(*documents)
        self.seen |= used
        self._unknown = used.difference(self._declared)
        names = (*self._declared, *sorted(self._unknown))
        if len(names) > 1 and documents:
            try:
                return dict(zip(names, zip(*map(itemgetter(*names), documents), strict=True), strict=True))
            except KeyError:
                pass  # a record lacks a key
        return {name: [document.get(name) for document in documents] for name in names}

    def _refuse(self, ordinal: int, line: bytes) -> None:
        line = line.removesuffix(b"\r")
        self._refused.append(Refused(ordinal, escape(line), _error(line)))


def _extras(unknown: list[str], documents: list[dict[str, Any]]) -> StringArray:
    if not unknown:
        return pa.nulls(len(documents), pa.string())
    found = ({name: document[name] for name in unknown if name in document} for document in documents)
    return pa.array([orjson.dumps(some).decode() if some else None for some in found], pa.string())


def _error(line: bytes) -> str:
    """Bad encoding if replacing the bad bytes is all it takes to make the line an object; else malformed."""
    try:
        line.decode()
    except UnicodeDecodeError:
        try:
            if isinstance(orjson.loads(line.decode("utf-8", "replace")), dict):
                return BAD_ENCODING
        except orjson.JSONDecodeError:
            pass
    return MALFORMED


def _joined(chunks: list[StringArray]) -> StringArray:
    return pa.concat_arrays(chunks) if chunks else pa.array([], pa.string())


def _texts(name: str, values: Sequence[Any], kinds: set[type], lines: list[bytes]) -> StringArray:
    if kinds <= _STRINGS:
        return pa.array(values, pa.string())
    if kinds <= _INTEGERS and 0 not in values:
        try:
            return pa.array(values, pa.int64()).cast(pa.string())
        except (OverflowError, pa.ArrowInvalid):
            pass
    return pa.array([_text(name, v, line) for v, line in zip(values, lines, strict=True)], pa.string())


def _text(name: str, value: Any, line: bytes) -> str | None:
    kind = type(value)
    if value is None or kind is str:
        return value  # type: ignore[no-any-return]
    if kind is bool:
        return "true" if value else "false"
    if kind is int and (value or b"-0" not in line):
        return str(value)
    if kind is int or kind is float:
        return _digits(name, value, line)
    return orjson.dumps(value).decode()


def _digits(name: str, value: float, line: bytes) -> str:
    """A number's digits as they stand in the line: ``1.10`` stays ``1.10``."""
    usual = repr(value)
    for form in (f'"{name}":{usual}', f'"{name}": {usual}'):
        end = line.find(form.encode()) + len(form)
        if end >= len(form) and line[end : end + 1] in (b",", b"}"):
            return usual
    return str(_EXACT.decode(line.decode())[name])
