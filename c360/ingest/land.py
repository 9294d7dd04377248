"""Land a foreign file: run its mapping and put the result, complete or not at all, where ingestion looks for files.

The name of a landing file carries a digest of everything that decides its content (file, look-ups, mapping, columns),
so landing the same again is seen before any work is done, and other content never overwrites it.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from collections.abc import Mapping as Map
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from c360.errors import LandingError
from c360.ingest.mapping import load_mapping
from c360.ingest.mapping_disk import sweep, sync_folder, unfinished, writable
from c360.ingest.mapping_run import Conversion, Converted, Tally
from c360.ingest.mapping_source import RECORD
from c360.ingest.mapping_stream import plain_name
from c360.ingest.mapping_yaml import MappingError

if TYPE_CHECKING:
    from pathlib import Path

    from c360.ingest.mapping_model import Mapping
    from c360.ingest.mapping_target import Target

FORMAT = "1"
METADATA = b"c360.land"
MAX_BYTES = 2**31 - 1024
Progress = Callable[[Tally], None]


@dataclass(frozen=True)
class Plan:
    """One file, its mapping and its look-up files, checked and hashed; ``digest`` identifies the result."""

    path: Path
    mapping: Mapping
    target: Target
    lookups: Map[str, Path]
    digest: str
    stats: Map[Path, tuple[int, int]]

    @property
    def stem(self) -> str:
        """The source file's name without suffixes, in characters that every file system takes."""
        name = plain_name(self.path).stem
        return re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("._-") or "file"

    def check_unchanged(self) -> None:
        """Raise :class:`LandingError` if a file changed since it was hashed."""
        for path, before in self.stats.items():
            if _stat(path) != before:
                raise LandingError(
                    f"{path.name} changed while it was read", "land it again when its writer has finished"
                )


@dataclass(frozen=True)
class Landed:
    """What was landed, or that it was there already. ``files`` are relative to the landing folder."""

    target: str
    files: tuple[str, ...]
    already: bool
    tally: Tally = field(default_factory=Tally)
    unused: tuple[str, ...] = ()
    unmapped: tuple[str, ...] = ()


def plan(path: Path, as_target: str | None, mapping_path: Path, lookups: Map[str, Path] | None = None) -> Plan:
    """Check the mapping, find its files and hash them.

    Raises :class:`MappingError` for the mapping, :class:`LandingError` for a missing or unreadable file.
    """
    mapping, target, _ = load_mapping(mapping_path, as_target)
    found = _find_lookups(mapping, path, mapping_path, lookups or {})
    stats = {p: _stat(p) for p in (path, *found.values())}
    digest = hashlib.sha256()
    parts = [FORMAT, target.name, *target.fields, json.dumps(mapping.model_dump(mode="json"), sort_keys=True)]
    for part in (*parts, _sha256(path), *(f"{name}={_sha256(p)}" for name, p in sorted(found.items()))):
        digest.update(part.encode() + b"\0")
    return Plan(path, mapping, target, found, digest.hexdigest(), stats)


def land(plan: Plan, landing: Path, batch_date: date | None = None, progress: Progress | None = None) -> Landed:
    """Run the plan into ``<landing>/<system>/<entity>/<batch date>/<name>-<digest>.parquet``.

    Records that cannot be split into columns go beside it into ``….malformed.csv``, one field each, so that bronze
    keeps them as malformed records. Raises :class:`LandingError`; then nothing is left behind.
    """
    folder = landing / plan.target.folder
    name, present = _place(plan, folder)
    if present is not None:
        files = sorted(f.relative_to(landing).as_posix() for f in present.parent.glob(f"{name}.*"))
        return Landed(plan.target.name, tuple(files), already=True)
    day = folder / (batch_date or datetime.now(UTC).date()).isoformat()
    tally = Tally()
    with writable(landing, day), Conversion(plan.mapping, plan.target, plan.path, plan.lookups) as conversion:
        sweep(day)
        main, malformed = day / f"{name}.parquet", day / f"{name}.malformed.csv"
        with unfinished(main) as main_part, unfinished(malformed) as malformed_part:
            write(
                conversion.run(tally), plan, main_part, malformed_part, lambda _: progress(tally) if progress else None
            )
            plan.check_unchanged()
            _check_result(tally, plan, main_part)
            files = []
            for part, final in ((malformed_part, malformed), (main_part, main)):
                if part.exists():
                    part.replace(final)
                    files.append(final.relative_to(landing).as_posix())
        sync_folder(day)
        return Landed(
            plan.target.name, tuple(sorted(files)), already=False, tally=tally,
            unused=conversion.unused, unmapped=conversion.unmapped,
        )  # fmt: skip


