"""What is remembered between two looks, as the text that Dagster keeps as the sensor's cursor."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from c360_assets.alerts.core import Open
from c360_assets.alerts.model import Notice

VERSION = 1
PART_LIMIT = 65_536
"""Bytes that a source's position may take: the cursor is written at every look."""


@dataclass(frozen=True, slots=True)
class State:
    """Open alerts, each source's own position, and per sink what it still has to get.

    ``dropped`` counts the notices that a sink's full queue gave up; ``complained`` is when a sink's failure was last
    logged (UTC).
    """

    version: int = VERSION
    opened: dict[str, Open] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)
    waiting: dict[str, list[Notice]] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    complained: dict[str, datetime] = field(default_factory=dict)


def storable(part: Any) -> Any:
    """``part``, if the cursor can hold it. Raises TypeError if it is not JSON, ValueError if it is too large."""
    if (size := len(msgspec.json.encode(part))) > PART_LIMIT:
        raise ValueError(f"a position of {size} bytes does not fit the cursor")
    return part


def dump(state: State) -> str:
    """The state as a cursor."""
    return msgspec.json.encode(state).decode()


def load(cursor: str | None) -> State | None:
    """The state of a cursor; None if it is damaged or of another version. No cursor is the state of a first look."""
    if cursor is None:
        return State()
    try:
        state = msgspec.json.decode(cursor, type=State)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return state if state.version == VERSION else None
