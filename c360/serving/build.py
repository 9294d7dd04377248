"""Builds the index of a release: an immutable SQLite file of ready documents, verified before anyone reads it.

With the index of an earlier release, only what has changed since is made again, in a copy of it.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import zlib
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from polars import selectors as cs

from c360.contracts import get_contract
from c360.errors import C360Error
from c360.privacy.keyed import derived_key, lookup_hasher
from c360.serving.documents import digests, documents, keyed, plain
from c360.serving.model import FILTERS, FORMAT, SOURCES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from c360.lakehouse import Lakehouse
    from c360.serving.model import Kind, Source
    from c360.serving.release import Release

INDEX, MANIFEST = "index.sqlite", "manifest.json"
SCHEMA = (
    """CREATE TABLE document (kind TEXT NOT NULL, key TEXT NOT NULL, digest INTEGER NOT NULL, crc INTEGER NOT NULL,
         body BLOB NOT NULL, PRIMARY KEY (kind, key)) WITHOUT ROWID""",
    "CREATE TABLE customer (customer_id TEXT PRIMARY KEY, "
    + ", ".join(FILTERS)
    + ", email_hash TEXT, phone_hash TEXT) WITHOUT ROWID",
)
INDEXES = tuple(
    f"CREATE INDEX IF NOT EXISTS customer_{name} ON customer ({name}, customer_id)"
    for name in ("segment", "region", "email_hash", "phone_hash")
)
BATCH = 100_000


def hashing(key: bytes) -> str:
    """What two indexes must share for one to begin from the other.

    Digests of rows are comparable within one version of what computes them, hashes of addresses under one key.
    """
    return f"polars {pl.__version__}, key {derived_key(key, 'index')[:4].hex()}"


class IndexBuildError(C360Error):
    """The index could not be built, or does not hold what its tables hold."""


@dataclass(frozen=True)
class Counted:
    """Of one kind: ``rows`` of its table with a key, those without, documents, and how many of them were made anew."""

    rows: int
    without_key: int
    documents: int
    made: int


@dataclass(frozen=True)
class Manifest:
    """What an index holds and is: written beside it once it is verified. ``sha256`` is that of the file."""

    release: str
    as_of: str
    published_at: str
    built_at: str
    snapshots: Mapping[str, str]
    kinds: Mapping[str, Mapping[str, int]]
    format: int
    hashing: str
    bytes: int
    sha256: str

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Raises OSError, or ValueError for a file that is no manifest."""
        try:
            return cls(**json.loads((folder / MANIFEST).read_text(encoding="utf-8")))
        except TypeError as error:
            raise ValueError(f"{folder / MANIFEST} is no manifest: {error}") from None

    def describes(self, index: Path) -> bool:
        """Whether this file is, byte for byte, the one that was built. Reads all of it; raises OSError."""
        return _sha256(index) == self.sha256

    @classmethod
    def of(cls, release: Release, counted: Mapping[Kind, Counted], index: Path, hashed: str) -> Manifest:
        """The manifest of a finished file."""
        return cls(
            release=str(release.id),
            as_of=release.as_of.isoformat(),
            published_at=release.published_at.isoformat(),
            built_at=datetime.now(UTC).isoformat(),
            snapshots={name: str(snapshot) for name, snapshot in sorted(release.snapshots.items())},
            kinds={kind: asdict(each) for kind, each in counted.items()},
            format=FORMAT,
            hashing=hashed,
            bytes=index.stat().st_size,
            sha256=_sha256(index),
        )


