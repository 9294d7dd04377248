"""Match a file's columns to a contract's: by name, by type, by values and by what can be a key."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from c360.ingest.mapping_model import is_numeric
from c360.ingest.mapping_stats import VALUES, ColumnProfile, Statistics
from c360.ingest.mapping_words import similarity, without_prefix

if TYPE_CHECKING:
    from collections.abc import Mapping as Map

    from c360.contracts.model import Column
    from c360.ingest.mapping_target import Target

TODO = "TODO"
THRESHOLD = 0.55
NAME_WEIGHT = 0.7


@dataclass(frozen=True)
class Choice:
    """What is proposed for one target column: fields of a mapping's column, how sure, and why.

    ``fields`` None: the column is left out. A value ``TODO`` must be filled in by a person.
    """

    column: str
    required: bool
    fields: Map[str, object] | None
    confidence: float
    why: str

    @property
    def todo(self) -> bool:
        """True if a person has to decide."""
        return self.fields is not None and TODO in str(self.fields)


def propose(target: Target, stats: Statistics, *, named: bool = True) -> tuple[Choice, ...]:
    """A choice for every column of the target, in contract order; ``named`` is false if the file has no header."""
    columns = dict(zip(target.fields, target.columns, strict=True))
    profiles = {p.name: p for p in stats.columns}
    short = without_prefix(list(profiles))
    scored = sorted(
        (
            (-_confidence(target, c, p, short[p.name] if named else None), names[0], names[1])
            for names, c, p in (((f, p.name), c, p) for f, c in columns.items() for p in stats.columns)
        ),
        key=lambda s: s[0],
    )
    taken: dict[str, tuple[str, float]] = {}
    used: set[str] = set()
    for score, field, source in scored:
        if -score >= THRESHOLD and field not in taken and source not in used:
            taken[field] = (source, -score)
            used.add(source)
    return tuple(_choice(target, f, c, taken, profiles, stats) for f, c in columns.items())


def _choice(
    target: Target, field: str, column: Column, taken: Map[str, tuple[str, float]], profiles: Map[str, ColumnProfile],
    stats: Statistics,
) -> Choice:  # fmt: skip
    if field in taken:
        source, confidence = taken[field]
        fields, notes = _fields(column, profiles[source])
        return Choice(field, column.required, fields, round(confidence, 2), "; ".join(["by name and values", *notes]))
    if column.enum and len(column.enum) == 1:
        return Choice(
            field,
            column.required,
            {"value": column.enum[0]},
            0.5,
            "the only value the contract allows; check that it is true here",
        )
    if target.silver.business_key == (column.name,) and (pair := _pair_key(target, taken, stats)):
        template = "-".join(f"{{{part}}}" for part in pair)
        return Choice(field, column.required, {"key": template}, 0.6, "these columns together identify a record")
    if column.name == target.silver.version_column and (times := _times(taken, target, profiles)):
        fields, notes = _fields(column, profiles[times])
        why = "; ".join(["no column says when a record last changed", *notes])
        return Choice(field, column.required, fields, 0.4, why)
    if column.required:
        return Choice(field, True, {"from": TODO}, 0.0, "no column fits")  # noqa: FBT003
    return Choice(field, False, None, 0.0, "no column fits; stays null")  # noqa: FBT003


def _confidence(target: Target, column: Column, profile: ColumnProfile, short: str | None) -> float:
    fit = _fit(column, profile)
    if fit < 0.15:
        return 0.0
    if short is None:
        return _by_values(target, column, profile, fit)
    entity = target.name.split(".")[1].rstrip("s")
    name = column.source or column.name
    alike = max(similarity(name, profile.name), similarity(name, short), 0.95 * similarity(name, f"{entity}_{short}"))
    sure = NAME_WEIGHT * alike + (1 - NAME_WEIGHT) * fit
    if target.silver.business_key == (column.name,):
        if profile.distinct < profile.rows / 10:
            return 0.0
        sure = min(1.0, sure + 0.1) if profile.unique else 0.75 * sure
    return sure


def _by_values(target: Target, column: Column, profile: ColumnProfile, fit: float) -> float:
    """Without names only what is unmistakable counts: values of an enumeration or pattern, and a unique short key."""
    if (column.enum or column.pattern) and fit >= 0.9:
        return 0.6
    short = profile.max_length <= 40 and not any(" " in v for v in profile.values)
    return 0.6 if target.silver.business_key == (column.name,) and profile.unique and short else 0.0


def _fit(column: Column, profile: ColumnProfile) -> float:
    """How well the values suit the column's type and rules, 0 to 1."""
    kind = profile.kind
    if kind == "empty":
        return 0.2
    if column.type == "string":
        return _fit_text(column, profile)
    if is_numeric(column.type):
        whole = column.type in ("int", "long")
        fit = {
            "integer": 1.0 if whole else 0.9,
            "decimal": 0.4 if whole else 1.0,
            "decimal_comma": 0.4 if whole else 1.0,
        }
        low = (
            column.minimum is not None
            and (profile.minimum or "").startswith("-")
            and not column.minimum.startswith("-")
        )
        return fit.get(kind, 0.0) * (0.3 if low else 1.0)
    if column.type == "timestamp":
        return {"timestamp": 1.0, "date": 0.9, "epoch": 0.9}.get(kind, 0.0)
    if column.type == "date":
        return {"date": 1.0, "timestamp": 0.5}.get(kind, 0.0)
    return 1.0 if kind == "boolean" else 0.5 if kind == "integer" and profile.distinct <= 2 else 0.0


