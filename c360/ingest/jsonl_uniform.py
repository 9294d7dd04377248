"""The fast lane of JSON Lines: blocks in which every key keeps one simple type are parsed by Arrow, on all cores.

Arrow's parser is as strict as ours (repeated and unknown keys, changes of type, numbers of another form: errors) but
gives up on a whole block, and does not keep lines apart. So lines that cannot be records are taken out first, and any
block that is not plain in every respect is left to the careful lane, which must give the same rows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.json as pa_json

from c360.ingest.encoding import is_utf8

if TYPE_CHECKING:
    from collections.abc import Mapping

    from c360.ingest.records import Ordinals, StringArray

_TYPES: Mapping[type, pa.DataType] = {str: pa.string(), int: pa.int64(), bool: pa.bool_()}
_NEGATIVE_ZERO = re.compile(rb":\s*-0")
_OPEN, _CLOSE, _RETURN, _NEWLINE = b"{}\r\n"


@dataclass(frozen=True)
class Block:
    """A parsed block: its columns, which of its ``count`` lines they hold, and the other lines by index."""

    columns: Mapping[str, StringArray]
    kept: Ordinals
    odd: Mapping[int, bytes]
    count: int


class Uniform:
    """A parser for blocks whose keys have the types that the file's first block showed."""

    def __init__(self, types: Mapping[str, pa.DataType]) -> None:
        self._integers = [name for name, type_ in types.items() if type_ == pa.int64()]
        self._options = pa_json.ParseOptions(explicit_schema=pa.schema(types), unexpected_field_behavior="error")

    @classmethod
    def of(cls, kinds: Mapping[str, set[type]]) -> Uniform | None:
        """The parser for these Python types per key; None if a key has several types, or one without a plain text."""
        types: dict[str, pa.DataType] = {}
        for name, found in kinds.items():
            simple = found - {type(None)} or {str}
            if len(simple) > 1 or not simple <= _TYPES.keys():
                return None
            types[name] = _TYPES[next(iter(simple))]
        return cls(types)

    def parse(self, block: bytes) -> Block | None:
        """The block's rows, or None if it must be read with care."""
        ends = np.flatnonzero(np.frombuffer(block + b"\n", np.uint8) == _NEWLINE)
        starts = np.concatenate([[0], ends[:-1] + 1])
        odd = _odd(block, starts, ends)
        if odd is None:
            return None
        rows = len(starts) - len(odd)
        text = block
        if odd:
            places = [0, *(p for i in odd for p in (starts[i], ends[i] + 1)), len(block)]
            text = b"".join(block[s:e] for s, e in zip(places[::2], places[1::2], strict=True))
        try:
            options = pa_json.ReadOptions(use_threads=False, block_size=len(text) + 1)
            table = pa_json.read_json(pa.BufferReader(text), options, self._options)  # type: ignore[arg-type]
        except pa.ArrowInvalid:
            return None
        # Every line begins and ends like one object: as many rows as lines means one row per line.
        if table.num_rows != rows or self._may_hold_negative_zero(table, text):
            return None
        columns = {name: _text(table.column(name)) for name in table.column_names}
        kept = np.delete(np.arange(len(starts)), list(odd)) if odd else np.arange(len(starts))
        return Block(columns, kept, odd, len(starts))

    def _may_hold_negative_zero(self, table: pa.Table, text: bytes) -> bool:
        """Whether a ``-0`` may have lost its sign on the way through an integer."""
        zeros = any(
            0 in chunk.to_numpy(zero_copy_only=False) for n in self._integers for chunk in table.column(n).chunks
        )
        return zeros and _NEGATIVE_ZERO.search(text) is not None


def _odd(block: bytes, starts: Ordinals, ends: Ordinals) -> dict[int, bytes] | None:
    """The lines that are no records, by index; None if one of those that look odd is a record after all."""
    codes = np.frombuffer(block + b"\n", np.uint8)
    closed = (codes[ends - 1] == _CLOSE) | ((codes[ends - 1] == _RETURN) & (codes[ends - 2] == _CLOSE))
    odd = set(np.flatnonzero((codes[starts] != _OPEN) | ~closed).tolist())
    if not is_utf8(block):
        foreign = np.unique(np.searchsorted(ends, np.flatnonzero(codes > 0x7F)))  # lines with more than ASCII
        odd.update(i for i in foreign.tolist() if not is_utf8(block[starts[i] : ends[i]]))
    found = {i: block[starts[i] : ends[i]] for i in sorted(odd)}
    return None if any(map(_is_record, found.values())) else found


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _text(column: pa.ChunkedArray[Any]) -> StringArray:
    chunks = [chunk.cast(pa.string()) for chunk in column.chunks]
    return pa.concat_arrays(chunks) if chunks else pa.array([], pa.string())
