"""Columns by the name a mapping uses: which are needed, and what each is called in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from c360.ingest.mapping_source import RECORD, TextSource
from c360.ingest.mapping_target import did_you_mean
from c360.ingest.mapping_yaml import MappingError

if TYPE_CHECKING:
    from collections.abc import Mapping as Map


class Names:
    """Columns by the name a mapping uses; each gets one name in SQL, unique whatever the case."""

    def __init__(self, source: TextSource, lookups: Map[str, TextSource]) -> None:
        self._source, self._lookups = source, lookups
        self._internal: dict[str, str] = {}
        self.wanted: dict[str, dict[str, None]] = {name: {} for name in ("", *lookups)}
        seen = {RECORD, "hit"}
        for name in (*source.columns, *(f"{k}.{c}" for k, lookup in lookups.items() for c in lookup.columns)):
            unique = name
            while unique.casefold() in seen:
                unique += "_"
            seen.add(unique.casefold())
            self._internal.setdefault(name, unique)

    def internal(self, name: str) -> str:
        """The SQL name of ``column`` or ``lookup.column``."""
        return self._internal[name]

    def resolve(self, parts: tuple[str, ...], before: str | None = None) -> str:
        """The SQL name of a reference; notes that it is needed. ``before`` hides that look-up and later ones."""
        name = ".".join(parts)
        found = _match(name, self._source.columns)
        if found is not None:
            self.wanted[""][found] = None
            return self._internal[found]
        lookup, _, column = name.partition(".")
        usable = list(self._lookups)[: list(self._lookups).index(before)] if before else list(self._lookups)
        if column and lookup in usable:
            return self.lookup(lookup, column)
        known = [*self._source.columns, *(f"{k}.{c}" for k in usable for c in self._lookups[k].columns)]
        raise MappingError(
            f"{self._source.path.name} has no column '{name}'{did_you_mean(name, known)}",
            f"use one of {', '.join(known[:40])}{', …' if len(known) > 40 else ''}",
        )

    def lookup(self, lookup: str, column: str) -> str:
        """The SQL name of a look-up's column; notes that it is needed."""
        source = self._lookups[lookup]
        found = _match(column, source.columns)
        if found is None:
            hint = did_you_mean(column, source.columns)
            raise MappingError(
                f"The look-up '{lookup}' ({source.path.name}) has no column '{column}'{hint}",
                f"use one of {', '.join(source.columns)}",
            )
        self.wanted[lookup][found] = None
        return self._internal[f"{lookup}.{found}"]


def _match(name: str, columns: tuple[str, ...]) -> str | None:
    if name in columns:
        return name
    close = [c for c in columns if c.casefold() == name.casefold()]
    return close[0] if len(close) == 1 else None
