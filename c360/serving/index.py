"""Reads one index. Documents come as the bytes that were written, and never other ones: each carries its checksum."""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
import zlib
from typing import TYPE_CHECKING, Any, Self

from c360.errors import C360Error
from c360.serving.build import INDEX, Manifest
from c360.serving.model import FORMAT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from c360.serving.model import Kind


CONNECTIONS = 4
_CUSTOMER = """SELECT body, crc, recency_days FROM document JOIN customer ON customer_id = key
    WHERE kind = 'customer' AND key = ?"""


class DamagedIndexError(C360Error):
    """An index whose file or document is not what was built."""


class Index:
    """An open index; safe to share between threads. It can be read to the end although its folder has been removed."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self._local, self._turn = threading.local(), itertools.count()
        # All now: by the time a further thread reads, the file may be gone. SQLite serialises the use of each.
        self._opened = [self._connect() for _ in range(CONNECTIONS)]

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open an index after comparing its whole file with the manifest.

        Raises:
            DamagedIndexError: the file is missing, of another layout, or not the one that was built.
        """
        try:
            manifest = Manifest.read(folder)
            whole = manifest.describes(folder / INDEX)
        except (OSError, ValueError) as error:
            raise DamagedIndexError(f"The index {folder.name} cannot be read ({error})", "build it again") from None
        if manifest.format != FORMAT:
            raise DamagedIndexError(
                f"The index {folder.name} has layout {manifest.format}, and this version reads {FORMAT}",
                "build it again",
            )
        if not whole:
            raise DamagedIndexError(f"The file of index {folder.name} is not the one that was built", "build it again")
        try:
            return cls(folder, manifest)
        except sqlite3.Error as error:
            raise DamagedIndexError(f"The index {folder.name} cannot be opened ({error})", "build it again") from None

    def close(self) -> None:
        """Close all connections. Nobody may read any more."""
        for connection in self._opened:
            connection.close()

    def _connect(self) -> sqlite3.Connection:
        address = f"file:{self.folder / INDEX}?mode=ro&immutable=1"
        found = sqlite3.connect(address, uri=True, check_same_thread=False, isolation_level=None)
        found.execute(f"PRAGMA mmap_size = {self.manifest.bytes}")
        found.execute("SELECT 1 FROM document LIMIT 1").fetchone()
        return found

    @property
    def _db(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._local, "db", None)
        if found is None:
            found = self._local.db = self._opened[next(self._turn) % CONNECTIONS]
        return found

    def document(self, kind: Kind, key: str) -> bytes | None:
        """The JSON of a document; None if there is none.

        Raises:
            DamagedIndexError: its bytes are not those that were written.
        """
        row = self._db.execute("SELECT body, crc FROM document WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        return None if row is None else self._whole(kind, *row)

    def customer(self, key: str) -> tuple[bytes, int | None] | None:
        """The JSON of a customer's document and their recency in days, which changes apart from it; None without one.

        Raises:
            DamagedIndexError: its bytes are not those that were written.
        """
        row = self._db.execute(_CUSTOMER, (key,)).fetchone()
        return None if row is None else (self._whole("customer", row[0], row[1]), row[2])

    def _whole(self, kind: Kind, body: object, crc: int) -> bytes:
        if not isinstance(body, bytes) or zlib.crc32(body) != crc:
            raise DamagedIndexError(
                f"The document {kind} of index {self.folder.name} is damaged", "build the index again"
            )
        return body

    def rows(self, kind: Kind, after: str, most: int) -> list[tuple[str, Any]]:
        """Keys greater than ``after`` and their documents, parsed, in the order of keys.

        Raises:
            DamagedIndexError: the bytes of one are not those that were written.
        """
        sql = "SELECT key FROM document WHERE kind = ? AND key > ? ORDER BY key LIMIT ?"
        return self._parsed(kind, sql, (kind, after, most))

    def between(self, kind: Kind, first: str, last: str) -> list[tuple[str, Any]]:
        """Keys from the first to the last and their documents, parsed, in the order of keys.

        Raises:
            DamagedIndexError: the bytes of one are not those that were written.
        """
        sql = "SELECT key FROM document WHERE kind = ? AND key BETWEEN ? AND ? ORDER BY key"
        return self._parsed(kind, sql, (kind, first, last))

    def _parsed(self, kind: Kind, sql: str, values: Sequence[Any]) -> list[tuple[str, Any]]:
        keys = [row[0] for row in self.select(sql, values)]
        return [(key, json.loads(self.document(kind, key) or b"null")) for key in keys]

    def select(self, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Rows of a query over the table ``customer``; values are bound, never written into ``sql``."""
        return self._db.execute(sql, values).fetchall()
