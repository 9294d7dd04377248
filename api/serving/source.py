"""One release to read from: its index, or, where none is kept, a pruned scan of its tables. Both give the same."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from c360.contracts import get_contract
from c360.serving.model import SOURCES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from c360.lakehouse import Lakehouse
    from c360.serving.index import Index
    from c360.serving.model import Kind
    from c360.serving.release import Release

BY_KIND = {source.kind: source for source in SOURCES}


class ReleaseSource(Protocol):
    """``slow`` says that a read takes long enough to be kept off the event loop."""

    id: str
    as_of: datetime
    published_at: datetime
    slow: bool

    def one(self, kind: Kind, key: str) -> dict[str, Any] | None:
        """The row of a document that is one row; None if there is none."""

    def many(self, kind: Kind, key: str) -> list[dict[str, Any]]:
        """The records of a document, in its order; empty if there is none."""


class IndexSource:
    """Reads an index. Raises DamagedIndexError."""

    slow = False

    def __init__(self, index: Index) -> None:
        self.index = index
        self.id = index.manifest.release
        self.as_of = datetime.fromisoformat(index.manifest.as_of)
        self.published_at = datetime.fromisoformat(index.manifest.published_at)

    def one(self, kind: Kind, key: str) -> dict[str, Any] | None:
        """See :class:`ReleaseSource`."""
        if kind == "customer":
            found = self.index.customer(key)
            if found is None:
                return None
            row: dict[str, Any] = orjson.loads(found[0])
            row["recency_days"] = found[1]
            return row
        body = self.index.document(kind, key)
        return None if body is None else orjson.loads(body)

    def many(self, kind: Kind, key: str) -> list[dict[str, Any]]:
        """See :class:`ReleaseSource`."""
        body = self.index.document(kind, key)
        return [] if body is None else orjson.loads(body)

    def some(self, kind: Kind, keys: Sequence[str]) -> list[dict[str, Any]]:
        """The rows of those documents that there are, in the order of their keys as given."""
        found = [self.one(kind, key) for key in keys]
        return [row for row in found if row is not None]


class ScanSource:
    """Reads the tables of a release themselves, at its snapshots. Raises LakehouseError."""

    slow = True

    def __init__(self, lake: Lakehouse, release: Release) -> None:
        self._lake, self._release = lake, release
        self.id, self.as_of, self.published_at = str(release.id), release.as_of, release.published_at

    def one(self, kind: Kind, key: str) -> dict[str, Any] | None:
        """See :class:`ReleaseSource`."""
        found = self._rows(kind, key)
        return found[0] if found else None

    def many(self, kind: Kind, key: str) -> list[dict[str, Any]]:
        """See :class:`ReleaseSource`."""
        return self._rows(kind, key)

    def _rows(self, kind: Kind, key: str) -> list[dict[str, Any]]:
        import polars as pl
        from pyiceberg.expressions import EqualTo, Reference
        from pyiceberg.expressions.literals import literal

        from c360.serving.documents import documents, keyed

        source = BY_KIND[kind]
        [name] = source.key
        columns = [column for column in get_contract(source.table).names if not column.startswith("_")]
        snapshot = self._release.snapshots[source.table]
        read = self._lake.read(
            source.table, columns, EqualTo(term=Reference(name), value=literal(key)), snapshot_id=snapshot
        )
        rows = keyed(pl.DataFrame(pl.from_arrow(read)), source)
        made = documents(rows, source)
        if not made.height:
            return []
        body = orjson.loads(made.get_column("_body")[0])
        if source.many:
            return list(body)
        return [body | rows.select(source.apart).row(0, named=True)]
