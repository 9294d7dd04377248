"""What changed between two versions of a contract, and which version step that needs.

A *breaking* change can make a reader or a writer of yesterday fail or mislead it, and needs a new major version. An
*additive* one needs a minor version, and wording alone a patch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from c360.contracts.vocabulary import decimal_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from c360.contracts.model import Column, Contract

Level = Literal["breaking", "additive", "wording"]


@dataclass(frozen=True)
class Change:
    """One difference, in a sentence."""

    level: Level
    text: str


def breaking_changes(old: Contract, new: Contract) -> list[str]:
    """The breaking changes from ``old`` to ``new``, one sentence each; empty if there are none."""
    return [change.text for change in changes(old, new) if change.level == "breaking"]


def changes(old: Contract, new: Contract) -> list[Change]:
    """All differences but that of the version itself; empty means the contracts say the same."""
    found = [*_table_changes(old, new), *column_changes(old.columns, new.columns)]
    if not found and replace(old, version=new.version) != new:
        found.append(Change("wording", "wording or order changed"))
    return found


def column_changes(old: Sequence[Column], new: Sequence[Column]) -> list[Change]:
    """The differences between two lists of columns, or of an event's fields."""
    found = _column_list_changes(old, new)
    before = {column.name: column for column in old}
    for column in new:
        if column.name in before:
            found += _column_changes(before[column.name], column)
    return found


def version_problem(old: Contract, new: Contract) -> str | None:
    """Why the version step from ``old`` to ``new`` is too small for what changed; None if it is enough."""
    found = changes(old, new)
    before, after = _version(old), _version(new)
    if after < before:
        return f"version went back from {old.version} to {new.version}"
    breaking = [change.text for change in found if change.level == "breaking"]
    if breaking and after[0] == before[0]:
        return f"breaking without a new major version after {old.version}: {'; '.join(breaking)}"
    additive = [change.text for change in found if change.level == "additive"]
    if additive and after[:2] == before[:2]:
        return f"changed without a new minor version after {old.version}: {'; '.join(additive)}"
    if found and after == before:
        return f"changed without a new version after {old.version}: {'; '.join(change.text for change in found)}"
    return None


