"""What conforming must do, written a second time: plain Python, row by row, sharing no code with the product."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

WHITE = "\t\n\v\f\r \x85\xa0\u1680"
WHITE += "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
KEPT_FORMAT = {"\u200c", "\u200d"}
DIGITS = set("0123456789")


class RefusedError(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass
class Result:
    accepted: list[dict[str, Any]] = field(default_factory=list)
    deduplicated: list[tuple[str, int, str, int]] = field(default_factory=list)
    rejected: list[tuple[str, int, str, str | None, str | None]] = field(default_factory=list)
    skipped: int = 0


def conform_by_hand(rows: list[dict[str, Any]], contract: Any, existing: list[dict[str, Any]] = ()) -> Result:  # type: ignore[assignment]
    """Rows must come in order of precedence."""
    result = Result()
    silver = {tuple(row[k] for k in contract.primary_key): row for row in existing}
    business = [c for c in contract.columns if not c.name.startswith("_")]
    for row in rows:
        at = (row["_source_file"], row["_source_row"])
        if row["_error"] is not None:
            result.rejected.append((*at, row["_error"], None, None))
            continue
        typed: dict[str, Any] = {}
        for column in business:
            try:
                typed[column.name] = value_of(row[column.source or column.name], column)
            except RefusedError as refusal:
                result.rejected.append((*at, refusal.reason, column.name, row[column.source or column.name]))
                break
        else:
            key = tuple(typed[k] for k in contract.primary_key)
            kept = silver.get(key)
            if kept is None:
                silver[key] = {**typed, "_source_file": at[0], "_source_row": at[1]}
                result.accepted.append(silver[key] | {"_batch_date": row["_batch_date"]})
            elif (kept["_source_file"], kept["_source_row"]) == at:
                result.skipped += 1
            elif all(kept[c.name] == typed[c.name] for c in business):
                result.deduplicated.append((*at, kept["_source_file"], kept["_source_row"]))
            else:
                result.rejected.append((*at, "conflicting_duplicate", None, None))
    return result


def value_of(text: str | None, column: Any) -> Any:
    text = clean(text, column)
    if text is None:
        if column.required:
            raise RefusedError("missing_required")
        return None
    value = typed_value(text, column)
    if column.type == "string":
        if column.max_length is not None and len(text) > column.max_length:
            raise RefusedError("out_of_range")
    else:
        defaults = {"timestamp": ("1970-01-01", "2100-12-31T23:59:59.999999"), "date": ("1970-01-01", "2100-12-31")}
        low, high = defaults.get(column.type, (None, None))
        low, high = column.minimum or low, column.maximum or high
        if low is not None and value < bound(low, column.type):
            raise RefusedError("out_of_range")
        if high is not None and value > bound(high, column.type):
            raise RefusedError("out_of_range")
    if column.enum and text not in column.enum:
        raise RefusedError("not_allowed")
    if column.pattern and not re.search(column.pattern.replace("$", r"\Z"), text):
        raise RefusedError("not_allowed")
    return value


def clean(text: str | None, column: Any) -> str | None:
    if text is None:
        return None
    steps = list(column.standardise)
    if column.type != "string":
        text = text.strip(WHITE)
    for step in steps:
        if step == "nfc":
            text = unicodedata.normalize("NFC", text)
        elif step == "strip_control":
            text = "".join(" " if c in WHITE and ord(c) < 0x100 and c != " " and c != "\xa0" else c for c in text)
            text = "".join(
                c
                for c in text
                if unicodedata.category(c) not in ("Cc", "Cf") or c in KEPT_FORMAT or c in "\u0600\u06dd"
            )
        elif step == "trim":
            text = text.strip(WHITE)
        elif step == "squeeze":
            text = re.sub(f"[{WHITE}]+", " ", text)
        elif step == "lower":
            text = text.lower()
        elif step == "upper":
            text = text.upper()
    return text if text.strip(WHITE) else None


def bound(text: str, type_: str) -> Any:
    if type_ == "date":
        return date.fromisoformat(text)
    if type_ == "timestamp":
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    return float(text) if type_ == "double" else Decimal(text)


def typed_value(text: str, column: Any) -> Any:
    kind = column.type
    if kind == "string":
        return text
    if kind == "boolean":
        flags = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.lower() not in flags:
            raise RefusedError("bad_type")
        return flags[text.lower()]
    if kind in ("int", "long"):
        number = plain_number(text)
        if number is None or number != number.to_integral_value() or text.lstrip("+-").startswith("."):
            raise RefusedError("bad_type")
        if not -(2 ** (31 if kind == "int" else 63)) <= number < 2 ** (31 if kind == "int" else 63):
            raise RefusedError("out_of_range")
        return int(number)
    if kind.startswith("decimal"):
        precision, scale = map(int, kind[8:-1].split(","))
        number = plain_number(text)
        if number is None or number != round(number, scale):
            raise RefusedError("bad_type")
        if abs(number) >= Decimal(10) ** (precision - scale):
            raise RefusedError("out_of_range")
        return number
    if kind == "double":
        mantissa, _, exponent = text.replace("E", "e").partition("e")
        sound = plain_number(mantissa) is not None
        if "e" in text.lower():
            sound = (
                sound
                and exponent.lstrip("+-") != ""
                and set(exponent[1:] if exponent[0] in "+-" else exponent) <= DIGITS
            )
        if not sound:
            raise RefusedError("bad_type")
        if abs(float(text)) == float("inf"):
            raise RefusedError("out_of_range")
        return float(text) or 0.0
    if kind == "date":
        try:
            moment = instant(text, naive=True)
        except RefusedError:  # an offset that leaves the calendar is an offset, and a day has none
            raise RefusedError("bad_type") from None
        zone = text[10:].replace(":", "").replace("00", "").strip("T Z+-.0")
        if zone or moment.time() != datetime.min.time():
            raise RefusedError("bad_type")
        return moment.date()
    return instant(text, naive="timestamp_utc" in column.standardise)


def plain_number(text: str) -> Decimal | None:
    body = text[1:] if text[:1] in ("+", "-") else text
    if not body or not set(body) <= DIGITS | {"."} or body.count(".") > 1 or body == ".":
        return None
    try:
        return Decimal(text)
    except InvalidOperation:  # pragma: no cover - the check above leaves nothing that Decimal refuses
        return None


def instant(text: str, *, naive: bool) -> datetime:
    day, time = text[:10], text[10:]
    offset = timedelta(0)
    try:
        if len(day) != 10 or day[4] != "-" or day[7] != "-":
            raise ValueError
        year, month, dom = number(day[:4]), number(day[5:7]), number(day[8:])
        if time:
            if time[0] not in "T ":
                raise ValueError
            time = time[1:]
            if time.endswith("Z"):
                time = time[:-1]
            else:
                for i, sign in enumerate(time):
                    if sign in "+-":
                        zone = time[i + 1 :]
                        hours, minutes = zone[:2], zone[2:].removeprefix(":")
                        if zone[2:] == ":" or not (len(hours) == 2 and len(minutes) in (0, 2)):
                            raise ValueError
                        if number(hours) > 23 or number(minutes or "00") > 59:
                            raise ValueError
                        offset = timedelta(hours=number(hours), minutes=number(minutes or "00")) * (
                            1 if sign == "+" else -1
                        )
                        time = time[:i]
                        break
                else:
                    if not naive:
                        raise ValueError
        elif not naive:
            raise ValueError
        clock, dot, fraction = time.partition(".")
        parts = clock.split(":") if time else []
        if (time == "" and text[10:]) or len(parts) > 3 or any(len(p) != 2 for p in parts):
            raise ValueError
        if dot and (len(parts) != 3 or not 1 <= len(fraction) <= 9):
            raise ValueError
        hour, minute, second = [number(p) for p in parts] + [0] * (3 - len(parts))
        micro = number((fraction + "000000")[:6]) if dot else 0
        number(fraction or "0")
        local = datetime(year, month, dom, hour, minute, second, micro, tzinfo=UTC)
    except ValueError:
        raise RefusedError("bad_type") from None
    try:
        return local - offset
    except OverflowError:
        raise RefusedError("out_of_range") from None


def number(text: str) -> int:
    if not text or not set(text) <= DIGITS:
        raise ValueError
    return int(text)


def bronze_row(file: str, row: int, cells: dict[str, str | None], error: str | None = None) -> dict[str, Any]:
    return {
        **cells,
        "_raw": json.dumps(cells) if error else None,
        "_extra": None,
        "_error": error,
        "_source_file": file,
        "_source_row": row,
        "_batch_date": date(2025, 1, 1),
    }
