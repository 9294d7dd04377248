"""stub"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class MergeResult:
    """What a merge did."""

    inserted: int = 0
    updated: int = 0
    added: list[Any] = field(default_factory=list)
    removed: list[Any] = field(default_factory=list)


def plan_merge(*args: Any) -> MergeResult:
    """Stub."""
    raise NotImplementedError


def plan_replace(*args: Any) -> MergeResult:
    """Stub."""
    raise NotImplementedError
