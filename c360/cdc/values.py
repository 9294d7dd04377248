"""Single values of an envelope as the whole numbers, texts and floats that columns are made of: exact, or refused.

Moments become microseconds and dates days since 1970, decimals their unscaled value at the scale of the contract.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

from c360.contracts.vocabulary import decimal_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from c360.cdc.schema import ShopColumn

UNAVAILABLE = "__debezium_unavailable_value"
"""What Debezium writes for a large value that did not change, where the log does not hold the whole old row."""

INT, LONG = 2**31, 2**63
EXACT_FLOAT = 2**53
FIRST_MOMENT = -62_135_596_800_000_000
LAST_MOMENT = 253_402_300_799_999_999
"""Years 1 to 9999 in microseconds: what every engine of the house can hold."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,12}))?(Z|[+-]\d\d:\d\d)", re.ASCII)
_BEYOND = re.compile(r"[+-]\d{4,}-.*Z", re.ASCII)
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_UNITS = {
    "io.debezium.time.Timestamp": 1000,
    "org.apache.kafka.connect.data.Timestamp": 1000,
    "io.debezium.time.MicroTimestamp": 1,
    "io.debezium.time.NanoTimestamp": -1000,
}
"""Microseconds of a unit of these types of Connect; negative: that many units are a microsecond."""


class Refused(Exception):
    """A message that cannot be used: ``reason`` of the dead letters, the ``field``, and what is wrong in words."""

    def __init__(self, reason: str, field: str | None, problem: str) -> None:
        super().__init__(problem)
        self.reason = reason
        self.field = field


@dataclass(frozen=True)
class Told:
    """What the schema of a message, if it has one, tells of a field: the type's name, and its parameters."""

    name: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)


def read_value(column: ShopColumn, value: Any, told: Told) -> Any:
    """A value that is not null, parsed from JSON with decimals for fractions; Refused if it is not exact.

    Without a schema a whole number as a moment counts microseconds from 10^14 on (in 1973), and nanoseconds from 10^17.
    """
    decimal = decimal_of(column.type)
    if decimal is not None:
        return _unscaled(column, value, *decimal, told)
    return _READERS[column.type](column, value, told)


def _unscaled(column: ShopColumn, value: Any, precision: int, scale: int, told: Told) -> int:
    if isinstance(value, str):
        number = Decimal(_integer(column, value)).scaleb(-_scale(told, scale))
    elif isinstance(value, dict) and set(value) == {"scale", "value"}:
        number = _of_struct(column, value)
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
    else:
        _refuse(column, f"holds {_kind(value)} and no decimal")
    unscaled = _times(number, scale)
    if unscaled is None:
        _refuse(column, f"has more than {scale} digits behind the point", "out_of_range")
    if abs(unscaled) >= 10**precision:
        _refuse(column, f"has more than {precision} digits", "out_of_range")
    return unscaled


def _times(number: Decimal, scale: int) -> int | None:
    """The number times 10^scale if that is whole; never by way of a number that takes gigabytes to write."""
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        return None
    coefficient = int("".join(map(str, digits)) or "0")
    shift = exponent + scale
    if coefficient == 0:
        return 0
    if shift > 100:
        return 10**100
    if shift < 0 and -shift > len(digits):
        return None
    whole, lost = (coefficient * 10**shift, 0) if shift >= 0 else divmod(coefficient, 10**-shift)
    return None if lost else -whole if sign else whole


def _integer(column: ShopColumn, text: str) -> int:
    """The number in two's complement, as Connect writes unscaled values."""
    try:
        raw = b64decode(text, validate=True)
    except ValueError:
        raw = b""
    if not raw:
        _refuse(column, "is no number in base64")
    if len(raw) > 64:
        _refuse(column, "has too many digits", "out_of_range")
    return int.from_bytes(raw, "big", signed=True)


def _of_struct(column: ShopColumn, value: Mapping[str, Any]) -> Decimal:
    scale, text = value["scale"], value["value"]
    if not isinstance(scale, int) or isinstance(scale, bool) or not isinstance(text, str) or abs(scale) > 1000:
        _refuse(column, "is no decimal with a scale of its own")
    return Decimal((0, (0,), 0)) if (number := _integer(column, text)) == 0 else _scaled(number, -scale)


def _scaled(number: int, exponent: int) -> Decimal:
    return Decimal((int(number < 0), tuple(map(int, str(abs(number)))), exponent))


