"""Messages of the capture with holes: made once by the product's own encoder, and filled at a fraction of its cost."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from c360.cdc.envelope import Position, decimal_bytes, encoded, message_value
from c360.cdc.schema import shop_tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from c360.cdc.envelope import Op
    from c360.cdc.schema import ShopColumn

_AT = datetime(2001, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)
_MILLIS = "981173106789"
_NUMBER = 4_242_424_242
_FILLING: dict[str, Any] = {"string": "x", "long": 1, "int": 1, "double": 1.0, "boolean": True}


class ChangeForm:
    """A change of a row of a table; ``holes`` are columns of text, moments and amounts, ``fixed`` values of others."""

    def __init__(self, name: str, op: Op, holes: Sequence[str], fixed: Mapping[str, Any]) -> None:
        table = shop_tables()[name]
        marks = {column.name: _mark(column, at) for at, column in enumerate(table.columns) if column.name in holes}
        row = {
            column.name: marks.get(column.name, fixed.get(column.name, _filling(column))) for column in table.columns
        }
        before = row if op == "u" else None
        text = message_value(table, op, before, row, Position(_NUMBER, _NUMBER, _AT), _AT).decode()
        for column in table.columns:
            if column.name in marks:
                text = text.replace(json.dumps(encoded(column, marks[column.name])), f'"%({column.name})s"')
        self._text = text.replace(_MILLIS, "%(ms)d").replace(str(_NUMBER), "%(number)d")
        (self._key,) = table.key

    def key(self, row: Mapping[str, str]) -> str:
        """The message's key."""
        return f'{{"{self._key}":"{row[self._key]}"}}'

    def fill(self, number: int, ms: int, row: Mapping[str, str]) -> str:
        """The message: ``row`` has a text for each hole, ``ms`` is when the change was committed."""
        return self._text % {"number": number, "ms": ms, **row}


def moment(ms: int) -> str:
    """Milliseconds since 1970 as messages write a moment."""
    seconds, millis = divmod(ms, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{millis:03}000Z"


def amount(cents: int) -> str:
    """Cents as messages write an amount."""
    return b64encode(decimal_bytes(Decimal(cents), 0)).decode()


def _mark(column: ShopColumn, at: int) -> Any:
    """A value that stands nowhere else in the message."""
    if column.scale is not None:
        return Decimal(123_456_789 + at).scaleb(-column.scale)
    return _AT + timedelta(days=1000 + at) if column.type == "timestamp" else f"<{column.name}>"


def _filling(column: ShopColumn) -> Any:
    if column.scale is not None:
        return Decimal(1)
    if column.type == "timestamp":
        return _AT
    return _AT.date() if column.type == "date" else _FILLING[column.type]
