"""What the columns of a file hold: types, nulls, keys, date formats, enumerations, ranges; from a sample."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from c360.ingest.mapping_sandbox import Sandbox, literal, quote
from c360.ingest.mapping_source import RECORD, TextSource
from c360.ingest.mapping_sql import ISO_DAY, ISO_TIME, OFFSET

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

Kind = Literal["empty", "integer", "decimal", "decimal_comma", "boolean", "date", "timestamp", "epoch", "text"]

SURE = 0.98
VALUES = 25
MAX_KEYS = 20
NULLS = ("\\N", "NULL", "null", "N/A", "n/a", "None", "nan", "NaN")
DAY_FORMATS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y%m%d", "%d.%m.%y", "%m/%d/%y",
               "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y")  # fmt: skip
TIMES = (" %H:%M:%S", " %H:%M", "T%H:%M:%S", " %I:%M:%S %p", " %I:%M %p", " %H:%M:%S.%f")
_AMBIGUOUS = {"%d/%m/%Y": "%m/%d/%Y", "%d-%m-%Y": "%m-%d-%Y"}
_NUMBERS = {
    "integer": r"[+-]?\d+",
    "decimal": r"[+-]?(\d+\.\d*|\d*\.\d+|\d+)([eE][+-]?\d+)?",
    "decimal_comma": r"[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?",
    "grouped": r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?",
    "boolean": r"(?i)true|false|yes|no|y|n",
    "date": ISO_DAY,
    "timestamp": rf"{ISO_TIME}{OFFSET}?",
    "seconds": r"1\d{9}",
    "millis": r"1\d{12}",
}


@dataclass(frozen=True)
class ColumnProfile:
    """One column over the sample. ``formats`` are date formats as a mapping takes them, the likeliest first."""

    name: str
    kind: Kind
    rows: int
    nulls: int
    distinct: int
    minimum: str | None
    maximum: str | None
    max_length: int
    values: tuple[str, ...]
    formats: tuple[str, ...] = ()
    ambiguous: bool = False
    grouped: bool = False
    null_tokens: tuple[str, ...] = ()

    @property
    def unique(self) -> bool:
        """True if every record has a value of its own."""
        return self.rows > 0 and self.nulls == 0 and self.distinct == self.rows


@dataclass(frozen=True)
class Statistics:
    """All columns, and the sets of columns that identify a record (one, or two together if no single one does)."""

    rows: int
    malformed: int
    columns: tuple[ColumnProfile, ...]
    keys: tuple[tuple[str, ...], ...]


def measure(source: TextSource, limit: int) -> Statistics:
    """Profile the first ``limit`` records of the source."""
    with Sandbox() as sandbox:
        rows, malformed = _load(sandbox, source, limit)
        columns = tuple(_column(sandbox, name, f"c{i}") for i, name in enumerate(source.columns))
        return Statistics(rows, malformed, columns, _keys(sandbox, columns, rows))


def _load(sandbox: Sandbox, source: TextSource, limit: int) -> tuple[int, int]:
    names = [f"c{i}" for i in range(len(source.columns))]
    sandbox.connection.execute(f"CREATE TABLE sample ({', '.join(f'{n} VARCHAR' for n in names)})")
    rows = malformed = 0
    for batch in source.batches(source.columns):
        table: pa.Table = batch.table.drop_columns([RECORD]).slice(0, limit - rows).rename_columns(names)
        sandbox.connection.register("batch", table)
        sandbox.connection.execute("INSERT INTO sample SELECT * FROM batch")
        rows += table.num_rows
        malformed += len(batch.malformed)
        if rows >= limit:
            break
    return rows, malformed


def _column(sandbox: Sandbox, name: str, column: str) -> ColumnProfile:
    run = sandbox.connection
    nulls = ", ".join(map(literal, ("", *NULLS)))
    value = f"CASE WHEN trim({column}) IN ({nulls}) THEN NULL ELSE trim({column}) END"
    counts = ", ".join(f"count(*) FILTER (regexp_full_match(v, {literal(p)}))" for p in _NUMBERS.values())
    first = run.execute(
        f"SELECT count(*), count(v), count(DISTINCT v), min(v), max(v), coalesce(max(length(v)), 0), {counts} "
        f"FROM (SELECT {value} AS v FROM sample)"
    ).fetchone()
    assert first is not None
    rows, filled, distinct, low, high, length, *matched = first
    hits = dict(zip(_NUMBERS, matched, strict=True))
    frequent = run.execute(
        f"SELECT v FROM (SELECT {value} AS v FROM sample) WHERE v IS NOT NULL "
        f"GROUP BY v ORDER BY count(*) DESC, v LIMIT {VALUES}"
    ).fetchall()
    tokens = run.execute(
        f"SELECT DISTINCT v FROM (SELECT trim({column}) AS v FROM sample) WHERE v IN ({nulls}) AND v <> '' ORDER BY v"
    ).fetchall()
    profile = ColumnProfile(
        name, "text", rows, rows - filled, distinct, low, high, length, tuple(v for (v,) in frequent),
        null_tokens=tuple(t for (t,) in tokens),
    )  # fmt: skip
    return _typed(sandbox, profile, hits, value, filled)


def _typed(sandbox: Sandbox, profile: ColumnProfile, hits: dict[str, int], value: str, filled: int) -> ColumnProfile:
    if filled == 0:
        return replace(profile, kind="empty")
    if hits["date"] >= SURE * filled:
        return replace(profile, kind="date", formats=("iso",))
    if hits["date"] + hits["timestamp"] >= SURE * filled:
        return replace(profile, kind="timestamp", formats=("iso",))
    for pattern, format_ in (("millis", "epoch_ms"), ("seconds", "epoch_s")):
        if hits[pattern] == filled and not profile.unique:
            return replace(profile, kind="epoch", formats=(format_,))
    formatted = _dated(sandbox, profile, value)
    if formatted is not None:
        return formatted
    if hits["boolean"] == filled and profile.distinct <= 2:
        return replace(profile, kind="boolean")
    for kind in ("integer", "decimal", "decimal_comma"):
        if hits[kind] >= SURE * filled:
            return _ranged(sandbox, replace(profile, kind=kind), value)
    if hits["decimal"] + hits["grouped"] >= SURE * filled:
        return replace(profile, kind="decimal", grouped=True)
    return profile


def _dated(sandbox: Sandbox, profile: ColumnProfile, value: str) -> ColumnProfile | None:
    """The formats that read (nearly) all values; %d/%m against %m/%d is decided by the values, or marked ambiguous."""
    if profile.max_length < 6 or profile.max_length > 40:
        return None
    sandbox.connection.execute(
        "CREATE OR REPLACE TABLE probe AS SELECT DISTINCT v FROM "
        f"(SELECT {value} AS v FROM sample) WHERE v IS NOT NULL ORDER BY v LIMIT 20000"
    )
    fits = [f for f in _formats() if _fit(sandbox, f, 50) >= SURE and _fit(sandbox, f, 20000) >= SURE]
    if not fits:
        return None
    best = fits[0]
    twin = next((best.replace(a, b) for a, b in _AMBIGUOUS.items() if a in best), None)
    kind: Kind = "timestamp" if "%H" in best or "%I" in best else "date"
    if best == "%Y%m%d" and (profile.unique or not str(profile.minimum).startswith(("19", "20"))):
        return None
    return replace(profile, kind=kind, formats=tuple(fits[:1]), ambiguous=twin in fits)


def _formats() -> Iterator[str]:
    yield from DAY_FORMATS
    yield from (day + time for day, time in itertools.product(DAY_FORMATS, TIMES))


def _fit(sandbox: Sandbox, format_: str, rows: int) -> float:
    found = sandbox.connection.execute(
        f"SELECT count(try_strptime(v, {literal(format_)})) / count(*) FROM (SELECT v FROM probe LIMIT {rows})"
    ).fetchone()
    return float(found[0] or 0.0) if found else 0.0


def _ranged(sandbox: Sandbox, profile: ColumnProfile, value: str) -> ColumnProfile:
    number = "replace(replace(v, '.', ''), ',', '.')" if profile.kind == "decimal_comma" else "v"
    found = sandbox.connection.execute(
        f"SELECT arg_min(v, n), arg_max(v, n) FROM (SELECT v, TRY_CAST({number} AS DOUBLE) AS n "
        f"FROM (SELECT {value} AS v FROM sample))"
    ).fetchone()
    assert found is not None
    return replace(profile, minimum=found[0], maximum=found[1])


def _keys(sandbox: Sandbox, columns: tuple[ColumnProfile, ...], rows: int) -> tuple[tuple[str, ...], ...]:
    single = tuple((c.name,) for c in columns if c.unique and c.kind not in ("decimal", "decimal_comma", "empty"))
    if single or rows == 0:
        return single
    names = {c.name: f"c{i}" for i, c in enumerate(columns)}
    usable = [
        c for c in columns if c.nulls == 0 and c.distinct > 1 and c.kind in ("integer", "text", "date", "timestamp")
    ]
    usable = sorted(usable, key=lambda c: (c.max_length > 64, -c.distinct))[:6] + [
        c for c in columns if c.kind == "integer" and 1 < c.distinct <= 100 and c.nulls == 0
    ]
    found: list[tuple[str, ...]] = []
    for a, b in itertools.combinations(dict.fromkeys(c.name for c in usable), 2):
        pair = f"{quote(names[a])}, {quote(names[b])}"
        count = sandbox.connection.execute(f"SELECT count(*) FROM (SELECT DISTINCT {pair} FROM sample)").fetchone()
        if count is not None and count[0] == rows:
            found.append((a, b))
    return tuple(found[:MAX_KEYS])
