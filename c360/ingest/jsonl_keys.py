"""Finding keys that one JSON object names twice, at almost no cost.

A parser keeps the last of two equal keys, so such a line shows more key marks (``":``) than the parsed object has keys.
Comparing both numbers for many lines at once is nearly free; only where they differ are lines parsed again, strictly.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_COLON, _QUOTE, _BACKSLASH = ord(":"), ord('"'), ord("\\")
_NESTED = {dict, list}
_WHITE = np.frombuffer(b" \t\r\n", np.uint8)


def repeated_keys(documents: list[dict[str, Any]], lines: list[bytes], columns: Iterable[Sequence[Any]]) -> list[int]:
    """Indices of the lines that name a key twice, at any depth.

    ``documents`` are the parsed lines, ``columns`` the same values by key instead of by line.
    """
    nested = (column for column in columns if not _NESTED.isdisjoint(map(type, column)))
    keys = sum(map(len, documents)) + sum(sum(map(_keys_in, column)) for column in nested)
    if _marks(b"\n".join(lines)) == keys:
        return []
    return [
        index
        for index, (document, line) in enumerate(zip(documents, lines, strict=True))
        if _marks(line) != _keys_in(document) and _names_twice(line)
    ]


def _keys_in(value: Any) -> int:
    """Number of keys of an object and of all objects in it."""
    if type(value) is dict:
        return len(value) + sum(map(_keys_in, value.values()))
    return sum(map(_keys_in, value)) if type(value) is list else 0


def _marks(text: bytes) -> int:
    """Number of ``":`` outside of strings; -1 where this form of counting could miss a key."""
    codes = np.frombuffer(b"   " + text, np.uint8)
    colons = np.flatnonzero(codes == _COLON)
    before = codes[colons - 1]
    if np.isin(before, _WHITE).any() and _white_between(codes, colons, before):
        return -1
    marks = colons[before == _QUOTE]
    escaped = codes[marks - 2] == _BACKSLASH
    if (codes[marks[escaped] - 3] == _BACKSLASH).any():  # a key that ends in a backslash, or text that looks so
        return -1
    return len(marks) - int(escaped.sum())


def _white_between(codes: np.ndarray[Any, np.dtype[np.uint8]], colons: Any, before: Any) -> bool:
    """Whether a quote, then white space, then a colon occurs."""
    places = colons[np.isin(before, _WHITE)] - 1
    while len(places):
        places = places - 1
        if (codes[places] == _QUOTE).any():
            return True
        places = places[np.isin(codes[places], _WHITE) & (places > 2)]
    return False


class _TwiceError(Exception):
    """An object names a key twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        raise _TwiceError
    return unique


_STRICT = json.JSONDecoder(object_pairs_hook=_once)


def _names_twice(line: bytes) -> bool:
    try:
        _STRICT.decode(line.decode())
    except _TwiceError:
        return True
    return False
