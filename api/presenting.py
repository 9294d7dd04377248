"""Rows as somebody may see them: one function per table and view, made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from api.serving.source import BY_KIND
from c360.contracts import get_contract
from c360.live.parts import columns as event_columns
from c360.privacy.keyed import Tokens
from c360.privacy.masking import row_presenter

EXPORT_TOKENS = frozenset({"customer_id", "customer_sk"})
"""Columns that are tokenised for some although they carry no classification."""
FEATURE = "features."

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from api.security.decision import View
    from c360.contracts.model import Column
    from c360.serving.model import Kind

    Show = Callable[[Mapping[str, object]], dict[str, object]]


def arrow_schema(kind: Kind) -> pa.Schema:
    """The columns of a kind as exported: what may be masked is text for everybody, as are amounts."""
    plain: dict[str, pa.DataType] = {
        "int": pa.int32(),
        "long": pa.int64(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
    }
    columns = [column for column in get_contract(BY_KIND[kind].table).columns if not column.name.startswith("_")]
    hidden = {column.name for column in columns if column.classification != "none" or column.name in EXPORT_TOKENS}
    types = {c.name: pa.string() if c.name in hidden else plain.get(c.type, pa.string()) for c in columns}
    return pa.schema(types)


class Presenting:
    """``key`` is that of tokens (:func:`c360.privacy.keyed.hash_key`)."""

    def __init__(self, key: bytes) -> None:
        self._tokens = Tokens(key)
        self._made: dict[tuple[str, str], Show] = {}

    def show(self, kind: Kind, view: View) -> Show:
        """A function from a row of this kind to the row under this view."""
        return self._made.get((kind, view.id)) or self._make(kind, get_contract(BY_KIND[kind].table).columns, view)

    def show_event(self, topic: str, view: View) -> Show:
        """A function from the record of an event (:func:`c360.live.parts.columns`) to the record under this view."""
        return self._made.get((topic, view.id)) or self._make(topic, event_columns(topic), view)

    def show_feature(self, name: str, columns: Sequence[Column], view: View) -> Show:
        """A function from a row of a feature with these columns to the row under this view."""
        return self._made.get((f"{FEATURE}{name}", view.id)) or self._make(f"{FEATURE}{name}", columns, view)

    def _make(self, of: str, columns: Sequence[Column], view: View) -> Show:
        made = row_presenter(columns, view.presentations, view.column_overrides, self._tokens)
        self._made[of, view.id] = made
        return made

    def each(self, kind: Kind, rows: Sequence[tuple[Mapping[str, object], View]]) -> list[dict[str, object]]:
        """Each row under its own view."""
        return [self.show(kind, view)(row) for row, view in rows]

    def rows(self, kind: Kind, view: View, rows: list[dict[str, Any]]) -> list[dict[str, object]]:
        """All rows under the view."""
        return list(map(self.show(kind, view), rows))