def write(
    converted: Iterator[Converted], plan: Plan, main: Path, malformed: Path, seen: Callable[[Converted], None]
) -> None:
    """Write converted batches to the two files (the second only if needed) and flush them to the disk."""
    schema = pa.schema([pa.field(f, pa.string()) for f in plan.target.fields])
    schema = schema.with_metadata({METADATA: json.dumps({"digest": plan.digest, "source": plan.path.name}).encode()})
    rows: list[list[str]] = []
    with main.open("wb") as stream:
        with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
            for batch in converted:
                table = batch.table.drop_columns([RECORD])
                if table.num_rows:
                    writer.write_table(table.replace_schema_metadata(schema.metadata).cast(schema))
                rows = [[m.text] for m in batch.malformed]
                if rows:
                    _append_malformed(malformed, plan.target.fields, rows)
                seen(batch)
        stream.flush()
        os.fsync(stream.fileno())
    if malformed.exists():
        with malformed.open("rb") as stream:
            os.fsync(stream.fileno())


def _append_malformed(path: Path, header: tuple[str, ...], rows: list[list[str]]) -> None:
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="\n")
        if new:
            writer.writerow(header)
        writer.writerows(rows)


def _find_lookups(mapping: Mapping, path: Path, mapping_path: Path, given: Map[str, Path]) -> dict[str, Path]:
    for name in given:
        if name not in mapping.lookups:
            known = ", ".join(mapping.lookups) or "none"
            raise MappingError(f"The mapping has no look-up '{name}'", f"its look-ups: {known}")
    found: dict[str, Path] = {}
    for name, spec in mapping.lookups.items():
        candidates = [given[name]] if name in given else [path.parent / spec.file, mapping_path.parent / spec.file]
        existing = [c for c in candidates if c.is_file()]
        if not existing:
            raise LandingError(
                f"The file {candidates[0]} of the look-up '{name}' is missing",
                f"put it beside {path.name}, or give it with --lookup {name}=PATH",
            )
        found[name] = existing[0]
    return found


def _place(plan: Plan, folder: Path) -> tuple[str, Path | None]:
    """The name to land under, and the file if this very content has landed before, on whatever day."""
    for length in (8, 64):
        name = f"{plan.stem}-{plan.digest[:length]}"
        present = sorted(folder.glob(f"*/{name}.parquet"))
        if not present:
            return name, None
        try:
            stored = json.loads((pq.read_metadata(present[0]).metadata or {}).get(METADATA, b"{}"))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise LandingError(f"The landed file {present[0]} is damaged", "remove it and land again") from error
        if stored.get("digest") == plan.digest:
            return name, present[0]
    raise LandingError(f"{present[0]} was not landed by this command", "rename it and land again")


def _check_result(tally: Tally, plan: Plan, main: Path) -> None:
    if tally.written == 0:
        parts = {"filtered out by `where`": tally.filtered, "not splittable into columns": tally.malformed}
        why = " and ".join(f"{count:,} {what}" for what, count in parts.items() if count) or "the file has none"
        raise LandingError(f"No record of {plan.path.name} is left to land ({why})", "check the mapping with --dry-run")
    if main.stat().st_size > MAX_BYTES:
        raise LandingError(f"{plan.path.name} makes a landing file larger than 2 GiB", "split it and land the parts")


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise LandingError(f"{path} cannot be read: {error.strerror}", "check its permissions") from error


def _stat(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except FileNotFoundError as error:
        raise LandingError(f"There is no file {path}", "check the path") from error
    except OSError as error:
        raise LandingError(f"{path} cannot be read: {error.strerror}", "check its permissions") from error
    if path.is_dir():
        raise LandingError(f"{path} is a folder", "name one file")
    if stat.st_size == 0:
        raise LandingError(f"{path.name} is empty", "export it again; there is nothing to land")
    return stat.st_size, stat.st_mtime_ns