def _fit_text(column: Column, profile: ColumnProfile) -> float:
    if column.max_length is not None and profile.max_length > column.max_length:
        return 0.1
    if column.enum:
        if profile.distinct > VALUES:
            return 0.0
        known = sum(_in_enum(v, column.enum) is not None for v in profile.values)
        return max(known / len(profile.values), 0.4 if profile.kind in ("text", "integer", "boolean") else 0.0)
    if column.pattern:
        fitting = sum(re.search(column.pattern, _standard(v, column)) is not None for v in profile.values)
        return fitting / len(profile.values)
    if column.name.endswith("_id"):
        spaced = any(" " in v for v in profile.values)
        return 0.2 if spaced else 1.0 if profile.kind in ("integer", "text") else 0.1
    return {"text": 1.0, "integer": 0.6}.get(profile.kind, 0.3)


def _fields(column: Column, profile: ColumnProfile) -> tuple[dict[str, object], list[str]]:
    """The mapping's fields for a source column, with notes for the reader."""
    fields: dict[str, object] = {"from": profile.name}
    notes: list[str] = []
    if column.type in ("date", "timestamp") and profile.formats not in ((), ("iso",)):
        fields["formats"] = list(profile.formats)
        if profile.ambiguous:
            notes.append("day and month could be the other way round: check")
    if column.enum and not all(v.strip().lower() in {e.lower() for e in column.enum} for v in profile.values):
        fields["map"] = {v: _in_enum(v, column.enum) or TODO for v in sorted(profile.values)}
        notes.append(f"allowed: {', '.join(column.enum)}")
    if is_numeric(column.type) and profile.grouped:
        fields["thousands"] = ","
    if profile.nulls and column.required:
        notes.append(f"{profile.nulls:,} of {profile.rows:,} are empty and would be rejected")
    return fields, notes


def _in_enum(value: str, enum: tuple[str, ...]) -> str | None:
    lowered = {e.lower(): e for e in enum}
    if value.strip().lower() in lowered:
        return lowered[value.strip().lower()]
    close = difflib.get_close_matches(value.strip().lower(), list(lowered), n=1, cutoff=0.75)
    return lowered[close[0]] if close else None


def _standard(value: str, column: Column) -> str:
    text = value.strip()
    return text.lower() if "lower" in column.standardise else text.upper() if "upper" in column.standardise else text


def _pair_key(target: Target, taken: Map[str, tuple[str, float]], stats: Statistics) -> tuple[str, ...] | None:
    """The pair that identifies records and looks most like a key: the parent's key first, then a number within it."""
    columns = dict(zip(target.fields, target.columns, strict=True))
    placed = {source: columns[field] for field, (source, _) in taken.items()}

    def likeness(name: str) -> int:
        column = placed.get(name)
        if column is None:
            return 0
        return 3 if column.name.endswith("_number") else 2 if column.references else 1

    pairs = [k for k in stats.keys if len(k) == 2]
    best = max(pairs, key=lambda k: sum(map(likeness, k)), default=None)
    return None if best is None else tuple(sorted(best, key=lambda n: likeness(n) == 3))


def _times(taken: Map[str, tuple[str, float]], target: Target, profiles: Map[str, ColumnProfile]) -> str | None:
    """A time that was placed in a required column, else in any, else any time in the file."""
    times = [
        (not c.required, taken[f][0])
        for f, c in zip(target.fields, target.columns, strict=True)
        if c.type == "timestamp" and f in taken
    ]
    rest = [(True, p.name) for p in profiles.values() if p.kind in ("timestamp", "date", "epoch")]
    return min(times or rest, key=lambda t: t[0], default=(True, None))[1]
