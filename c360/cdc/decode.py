"""Change messages of a table as rows of its history: all at once, and one by one where a message is unusual.

Nothing is left out: each message becomes a row, a dead letter, or is counted as one that tells no change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl
import pyarrow as pa

from c360.cdc.columns import arrow_column, column_of
from c360.cdc.contracts import VERSION, history_contract
from c360.cdc.message import HOUR, ORDERED_AT, Change, read_message
from c360.cdc.shape import EXTRAS, Shape, shape_of
from c360.cdc.values import FIRST_MOMENT, LAST_MOMENT, Refused
from c360.contracts.loader import get_contract
from c360.contracts.schema import to_arrow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from c360.cdc.schema import ShopTable

PLACE = ("kafka_partition", "kafka_offset", "kafka_timestamp")
DEAD = "silver.dead_letters"


@dataclass(frozen=True)
class Decoded:
    """What ``read`` messages are: rows of the ``history``, ``dead`` letters, ``tombstones``, and ``silent`` ones.

    ``history`` and ``dead`` have the Arrow schemas of their tables. ``snapshots`` is ``source.snapshot`` of each row.
    """

    read: int
    history: pa.Table
    dead: pa.Table
    snapshots: pl.Series
    tombstones: int
    silent: int


def decode(table: ShopTable, messages: pa.Table) -> Decoded:
    """Decode messages of one table's topic: ``topic``, ``kafka_*``, ``key``, ``value``, as in bronze."""
    keys, values = messages.column("key").to_pylist(), messages.column("value").to_pylist()
    text = _is_text(messages.column("value"))
    batch = _Batch(table)
    late: list[int] = []
    for index, value in enumerate(values):
        if value is not None and not (text[index] and batch.take(index, value)):
            late.append(index)
    rows, again = batch.rows()
    found: dict[int, Change] = {}
    refused: list[tuple[int, Refused]] = []
    silent = 0
    for index in sorted([*late, *again]):
        try:
            change = read_message(table, keys[index], values[index] or b"")
        except Refused as error:
            refused.append((index, error))
            continue
        if change is None:
            silent += 1
        else:
            found[index] = change
    parts = [rows, _one_by_one(table, found)]
    whole = pa.concat_tables([part.drop_columns(["index", "snapshot"]) for part in parts])
    at = pa.concat_arrays([part.column("index").combine_chunks() for part in parts])
    snapshots = pl.concat([pl.Series("snapshot", part.column("snapshot"), dtype=pl.String) for part in parts])
    order = np.argsort(at.to_numpy(), kind="stable")
    place = messages.select(PLACE).take(at.to_numpy()[order])
    history = whole.take(order)
    for name in PLACE:
        history = history.append_column(name, place.column(name))
    schema = to_arrow(history_contract(table))
    return Decoded(
        read=messages.num_rows,
        history=history.select(schema.names).cast(schema),
        dead=_dead(messages, refused),
        snapshots=snapshots.gather(pl.Series(order)),
        tombstones=messages.column("value").null_count,
        silent=silent,
    )


