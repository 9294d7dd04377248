"""Where a mapping leads: the source entity's contracts, found by ``system.entity``."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from c360.contracts import load_contracts
from c360.ingest.mapping_yaml import MappingError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from c360.contracts.model import Column, Contract


@dataclass(frozen=True)
class Target:
    """A source entity: its bronze contract (columns as text) and its silver contract (what the texts must mean)."""

    bronze: Contract
    silver: Contract

    @property
    def name(self) -> str:
        """``system.entity``, as in ``shop.orders``."""
        assert self.bronze.source is not None
        return f"{self.bronze.source.system}.{self.bronze.source.entity}"

    @property
    def folder(self) -> str:
        """Landing folder of the entity, relative to the landing folder, with ``/``."""
        return self.name.replace(".", "/")

    @property
    def columns(self) -> tuple[Column, ...]:
        """Silver columns that a landing file provides, in the order of the bronze contract."""
        by_source = {c.source or c.name: c for c in self.silver.columns}
        return tuple(by_source.get(b.name, b) for b in self.bronze.columns if not b.name.startswith("_"))

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the landing file's columns, in contract order."""
        return tuple(b.name for b in self.bronze.columns if not b.name.startswith("_"))


@cache
def targets() -> dict[str, Target]:
    """All source entities by name."""
    contracts = load_contracts()
    found: dict[str, Target] = {}
    for bronze in contracts.values():
        if bronze.layer != "bronze" or bronze.source is None:
            continue
        for silver in contracts.values():
            if silver.layer == "silver" and silver.upstream == (bronze.name,):
                target = Target(bronze, silver)
                found[target.name] = target
    return found


def find_target(name: str) -> Target:
    """The target of that name; :class:`MappingError` lists the targets otherwise."""
    found = targets()
    if name in found:
        return found[name]
    raise MappingError(
        f"There is no target '{name}'{did_you_mean(name, found)}", f"use one of {', '.join(sorted(found))}"
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``" (did you mean 'x'?)"`` for the closest known name, or an empty text."""
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return f" (did you mean '{by_lower[close[0]]}'?)" if close else ""
