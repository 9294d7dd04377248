"""What messages of a table look like when nothing is unusual: read at once and strictly by msgspec.

A message that does not fit is not bad by that; :mod:`c360.cdc.message` looks at it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from c360.cdc.message import more_of
from c360.cdc.values import INT, LONG

if TYPE_CHECKING:
    from c360.cdc.schema import ShopColumn, ShopTable

EXTRAS = 64
"""Unknown fields that a shape takes in, at most; rows with more are read one by one."""

_Long = Annotated[int, msgspec.Meta(ge=-LONG, le=LONG - 1)]
_Day = Annotated[int, msgspec.Meta(ge=-719_162, le=2_932_896)]
_TYPES: dict[str, Any] = {
    "string": str,
    "int": Annotated[int, msgspec.Meta(ge=-INT, le=INT - 1)],
    "long": _Long,
    "double": float,
    "boolean": bool,
    "date": _Day,
    "timestamp": str,
}
_NOTHING = msgspec.Raw()


class Source(msgspec.Struct, gc=False):
    """Where a change comes from."""

    lsn: _Long
    ts_us: _Long
    txId: _Long | None = None  # noqa: N815 - as Debezium writes it
    snapshot: str | bool | None = None


@dataclass(frozen=True)
class Shape:
    """Decoders of a table's messages that may have the fields ``extras`` beside the contract's columns."""

    envelope: msgspec.json.Decoder[Any]
    row: msgspec.json.Decoder[Any]
    extras: tuple[str, ...]

    def more(self, values: tuple[msgspec.Raw, ...]) -> str | None:
        """The values of the extras as a JSON object; None if all are missing. UnicodeDecodeError for bad text."""
        return more_of({name: raw for name, raw in zip(self.extras, values, strict=True) if bytes(raw)})


@lru_cache(maxsize=256)
def shape_of(table: ShopTable, extras: tuple[str, ...] = ()) -> Shape:
    """The shape of a table's messages; rows are structs of the columns in order, and the extras."""
    columns = [(f"c{i}", *_field(column)) for i, column in enumerate(table.columns)]
    further = [(f"x{i}", msgspec.Raw, _NOTHING) for i in range(len(extras))]
    names = {f"c{i}": name for i, name in enumerate(table.names)} | {f"x{i}": name for i, name in enumerate(extras)}
    row = msgspec.defstruct(
        "Row", [*columns, *further], rename=names, kw_only=True, forbid_unknown_fields=True, gc=False
    )
    envelope = msgspec.defstruct(
        "Envelope",
        [("op", str), ("source", Source), ("after", row | None, None), ("before", msgspec.Raw, _NOTHING)],
        kw_only=True,
        gc=False,
    )
    return Shape(msgspec.json.Decoder(envelope), msgspec.json.Decoder(row), extras)


def _field(column: ShopColumn) -> tuple[Any, ...]:
    kind = str if column.scale is not None else _TYPES[column.type]
    return (kind,) if column.required else (kind | None, None)