class _Batch:
    """The messages that the shape takes, as columns."""

    def __init__(self, table: ShopTable) -> None:
        self._table = table
        self._shape: Shape = shape_of(table)
        self._index: list[int] = []
        self._envelopes: list[Any] = []
        self._rows: list[Any] = []
        self._more: list[str | None] = []

    def take(self, index: int, value: bytes) -> bool:
        """Whether the message was taken."""
        try:
            return self._take(index, value)
        except msgspec.ValidationError:
            if not self._widen(value):
                return False
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        try:
            return self._take(index, value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False

    def _take(self, index: int, value: bytes) -> bool:
        shape = self._shape
        envelope = shape.envelope.decode(value)
        op = envelope.op
        if op in ("c", "u", "r"):
            row = envelope.after
        elif op == "d":
            row = shape.row.decode(envelope.before)
        else:
            return False
        if row is None:
            return False
        if shape.extras:
            fields = msgspec.structs.astuple(row)
            size = len(self._table.columns)
            self._more.append(shape.more(fields[size:]))
            self._rows.append(fields[:size])
        else:
            self._more.append(None)
            self._rows.append(msgspec.structs.astuple(row))
        self._index.append(index)
        self._envelopes.append(envelope)
        return True

    def _widen(self, value: bytes) -> bool:
        """Let the shape take in fields of this message that it does not know; whether there were any."""
        try:
            seen = _LOOSE.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        fields = seen.after or seen.before or {}
        unknown = [name for name in fields if name not in self._table.names and name not in self._shape.extras]
        extras = (*self._shape.extras, *unknown)
        if not unknown or len(extras) > EXTRAS or any(_ODD.search(name) for name in unknown):
            return False
        self._shape = shape_of(self._table, extras)
        return True

    def rows(self) -> tuple[pa.Table, list[int]]:
        """Rows with the place of their message, and the places of messages that must be read one by one after all."""
        table, sources = self._table, [envelope.source for envelope in self._envelopes]
        index = np.array(self._index, dtype=np.int64)
        at = np.array([source.ts_us for source in sources], dtype=np.int64)
        failed = (at < FIRST_MOMENT) | (at > LAST_MOMENT)
        made: dict[str, Any] = {}
        by_column = list(zip(*self._rows, strict=True)) or [()] * len(table.columns)
        for column, values in zip(table.columns, by_column, strict=True):
            made[column.name], wrong = column_of(column, values)
            failed |= wrong
        if ORDERED_AT in made:
            failed |= made[ORDERED_AT].fill_null(FIRST_MOMENT).to_numpy() > at + HOUR
        columns = {column.name: arrow_column(column.type, made[column.name]) for column in table.columns}
        columns |= {
            "more": pa.array(self._more, pa.string()),
            "op": pa.array([envelope.op for envelope in self._envelopes], pa.string()),
            "lsn": pa.array([source.lsn for source in sources], pa.int64()),
            "transaction_id": pa.array([source.txId for source in sources], pa.int64()),
            "committed_at": arrow_column("timestamp", pl.Series(at)),
            "changed_at": columns[table.changed],
            "inferred": pa.array(np.zeros(len(index), dtype=np.bool_)),
            "snapshot": pa.array([_told(source.snapshot) for source in sources], pa.string()),
            "index": pa.array(index),
        }
        kept = pa.array(~failed)
        return pa.table(columns).filter(kept), [int(place) for place in index[failed]]


class _Loose(msgspec.Struct):
    after: dict[str, msgspec.Raw] | None = None
    before: dict[str, msgspec.Raw] | None = None


_ODD = re.compile(r'[\x00-\x1f"\\]')
"""What the name of a struct's field must not hold."""

_LOOSE = msgspec.json.Decoder(_Loose)


def _told(snapshot: str | bool | None) -> str | None:
    return snapshot if isinstance(snapshot, str) else None


def _is_text(values: pa.ChunkedArray[Any]) -> Sequence[bool]:
    """Which messages are UTF-8."""
    try:
        values.cast(pa.string())
    except pa.ArrowInvalid:
        return [value is None or _utf8(value) for value in values.to_pylist()]
    return [True] * len(values)


def _utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _one_by_one(table: ShopTable, found: dict[int, Change]) -> pa.Table:
    changes = list(found.values())
    columns: dict[str, Any] = {
        column.name: arrow_column(column.type, [change.row.get(column.name) for change in changes])
        for column in table.columns
    }
    own: dict[str, Callable[[Change], Any]] = {
        "more": lambda change: change.more,
        "op": lambda change: change.op,
        "lsn": lambda change: change.lsn,
        "transaction_id": lambda change: change.transaction,
        "committed_at": lambda change: change.at,
        "changed_at": lambda change: change.row.get(table.changed),
        "inferred": lambda _: False,
        "snapshot": lambda change: change.snapshot,
    }
    types = {column.name: column.type for column in history_contract(table).columns} | {"snapshot": "string"}
    columns |= {name: arrow_column(types[name], [of(change) for change in changes]) for name, of in own.items()}
    return pa.table({**columns, "index": pa.array(list(found), pa.int64())})


def _dead(messages: pa.Table, refused: list[tuple[int, Refused]]) -> pa.Table:
    schema = to_arrow(get_contract(DEAD))
    taken = messages.take(pa.array([index for index, _ in refused], pa.int64()))
    columns: dict[str, Any] = {
        "source_topic": taken.column("topic"),
        **{name: taken.column(name) for name in (*PLACE, "key", "value")},
        "reason": pa.array([error.reason for _, error in refused], pa.string()),
        "field_name": pa.array([error.field for _, error in refused], pa.string()),
        "event_id": pa.nulls(len(refused), pa.string()),
        "contract_version": pa.array([VERSION] * len(refused), pa.string()),
    }
    return pa.table(columns).select(schema.names).cast(schema)