def _table_changes(old: Contract, new: Contract) -> list[Change]:
    found = []
    if old.primary_key != new.primary_key:
        text = f"primary key changed from ({', '.join(old.primary_key)}) to ({', '.join(new.primary_key)})"
        found.append(Change("breaking", text))
    if old.version_column != new.version_column:
        found.append(Change("breaking", f"version column changed from {old.version_column} to {new.version_column}"))
    if old.source != new.source:
        found.append(Change("breaking", "source of the landing files changed"))
    if _days(new) < _days(old):
        found.append(Change("breaking", f"retention shortened from {old.retention_days} to {new.retention_days} days"))
    elif _days(new) > _days(old):
        found.append(Change("additive", f"retention lengthened to {new.retention_days or 'unlimited'} days"))
    for name in ("partitioning", "freshness_hours", "upstream", "properties", "status", "owner", "domain"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            found.append(Change("additive", f"{name.replace('_', ' ')} changed"))
    if set(map(repr, old.rules)) != set(map(repr, new.rules)):
        # A rule may refuse a write, but what was published under the old ones stays readable.
        found.append(Change("additive", "quality rules changed"))
    return found


def _column_list_changes(old: Sequence[Column], new: Sequence[Column]) -> list[Change]:
    found = []
    before, after = {column.name for column in old}, {column.name for column in new}
    dropped = [column for column in old if column.name not in after]
    added = [column for column in new if column.name not in before]
    for column in dropped:
        heir = next((c for c in added if replace(c, name=column.name, source=column.source) == column), None)
        if heir is None:
            found.append(Change("breaking", f"column {column.name} dropped"))
        else:
            added.remove(heir)
            found.append(Change("breaking", f"column {column.name} renamed to {heir.name}"))
    for column in added:
        if column.required:
            found.append(Change("breaking", f"new column {column.name} is required"))
        else:
            found.append(Change("additive", f"column {column.name} added"))
    return found


def _column_changes(old: Column, new: Column) -> list[Change]:
    name = new.name
    found = [*_type_changes(old, new), *_value_changes(old, new)]
    if old.required != new.required:
        text = f"column {name} became required" if new.required else f"column {name} may now be null"
        found.append(Change("breaking", text))
    if old.unique != new.unique:
        text = f"column {name} became unique" if new.unique else f"column {name} may now repeat"
        found.append(Change("breaking", text))
    if old.classification != new.classification:
        # Readers who are not cleared for personal data lose sight of the column when it becomes personal.
        level: Level = "breaking" if old.classification == "none" else "additive"
        text = f"column {name} classification changed from {old.classification} to {new.classification}"
        found.append(Change(level, text))
    found += [
        Change("additive", f"column {name} {attribute} changed")
        for attribute in ("source", "standardise", "references")
        if getattr(old, attribute) != getattr(new, attribute)
    ]
    return found


def _type_changes(old: Column, new: Column) -> list[Change]:
    if old.type == new.type:
        return []
    text = f"column {new.name} changed from {old.type} to {new.type}"
    return [Change("additive" if _is_widening(old.type, new.type) else "breaking", text)]


def _is_widening(old: str, new: str) -> bool:
    """Iceberg's promotions of format version 2: all old values stay, and old readers of the files keep working."""
    before, after = decimal_of(old), decimal_of(new)
    if before and after:
        return before[1] == after[1] and after[0] >= before[0]
    return (old, new) == ("int", "long")


def _value_changes(old: Column, new: Column) -> list[Change]:
    """Changes of what values a column may hold: fewer is breaking for writers, more is additive."""
    name, found = new.name, []
    for attribute, sign in (("minimum", -1), ("maximum", 1), ("max_length", 1)):
        before, after = _number(getattr(old, attribute)), _number(getattr(new, attribute))
        if before == after:
            continue
        tighter = after is not None and (before is None or _is_below(after, before, sign))
        words = f"from {_said(getattr(old, attribute))} to {_said(getattr(new, attribute))}"
        text = f"column {name} {attribute} {'tightened' if tighter else 'loosened'} {words}"
        found.append(Change("breaking" if tighter else "additive", text))
    if set(old.enum) != set(new.enum):
        removed, added = sorted(set(old.enum) - set(new.enum)), sorted(set(new.enum) - set(old.enum))
        if not old.enum:
            found.append(Change("breaking", f"column {name} restricted to {', '.join(new.enum)}"))
        elif not new.enum:
            found.append(Change("additive", f"column {name} no longer restricted to a list"))
        else:
            found += [Change("breaking", f"column {name} lost the value {value}") for value in removed]
            found += [Change("additive", f"column {name} gained the value {value}") for value in added]
    if old.pattern != new.pattern:
        # Whether one pattern accepts all that another does cannot be told in general.
        level: Level = "additive" if new.pattern is None else "breaking"
        found.append(Change(level, f"column {name} pattern changed to {new.pattern or 'none'}"))
    return found


def _is_below(after: Decimal | str, before: Decimal | str, sign: int) -> bool:
    """True if the bound moved inwards; dates and timestamps in ISO 8601 compare as text."""
    if isinstance(after, Decimal) and isinstance(before, Decimal):
        return after * sign < before * sign
    return str(after) < str(before) if sign > 0 else str(after) > str(before)


def _number(bound: str | int | None) -> Decimal | str | None:
    if bound is None:
        return None
    try:
        return Decimal(bound)
    except ArithmeticError:
        return str(bound)


def _said(bound: object) -> str:
    return "none" if bound is None else str(bound)


def _days(contract: Contract) -> float:
    return float("inf") if contract.retention_days is None else contract.retention_days


def _version(contract: Contract) -> tuple[int, int, int]:
    major, minor, patch = (int(part) for part in contract.version.split("."))
    return major, minor, patch
