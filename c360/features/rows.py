"""From a message of a feature's topic to the item that the store keeps, and back to a row."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import orjson

from c360.streams.features import EFFECTIVE, VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from c360.contracts.model import Column
    from c360.features.tables import FeatureTable

Attribute = dict[str, Any]
"""A value in DynamoDB's words: ``{"N": "12.50"}``."""
Item = dict[str, Attribute]

_MOMENT = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z")
_DAY = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_LONGEST_KEY = 2048
_DIGITS = 38
_SMALLEST, _GREATEST = 1e-130, 9.9e125
"""Between these lie the numbers that DynamoDB keeps."""


class RefusedRow(ValueError):
    """A message that is no row of its feature; the text names the column and never quotes the value."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its table, its key, what makes it newer than another (version, effective_at), and the item."""

    table: FeatureTable
    key: str
    newest: tuple[int, str]
    item: Item


class Rows:
    """Reads the messages of one feature."""

    def __init__(self, table: FeatureTable) -> None:
        self.table = table
        self._columns = [(column.name, column.required, _writer(column)) for column in table.columns]
        self._names = frozenset(column.name for column in table.columns)

    def of(self, key: bytes | None, value: bytes | None) -> Row:
        """The row in a message. Raises RefusedRow for one that the contract does not know."""
        if value is None:
            raise RefusedRow("there is no value: features are not deleted by a message")
        try:
            record = orjson.loads(value)
            text = (key or b"").decode()
        except ValueError:
            raise RefusedRow("it is no JSON, or its key no UTF-8") from None
        if not isinstance(record, dict):
            raise RefusedRow("it is no JSON object")
        if not record.keys() <= self._names:
            raise RefusedRow("it has columns that the contract has not")
        item: Item = {}
        for name, required, write in self._columns:
            given = record.get(name)
            if given is None:
                if required:
                    raise RefusedRow(f"column {name} is missing")
            else:
                item[name] = write(given)
        if not text or record.get(self.table.key) != text:
            raise RefusedRow(f"the key of the message is not its {self.table.key}")
        if len(key or b"") > _LONGEST_KEY:
            raise RefusedRow(f"the key is longer than {_LONGEST_KEY} bytes")
        if self.table.index and not item.get(self.table.index, {}).get("S", "-"):
            raise RefusedRow(f"column {self.table.index} is empty")  # no index takes an empty text
        return Row(self.table, text, (record[VERSION], record[EFFECTIVE]), item)


def newest(rows: Iterable[Row]) -> list[Row]:
    """Of each key the newest row, in the order in which their keys came first."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows:
        place = (row.table.name, row.key)
        known = found.get(place)
        if known is None or known.newest < row.newest:
            found[place] = row
    return list(found.values())


def record_of(table: FeatureTable, item: Mapping[str, Attribute]) -> dict[str, Any]:
    """The row that an item holds, as its message had it: times and decimals as text, null where nothing is."""
    return {column.name: _read(column, item.get(column.name)) for column in table.columns}


def _writer(column: Column) -> Callable[[Any], Attribute]:
    name, kind = column.name, column.type

    def refuse() -> RefusedRow:
        return RefusedRow(f"column {name} is no {kind}")

    def text(value: Any) -> Attribute:
        if not isinstance(value, str):
            raise refuse()
        return {"S": value}

    def moment(value: Any, form: re.Pattern[str] = _DAY if kind == "date" else _MOMENT) -> Attribute:
        if not isinstance(value, str) or form.fullmatch(value) is None:
            raise refuse()
        return {"S": value}

    def flag(value: Any) -> Attribute:
        if not isinstance(value, bool):
            raise refuse()
        return {"BOOL": value}

    def whole(value: Any) -> Attribute:
        if type(value) is not int:
            raise refuse()
        return {"N": str(value)}

    def real(value: Any) -> Attribute:
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not (value == 0 or _SMALLEST <= abs(value) <= _GREATEST):
            raise refuse()
        return {"N": repr(value)}

    def amount(value: Any) -> Attribute:
        try:
            number = Decimal(value) if isinstance(value, str) else None
        except InvalidOperation:
            number = None
        # More digits, or an exponent that needs more zeros, DynamoDB would refuse.
        if number is None or not number.is_finite() or len(number.as_tuple().digits) > _DIGITS:
            raise refuse()
        if number and not -_DIGITS < number.adjusted() < _DIGITS:
            raise refuse()
        return {"N": f"{number:f}"}

    kinds = {
        "string": text, "timestamp": moment, "date": moment, "boolean": flag, "int": whole, "long": whole,
        "double": real,
    }  # fmt: skip
    return amount if kind.startswith("decimal") else kinds[kind]


def _read(column: Column, attribute: Attribute | None) -> Any:
    if attribute is None:
        return None
    [(kind, value)] = attribute.items()
    if kind != "N":
        return value
    if column.type.startswith("decimal"):
        scale = int(column.type.rstrip(")").rpartition(",")[2])
        # DynamoDB drops zeros at the end.
        return f"{Decimal(value):.{scale}f}"
    return float(value) if column.type == "double" else int(value)
