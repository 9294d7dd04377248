"""Commits the shop's transactions to PostgreSQL, each once, whatever happens to the server meanwhile."""

from __future__ import annotations

import contextlib
import csv
import io
import time
from typing import TYPE_CHECKING, Any

from c360.cdc.schema import NAMES, SCHEMA, ShopTable, shop_tables
from c360.engines.postgres import connect
from c360.errors import C360Error, EngineError
from mock_data.shop_changes import Change, Transaction

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from psycopg2.extensions import connection, cursor

    from c360.settings import Settings
    from mock_data.shop_ledger import ShopLedger

PATIENCE = 60.0
"""Seconds for which the server may be away."""


class ShopWriter:
    """A session that writes transactions; a server that is killed and comes back gets each of them once."""

    def __init__(self, settings: Settings, patience: float = PATIENCE) -> None:
        self._settings = settings
        self._patience = patience
        self._session: connection | None = None

    def write(self, transactions: Iterable[Transaction], ledger: ShopLedger, rate: float | None = None) -> None:
        """Commit them in order, at most ``rate`` a second, and tell the ledger of each.

        Raises:
            C360Error: the tables hold rows already, or the server is away for too long; the ledger has what came in.
        """
        began = time.monotonic()
        try:
            self._require_empty()
            for done, transaction in enumerate(transactions):
                if rate is not None:
                    time.sleep(max(0.0, began + done / rate - time.monotonic()))
                self.commit(transaction)
                ledger.add(transaction)
        finally:
            self.close()

    def load(self, transactions: Iterable[Transaction], ledger: ShopLedger) -> None:
        """Put in the rows as they are after all transactions, in one transaction of the database's own.

        For the ledger each row is an insertion at the moment of its last change. Raises C360Error as ``write``.
        """
        rows: dict[tuple[str, str], tuple[datetime, Change]] = {}
        for transaction in transactions:
            for change in transaction.changes:
                place = (change.table, str(change.key))
                if change.after is None:
                    rows.pop(place)
                else:
                    rows[place] = (transaction.at, Change(change.table, "c", None, change.after))
        ordered = sorted(rows.values(), key=lambda entry: (entry[0], NAMES.index(entry[1].table)))
        try:
            self._require_empty()
            with self._connected() as session, session.cursor() as cursor:
                for name in NAMES:
                    _copy(cursor, name, [change.row for _, change in ordered if change.table == name])
        finally:
            self.close()
        for at, change in ordered:
            ledger.add(Transaction(1, at, (change,)))

    def commit(self, transaction: Transaction) -> None:
        """Commit one transaction, and return when it is certain that it is committed."""
        import psycopg2

        number: str | None = None
        deadline = time.monotonic() + self._patience
        while True:
            try:
                if number is not None and self._was_committed(number):
                    return
                number = None
                session = self._connected()
                with session.cursor() as cursor:
                    statements = [cursor.mogrify(*statement(change)).decode() for change in transaction.changes]
                    cursor.execute("; ".join([*statements, "SELECT pg_current_xact_id()::text"]))
                    number = str((cursor.fetchone() or ("",))[0])
                session.commit()
            except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
                self.close()
                if time.monotonic() > deadline:
                    raise EngineError(
                        f"The shop's database does not answer ({str(error).strip()})", "start it with `c360 up cdc`"
                    ) from error
                time.sleep(0.2)
            else:
                return

    def close(self) -> None:
        """End the session."""
        if self._session is not None:
            import psycopg2

            with contextlib.suppress(psycopg2.Error):
                self._session.close()
            self._session = None

    def _connected(self) -> connection:
        if self._session is None:
            self._session = connect(self._settings)
        return self._session

    def _was_committed(self, number: str) -> bool:
        """What became of a transaction whose commit was not answered."""
        session = self._connected()
        with session.cursor() as cursor:
            cursor.execute("SELECT pg_xact_status(%s::text::xid8)", (number,))
            row = cursor.fetchone()
        session.rollback()
        return row is not None and row[0] == "committed"

    def _require_empty(self) -> None:
        session = self._connected()
        with session.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(f"(SELECT '{name}' FROM {SCHEMA}.{name} LIMIT 1)" for name in NAMES))
            row = cursor.fetchone()
        session.rollback()
        if row is not None:
            raise C360Error(
                f"The shop's table {row[0]} holds rows already",
                "play into an empty home: `c360 down`, then move its folder `postgres` away",
            )


def _copy(cursor: cursor, name: str, rows: list[dict[str, Any]]) -> None:
    table, text = shop_tables()[name], io.StringIO()
    writer = csv.writer(text)
    for row in rows:
        writer.writerow(["\\N" if row[column] is None else row[column] for column in table.names])
    text.seek(0)
    columns = ", ".join(table.names)
    cursor.copy_expert(f"COPY {SCHEMA}.{name} ({columns}) FROM STDIN WITH (FORMAT csv, NULL '\\N')", text)


def statement(change: Change) -> tuple[str, list[Any]]:
    """The SQL of a change, and its values."""
    table, row = shop_tables()[change.table], change.row
    name = f"{SCHEMA}.{change.table}"
    match change.op:
        case "c":
            columns = ", ".join(table.names)
            holes = ", ".join(["%s"] * len(table.names))
            return f"INSERT INTO {name} ({columns}) VALUES ({holes})", [row[column] for column in table.names]
        case "u":
            others = [column for column in table.names if column not in table.key]
            setting = ", ".join(f"{column} = %s" for column in others)
            where, keys = _where(table, row)
            return f"UPDATE {name} SET {setting} WHERE {where}", [*(row[column] for column in others), *keys]
        case "d":
            where, keys = _where(table, row)
            return f"DELETE FROM {name} WHERE {where}", keys


def _where(table: ShopTable, row: dict[str, Any]) -> tuple[str, list[Any]]:
    return " AND ".join(f"{column} = %s" for column in table.key), [row[column] for column in table.key]
