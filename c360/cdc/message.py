"""One change message read with care: in whatever form it comes, and with the reason if it cannot be used.

:mod:`c360.cdc.decode` reads batches; what it does not take at once comes here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from c360.cdc.values import FIRST_MOMENT, LAST_MOMENT, LONG, Refused, Told, read_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from c360.cdc.schema import ShopTable

HOUR = 3_600_000_000
ORDERED_AT = "ordered_at"
"""Must not be later than an hour after the commit, where a table has it: clocks differ by less."""

LAST, LAST_OF_TABLE = "last", "last_in_data_collection"
"""Values of ``source.snapshot`` on the last row of all tables, and of one."""

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True)
class Change:
    """A change: the newest content of the ``row`` by column (the last before a deletion), as :mod:`.values` has it.

    ``more`` is what the contract does not know, as JSON. ``image`` is False where only the key is known. The key of a
    truncation is null. ``snapshot`` is ``source.snapshot``; ``at`` the commit in microseconds since 1970.
    """

    op: str
    lsn: int
    transaction: int | None
    at: int
    snapshot: str | None
    row: Mapping[str, Any]
    more: str | None = None
    image: bool = True


def read_message(table: ShopTable, key: bytes | None, value: bytes) -> Change | None:
    """The change in a message that is no tombstone; None for one that tells none (op ``m``, a heartbeat).

    Raises:
        Refused: it cannot be used. Of a deletion this takes an unknown key or place: an old row that cannot be read
            leaves the deletion, as the row would stay for ever otherwise.
    """
    envelope, told = _envelope(value)
    op = _json(envelope.get("op"))
    if op == "m" or (envelope and set(envelope) <= {"ts_ms", "ts_us", "ts_ns"}):
        return None
    if op not in ("c", "u", "d", "r", "t"):
        reason = "missing_required" if op is None else "not_allowed"
        raise Refused(reason, "op", f"op is {op!r}, and none of c, u, d, r, t")
    stated = _json(envelope.get("source"))
    source = stated if isinstance(stated, dict) else {}
    lsn, transaction, at = _place(source)
    snapshot = source.get("snapshot")
    place = (op, lsn, transaction, at, snapshot if isinstance(snapshot, str) else None)
    if op == "t":
        return Change(*place, {}, image=False)
    if op == "d":
        try:
            return Change(*place, *_content(table, envelope.get("before"), told, at))
        except Refused:
            return Change(*place, read_key(table, key, envelope.get("before")), image=False)
    return Change(*place, *_content(table, envelope.get("after"), told, at))


def read_key(table: ShopTable, key: bytes | None, row: bytes | msgspec.Raw | None = None) -> dict[str, Any]:
    """The key columns of a message, of its key or else of a ``row``; Refused if neither has all of them."""
    found: dict[str, Any] = {}
    fields = _fields(row)
    if key is not None:
        try:
            own = _fields(key)
            fields |= _fields(own["payload"]) if "payload" in own and "schema" in own else own
        except Refused:
            pass
    for column in table.columns:
        if column.name in table.key:
            value = _json(fields.get(column.name))
            if value is None:
                raise Refused("missing_required", column.name, f"the key's {column.name} is missing")
            found[column.name] = read_value(column, value, Told())
    return found


def _envelope(value: bytes) -> tuple[dict[str, msgspec.Raw], dict[str, Told]]:
    try:
        value.decode()
    except UnicodeDecodeError:
        raise Refused("bad_encoding", None, "the message is not UTF-8") from None
    fields = _fields(value)
    if not fields:
        raise Refused("malformed_record", None, "the message is empty")
    if "op" in fields or "schema" not in fields or "payload" not in fields:
        return fields, {}
    return _fields(fields["payload"]), _schema(_json(fields["schema"]))


def _schema(schema: Any) -> dict[str, Told]:
    """What a schema of Connect tells of a row's fields."""
    try:
        (row,) = [each for each in schema["fields"] if each["field"] == "after"]
        return {
            str(each["field"]): Told(
                str(each.get("name") or ""), {str(k): str(v) for k, v in (each.get("parameters") or {}).items()}
            )
            for each in row["fields"]
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Refused("malformed_record", "schema", "the schema tells nothing of the row") from None


def _content(
    table: ShopTable, raw: msgspec.Raw | None, told: Mapping[str, Told], at: int
) -> tuple[dict[str, Any], str | None]:
    fields = _fields(raw)
    if not fields:
        raise Refused("missing_required", "after", "the row is missing")
    row: dict[str, Any] = {}
    for column in table.columns:
        value = _json(fields.pop(column.name, None))
        if value is None and column.required:
            raise Refused("missing_required", column.name, f"{column.name} is missing")
        row[column.name] = None if value is None else read_value(column, value, told.get(column.name, Told()))
    if row.get(ORDERED_AT) is not None and row[ORDERED_AT] > at + HOUR:
        raise Refused("future_event_time", ORDERED_AT, "ordered more than an hour after the commit")
    return row, more_of(fields)


def more_of(fields: Mapping[str, msgspec.Raw]) -> str | None:
    """Further fields as a JSON object, each value letter by letter as it came."""
    if not fields:
        return None
    pairs = (f"{json.dumps(name, ensure_ascii=False)}:{bytes(raw).decode()}" for name, raw in fields.items())
    return f"{{{','.join(pairs)}}}"


def _place(source: Mapping[str, Any]) -> tuple[int, int | None, int]:
    lsn = _number(source, "lsn")
    if lsn is None:
        raise Refused("missing_required", "source.lsn", "the place in the log is missing")
    for name, unit, per in (("ts_us", 1, 1), ("ts_ms", 1000, 1), ("ts_ns", 1, 1000)):
        stated = _number(source, name)
        if stated is not None:
            at = stated * unit // per
            if not FIRST_MOMENT <= at <= LAST_MOMENT:
                raise Refused("out_of_range", f"source.{name}", "committed beyond the years 1 to 9999")
            return lsn, _number(source, "txId"), at
    raise Refused("missing_required", "source.ts_us", "the moment of the commit is missing")


def _number(source: Mapping[str, Any], name: str) -> int | None:
    value = source.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refused("bad_type", f"source.{name}", f"source.{name} is no whole number")
    if not -LONG <= value < LONG:
        raise Refused("out_of_range", f"source.{name}", f"source.{name} is beyond 64 bits")
    return value


def _fields(raw: bytes | msgspec.Raw | None) -> dict[str, msgspec.Raw]:
    """The fields of a JSON object; none of null or nothing. Refused for anything else."""
    if raw is None or bytes(raw) in (b"", b"null"):
        return {}
    try:
        return _FIELDS.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Refused("malformed_record", None, "the message is no JSON object") from None


def _json(raw: msgspec.Raw | None) -> Any:
    """A value with fractions as decimals."""
    if raw is None:
        return None
    try:
        return json.loads(bytes(raw), parse_float=Decimal, parse_constant=_no_number)
    except (ValueError, RecursionError, ArithmeticError):
        raise Refused("malformed_record", None, "the message is no JSON object") from None


def _no_number(word: str) -> None:
    raise ValueError(word)
