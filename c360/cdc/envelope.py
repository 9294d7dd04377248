"""Changes of rows as the bytes that Debezium writes, configured as in ``connector``.

Decimals are the base64 of their unscaled value (big-endian two's complement, as short as possible), moments are text in
UTC with six digits of a second, and dates are days since 1970.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import orjson

from c360.cdc.connector import SERVER
from c360.cdc.schema import SCHEMA, ShopColumn, ShopTable
from c360.engines.postgres import DATABASE
from c360.errors import C360Error

if TYPE_CHECKING:
    from collections.abc import Mapping

Op = Literal["c", "u", "d"]
Row = dict[str, Any]
"""A row as Python values by column: str, int, float, bool, Decimal, date, datetime with a zone, None."""

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Position:
    """Where in the log a change is: its ``lsn``, the ``transaction`` that made it, and when that was committed."""

    lsn: int
    transaction: int
    at: datetime

    @property
    def micros(self) -> int:
        """The moment as microseconds since 1970."""
        return (self.at - _EPOCH) // timedelta(microseconds=1)


def decimal_bytes(value: Decimal, scale: int) -> bytes:
    """The unscaled value; C360Error if the value has more digits behind the point than the column."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise C360Error(f"{value} is no amount", "give a finite number")
    coefficient: int = int("".join(map(str, digits)) or "0")
    shift = exponent + scale
    unscaled, lost = (coefficient * 10**shift, 0) if shift >= 0 else divmod(coefficient, 10**-shift)
    if lost:
        raise C360Error(f"{value} has more than {scale} digits behind the point", "round it first")
    number: int = -unscaled if sign else unscaled
    bits = (number if number >= 0 else ~number).bit_length()
    return number.to_bytes(bits // 8 + 1, "big", signed=True)


def encoded(column: ShopColumn, value: Any) -> Any:
    """A value as it stands in the JSON of an envelope."""
    if value is None:
        return None
    if column.scale is not None:
        return b64encode(decimal_bytes(value, column.scale)).decode()
    if column.type == "timestamp":
        return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
    if column.type == "date":
        return value.toordinal() - _EPOCH_DAY
    return value


def message_key(table: ShopTable, row: Mapping[str, Any]) -> bytes:
    """Key of the messages about a row: its primary key as JSON."""
    return orjson.dumps({column.name: encoded(column, row[column.name]) for column in _key(table)})


def message_value(
    table: ShopTable, op: Op, before: Row | None, after: Row | None, position: Position, told_at: datetime
) -> bytes:
    """The envelope of a change. After a deletion a message without a value follows under the same key."""
    micros, told = position.micros, (told_at - _EPOCH) // timedelta(microseconds=1)
    return orjson.dumps(
        {
            "before": _row(table, before),
            "after": _row(table, after),
            "source": {
                "version": "light",
                "connector": "postgresql",
                "name": SERVER,
                "ts_ms": micros // 1000,
                "snapshot": "false",
                "db": DATABASE,
                "sequence": None,
                "ts_us": micros,
                "ts_ns": micros * 1000,
                "schema": SCHEMA,
                "table": table.name,
                "txId": position.transaction,
                "lsn": position.lsn,
                "xmin": None,
                "origin": None,
                "origin_lsn": None,
            },
            "transaction": None,
            "op": op,
            "ts_ms": told // 1000,
            "ts_us": told,
            "ts_ns": told * 1000,
        }
    )


def _row(table: ShopTable, row: Row | None) -> Row | None:
    return None if row is None else {column.name: encoded(column, row[column.name]) for column in table.columns}


def _key(table: ShopTable) -> tuple[ShopColumn, ...]:
    return tuple(column for column in table.columns if column.name in table.key)