def build(lake: Lakehouse, release: Release, folder: Path, key: bytes, earlier: Path | None = None) -> Manifest:
    """Build the index of ``release`` in the new folder ``folder``, from an ``earlier`` one where it can be used.

    ``key`` is that of the hashes by which customers are looked up (:func:`c360.privacy.keyed.hash_key`).

    Raises:
        IndexBuildError: the index does not hold what the tables hold; LakehouseError: a table cannot be read.
    """
    folder.mkdir(parents=True)
    path = folder / INDEX
    base = _usable(earlier, hashing(key))
    if base is not None:
        shutil.copyfile(base, path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        # The file is thrown away if anything fails, so nothing needs to survive a crash.
        for setting in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -200000", "page_size = 8192"):
            db.execute(f"PRAGMA {setting}")
        if base is None:
            for statement in SCHEMA:
                db.execute(statement)
        db.execute("BEGIN")
        counted = {source.kind: _fill(db, lake, release, source, key) for source in SOURCES}
        db.execute("COMMIT")
        for statement in INDEXES:
            db.execute(statement)
        db.execute("PRAGMA optimize")
    path.chmod(0o600)
    manifest = Manifest.of(release, counted, path, hashing(key))
    (folder / MANIFEST).write_text(json.dumps(asdict(manifest), indent=1), encoding="utf-8")
    return manifest


def _usable(earlier: Path | None, hashed: str) -> Path | None:
    """The file of an older index that this process may begin from: whole, and of the same layout and hashes."""
    if earlier is None:
        return None
    try:
        manifest = Manifest.read(earlier)
        path = earlier / INDEX
        fits = (manifest.format, manifest.hashing) == (FORMAT, hashed) and manifest.describes(path)
    except (OSError, ValueError):
        return None
    return path if fits else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _fill(db: sqlite3.Connection, lake: Lakehouse, release: Release, source: Source, key: bytes) -> Counted:
    # Where a row came from is no matter of the customer's.
    columns = [name for name in get_contract(source.table).names if not name.startswith("_")]
    read = lake.read(source.table, columns, snapshot_id=release.snapshots[source.table])
    rows = keyed(pl.DataFrame(pl.from_arrow(read)), source)
    without_key = read.num_rows - len(rows)
    del read
    now = digests(rows, source)
    before = _digests(db, source.kind)
    fresh = now.join(before, on=["_key", "_digest"], how="anti", nulls_equal=True).select("_key")
    gone = before.join(now, on="_key", how="anti").get_column("_key")
    db.executemany("DELETE FROM document WHERE kind = ? AND key = ?", ((source.kind, key) for key in gone))
    count = 0
    # In parts, for the documents of all would be several times as large as their rows.
    for part in fresh.sort("_key").iter_slices(BATCH):
        made = documents(rows.join(part, on="_key", how="semi"), source).join(now, on="_key")
        db.executemany("INSERT OR REPLACE INTO document VALUES (?, ?, ?, ?, ?)", _records(source.kind, made))
        count += len(made)
    if count != len(fresh):
        raise IndexBuildError(f"{len(fresh)} documents of {source.kind} were due and {count} made", "report this")
    if source.kind == "customer":
        _attributes(db, rows, fresh, gone, key)
    _verify(db, source.kind, now)
    return Counted(len(rows), without_key, len(now), count)


def _digests(db: sqlite3.Connection, kind: str) -> pl.DataFrame:
    found = db.execute("SELECT key, digest FROM document WHERE kind = ?", (kind,)).fetchall()
    return pl.DataFrame(found, schema={"_key": pl.String, "_digest": pl.Int64}, orient="row")


def _records(kind: str, made: pl.DataFrame) -> Iterable[tuple[str, str, int, int, bytes]]:
    for key, text, digest in made.select("_key", "_body", "_digest").iter_rows():
        body = text.encode()
        yield kind, key, digest, zlib.crc32(body), body


def _attributes(
    db: sqlite3.Connection, rows: pl.DataFrame, fresh: pl.DataFrame, gone: Iterable[str], key: bytes
) -> None:
    """What customers are searched by. Of those whose document stays only the recency can have changed."""
    db.executemany("DELETE FROM customer WHERE customer_id = ?", ((key,) for key in gone))
    same = rows.join(fresh, on="_key", how="anti").select("recency_days", "customer_id")
    before = _recency(db)
    later = same.join(before, on=["customer_id", "recency_days"], how="anti", nulls_equal=True).sort("customer_id")
    db.executemany("UPDATE customer SET recency_days = ? WHERE customer_id = ?", later.iter_rows())
    rows = rows.join(fresh, on="_key", how="semi")
    ready = rows.sort("customer_id").with_columns(cs.decimal().cast(pl.Float64))
    ready = ready.select("email", "phone", "customer_id", *plain(ready, FILTERS))
    by_email, by_phone = lookup_hasher("email", key), lookup_hasher("phone", key)
    statement = f"INSERT OR REPLACE INTO customer VALUES ({', '.join('?' * (len(FILTERS) + 3))})"
    db.executemany(
        statement,
        (
            (*others, email and by_email(email), phone and by_phone(phone))
            for email, phone, *others in ready.iter_rows()
        ),
    )


def _recency(db: sqlite3.Connection) -> pl.DataFrame:
    found = db.execute("SELECT customer_id, recency_days FROM customer").fetchall()
    return pl.DataFrame(found, schema={"customer_id": pl.String, "recency_days": pl.Int64}, orient="row")


def _verify(db: sqlite3.Connection, kind: str, now: pl.DataFrame) -> None:
    """As many documents as keys, and the same digests in sum (modulo 2^63), in what was written."""
    count, total = 0, 0
    for key, digest, crc, body in db.execute("SELECT key, digest, crc, body FROM document WHERE kind = ?", (kind,)):
        if zlib.crc32(body) != crc:
            raise IndexBuildError(f"The document {kind} {key} differs from what was written", "build the index again")
        count, total = count + 1, total + digest
    wanted = sum(now.get_column("_digest").to_list())
    if (count, total) != (len(now), wanted):
        raise IndexBuildError(
            f"The index holds {count} documents of {kind} and not the {len(now)} due", "build it in full"
        )