def _scale(told: Told, scale: int) -> int:
    text = told.parameters.get("scale", "")
    return int(text) if re.fullmatch(r"-?\d{1,3}", text, re.ASCII) else scale


def _text(column: ShopColumn, value: Any, _told: Told) -> str:
    if not isinstance(value, str):
        _refuse(column, f"holds {_kind(value)} and no text")
    if value == UNAVAILABLE:
        _refuse(column, "was left out, because the old row is not in the log", "missing_required")
    return value


def _whole(column: ShopColumn, value: Any, _told: Told) -> int:
    number = _of_struct(column, value) if isinstance(value, dict) and set(value) == {"scale", "value"} else value
    if isinstance(number, Decimal):
        whole = _times(number, 0)
        if whole is None:
            _refuse(column, "is no whole number", "out_of_range")
        number = whole
    if not isinstance(number, int) or isinstance(number, bool):
        _refuse(column, f"holds {_kind(value)} and no whole number")
    limit = INT if column.type == "int" else LONG
    if not -limit <= number < limit:
        _refuse(column, f"is beyond {column.type}", "out_of_range")
    return number


def _float(column: ShopColumn, value: Any, _told: Told) -> float:
    if isinstance(value, str) and value in _SPECIAL:
        return _SPECIAL[value]
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        _refuse(column, f"holds {_kind(value)} and no number")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if math.isinf(found) or (abs(found) >= EXACT_FLOAT and isinstance(value, int) and int(found) != value):
        _refuse(column, "is beyond double", "out_of_range")
    return found


def _truth(column: ShopColumn, value: Any, _told: Told) -> bool:
    if not isinstance(value, bool):
        _refuse(column, f"holds {_kind(value)} and neither true nor false")
    return value


def _day(column: ShopColumn, value: Any, _told: Told) -> int:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value).toordinal() - _EPOCH_DAY
        except ValueError:
            _refuse(column, "is no date")
    if not isinstance(value, int) or isinstance(value, bool):
        _refuse(column, f"holds {_kind(value)} and no date")
    if not date.min.toordinal() <= value + _EPOCH_DAY <= date.max.toordinal():
        _refuse(column, "is beyond the years 1 to 9999", "out_of_range")
    return value


def _moment(column: ShopColumn, value: Any, told: Told) -> int:
    if isinstance(value, str):
        return _of_text(column, value)
    if not isinstance(value, int) or isinstance(value, bool):
        _refuse(column, f"holds {_kind(value)} and no moment")
    unit = _UNITS.get(told.name) or (1000 if abs(value) < 10**14 else 1 if abs(value) < 10**17 else -1000)
    micros, lost = (value * unit, 0) if unit > 0 else divmod(value, -unit)
    if lost:
        _refuse(column, "is finer than a microsecond", "out_of_range")
    if not FIRST_MOMENT <= micros <= LAST_MOMENT:
        _refuse(column, "is beyond the years 1 to 9999", "out_of_range")
    return micros


def _of_text(column: ShopColumn, text: str) -> int:
    found = _MOMENT.fullmatch(text)
    if found is None:
        beyond = _BEYOND.fullmatch(text) is not None
        _refuse(column, "is no moment with a zone", "out_of_range" if beyond else "bad_type")
    fraction = (found[2] or "").ljust(6, "0")
    if fraction[6:].strip("0"):
        _refuse(column, "is finer than a microsecond", "out_of_range")
    try:
        seconds = datetime.fromisoformat(found[1] + found[3])
        micros = (seconds - _EPOCH) // timedelta(microseconds=1) + int(fraction[:6])
    except (ValueError, OverflowError):
        _refuse(column, "is no moment of the calendar")
    if not FIRST_MOMENT <= micros <= LAST_MOMENT:
        _refuse(column, "is beyond the years 1 to 9999", "out_of_range")
    return micros


_READERS = {
    "string": _text,
    "int": _whole,
    "long": _whole,
    "double": _float,
    "boolean": _truth,
    "date": _day,
    "timestamp": _moment,
}


def _kind(value: Any) -> str:
    return {dict: "an object", list: "a list", bool: "a truth value", str: "text"}.get(type(value), "a number")


def _refuse(column: ShopColumn, problem: str, reason: str = "bad_type") -> NoReturn:
    raise Refused(reason, column.name, f"{column.name} {problem}")
