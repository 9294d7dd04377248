"""Writes one entity's landing files, day by day, from its clean table and its plan of defects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from mock_data.defects import CONTRADICTORY, ENCODING, FORMATTING, KINDS, MALFORMED, MESSY, WRITINGS, Kinds, Plan
from mock_data.entities import Entity
from mock_data.formats import (
    BAD_BYTE,
    broken,
    fields,
    ill_encoded,
    joined,
    malformed,
    objects,
    plain,
    rewritten,
    tokens,
)
from mock_data.spoil import BROKEN, CONTRADICTIONS
from mock_data.vectors import Bools, Ints

CHUNK = 300_000
"""Landed records written at a time: bounds the memory, and lets two threads share one entity."""


def file_name(entity: Entity, day: str) -> str:
    """Path of a landing file, relative to the landing folder."""
    return f"{entity.system}/{entity.name}/{day}/{entity.name}.{entity.format}"


def chunks(plan: Plan, days: int) -> Iterator[range]:
    """Days in runs of about ``CHUNK`` records."""
    bounds = plan.bounds(days)
    first = 0
    while first < days:
        last = int(np.searchsorted(bounds, bounds[first] + CHUNK, side="left"))
        last = min(max(last, first + 1), days)
        yield range(first, last)
        first = last


def write_days(root: Path, entity: Entity, clean: pl.DataFrame, plan: Plan, dates: list[str], days: range) -> None:
    """Write the files of the given days (indexes into ``dates``) that have records. Raises OSError."""
    bounds = plan.bounds(len(dates))
    low, high = int(bounds[days.start]), int(bounds[days.stop])
    if low == high:
        return
    edges = bounds[days.start : days.stop + 1] - low
    paths = [root / file_name(entity, dates[day]) for day in days]
    kind, way = plan.kind[low:high], plan.way[low:high]
    frame, source = _sources(clean, plan.base[low:high], kind)
    if entity.format == "parquet":
        _write_parquet(_typed(entity, frame, source, kind, way), edges, paths)
    else:
        lines = _lines(entity, frame, source, kind, way)
        header = b"" if entity.format == "jsonl" else (",".join(entity.columns) + "\n").encode()
        _write_lines(lines, edges, paths, header, bad_bytes=bool((kind == ENCODING).any()))


def _sources(clean: pl.DataFrame, base: Ints, kind: Kinds) -> tuple[pl.DataFrame, Ints]:
    """The clean rows that these records come from, and each record's row among them.

    Nearly all lie side by side; a slice with the few others behind it is cheaper than collecting row by row.
    """
    near = base[kind == 0]
    low, high = (int(near[0]), int(near[-1]) + 1) if len(near) else (0, 0)
    far = np.flatnonzero((base < low) | (base >= high))
    source = base - low
    source[far] = high - low + np.arange(len(far))
    return pl.concat([clean.slice(low, high - low), clean[base[far]]]), source


def _write_lines(lines: pl.Series, edges: Ints, paths: list[Path], header: bytes, *, bad_bytes: bool) -> None:
    array = lines.to_arrow(compat_level=pl.CompatLevel.oldest())
    _, ends, text = array.buffers()
    assert ends is not None
    assert text is not None
    offsets = np.frombuffer(memoryview(ends), dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    data = memoryview(text)
    for path, first, last in zip(paths, offsets[edges[:-1]].tolist(), offsets[edges[1:]].tolist(), strict=True):
        if first == last:
            continue
        content = data[first:last]
        path.parent.mkdir(parents=True)
        with path.open("wb", buffering=0) as file:
            file.write(header)
            file.write(bytes(content).replace(BAD_BYTE.encode(), b"\xff") if bad_bytes else content)


def _write_parquet(frame: pl.DataFrame, edges: Ints, paths: list[Path]) -> None:
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    for path, first, last in zip(paths, edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if first == last:
            continue
        path.parent.mkdir(parents=True)
        # small files: dictionaries and statistics would cost more than they save
        pq.write_table(
            table.slice(first, last - first), path,
            compression="snappy", use_dictionary=False, write_statistics=False, store_schema=False,
        )  # fmt: skip


def _is_special(kind: Kinds) -> Bools:
    """Records that are not written plainly (duplicates, late and orphaned records are)."""
    return np.asarray((kind == MESSY) | (kind >= FORMATTING), dtype=np.bool_)


def _groups(entity: Entity, frame: pl.DataFrame) -> Iterator[tuple[str, int, pl.DataFrame]]:
    """Special records by defect and, where they are only written differently, by way of writing (else -1)."""
    for (kind,), group in frame.group_by("kind", maintain_order=True):
        if kind in (MESSY, FORMATTING):
            for (way,), part in group.group_by("way", maintain_order=True):
                yield KINDS[kind], int(str(way)) % WRITINGS, part
        elif kind == CONTRADICTORY:
            column, other = CONTRADICTIONS[entity.name]
            yield KINDS[kind], -1, group.with_columns(other(group).alias(column))
        else:
            yield KINDS[kind], -1, group


def _specials(frame: pl.DataFrame, source: Ints, kind: Kinds, way: Ints) -> pl.DataFrame:
    at = np.flatnonzero(_is_special(kind))
    return frame[source[at]].with_columns(kind=pl.Series(kind[at]), way=pl.Series(way[at]), at=pl.Series(at))


def _lines(entity: Entity, frame: pl.DataFrame, source: Ints, kind: Kinds, way: Ints) -> pl.Series:
    text = frame.select(plain(entity))
    if entity.format == "csv":
        lines = text.select(fields(entity)).select(joined(entity)).to_series()
    else:
        lines = text.select(objects(entity)).to_series()
    written, places = [lines], [np.empty(0, dtype=np.int64)]
    extra = ["way", "at"]
    for defect, writing, group in _groups(entity, _specials(frame, source, kind, way)):
        text = group.select(*(plain(entity) if writing < 0 else rewritten(entity, writing)), *extra)
        if entity.format == "csv":
            text = text.select(*fields(entity), *extra)
        else:
            text = text.select(*tokens(entity, quoted=writing == 1, flags=writing >= 0), *extra)
            if writing == 0:  # some writers spell out what is missing
                text = text.with_columns(pl.col(c).fill_null("null") for c in entity.columns)
        if defect in BROKEN[entity.name]:
            text = broken(entity, defect, text)
        text = text.with_columns(joined(entity))
        if defect == KINDS[MALFORMED]:
            text = text.with_columns(malformed(entity).alias("line"))
        elif defect == KINDS[ENCODING]:
            text = text.with_columns(ill_encoded(entity).alias("line"))
        written.append(text.get_column("line"))
        places.append(text.get_column("at").to_numpy())
    special = np.concatenate(places)
    source = source.copy()
    source[special] = len(lines) + np.arange(len(special))
    return pl.concat(written).gather(source)


def _typed(entity: Entity, frame: pl.DataFrame, source: Ints, kind: Kinds, way: Ints) -> pl.DataFrame:
    parts, source = [frame], source.copy()
    for defect, writing, group in _groups(entity, _specials(frame, source, kind, way)):
        if writing >= 0:
            changed = group.select(*rewritten(entity, writing, typed=True), "at")
        elif defect in BROKEN[entity.name]:
            changed = broken(entity, defect, group)
        else:
            changed = group
        source[changed.get_column("at").to_numpy()] = sum(p.height for p in parts) + np.arange(changed.height)
        parts.append(changed.select(entity.columns.keys()))
    return pl.concat(parts)[source]
