"""Capture as a whole: make it, look at it, start it again, and begin anew when the log was lost."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from c360.cdc.connect_api import ConnectClient, ConnectorState
from c360.cdc.connector import NAME, SLOT, USER, connector_config, schema_statements, topics
from c360.cdc.schema import SCHEMA, shop_tables
from c360.cdc.slot import Slot, Verdict, judge, read_slot
from c360.engines.postgres import DATABASE, connect, password
from c360.errors import EngineError

if TYPE_CHECKING:
    from psycopg2.extensions import connection

    from c360.settings import Settings

READY = 60.0
"""Seconds within which the connector must run."""

RELEASE = 15.0
"""Seconds within which the server notices that the slot's reader is gone."""


@dataclass(frozen=True)
class Capture:
    """What is seen of the capture: the connector (None: not registered), the slot (None: there is none).

    ``misread`` are columns whose decimals readers of the messages would take for others.
    """

    connector: ConnectorState | None
    slot: Slot | None
    log: Verdict
    misread: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether changes flow: the connector runs, reads its slot, and nothing of the log is gone."""
        runs = self.connector is not None and self.connector.running
        return runs and self.slot is not None and self.slot.active and self.log == "kept" and not self.misread


def install_database(settings: Settings) -> None:
    """Make database, tables, the connector's user and the publication; what is there is left as it is.

    Raises:
        EngineError: the database cannot be reached or refuses.
    """
    import psycopg2
    from psycopg2 import sql

    try:
        with contextlib.closing(connect(settings, "postgres")) as session:
            session.autocommit = True
            cursor = session.cursor()
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {DATABASE}")
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (USER,))
            verb = "ALTER" if cursor.fetchone() else "CREATE"
            secret = sql.Literal(password(settings, USER))
            cursor.execute(sql.SQL(f"{verb} ROLE {USER} LOGIN REPLICATION PASSWORD {{}}").format(secret))
        with contextlib.closing(connect(settings)) as session, session, session.cursor() as cursor:
            for statement in schema_statements({name: table.ddl() for name, table in shop_tables().items()}):
                cursor.execute(statement)
    except psycopg2.Error as error:
        raise EngineError(
            f"The shop's database cannot be made ({str(error).strip()})", "start it with `c360 up postgres`"
        ) from error


def install_topics(settings: Settings) -> None:
    """Make the topics of the changes that are missing; TopicError with the reason otherwise."""
    from c360.events.admin import KafkaAdminManager

    admin = KafkaAdminManager(settings.kafka_servers)
    admin.ensure(*topics(admin.brokers()))


def install(settings: Settings, patience: float = READY) -> Capture:
    """Make all that capture needs, register the connector, start again what failed, and wait until changes flow.

    Raises:
        EngineError: part of the log is gone, or the connector does not run within ``patience`` seconds.
    """
    install_database(settings)
    install_topics(settings)
    client = ConnectClient(settings, NAME)
    _require_log(observe(settings))
    client.register(connector_config(settings))
    state = client.state()
    if state is not None and state.connector in {"STOPPED", "PAUSED"}:
        client.resume()
    return wait(settings, patience)


def observe(settings: Settings) -> Capture:
    """What is there now; EngineError if Connect or the database cannot be asked."""
    client = ConnectClient(settings, NAME)
    state = client.state()
    # Before the position: read after it, the slot could be further on, and would seem to be another one.
    slot = read_slot(settings)
    offset = None if state is None else client.offset()
    return Capture(state, slot, judge(slot, offset), misread_columns(settings))


def misread_columns(settings: Settings) -> tuple[str, ...]:
    """Columns with more or fewer digits behind the point than their contract: messages hold the digits alone.

    One without any limit tells its digits with each value, and is none of them. EngineError if the database is away.
    """
    import psycopg2

    try:
        with contextlib.closing(connect(settings)) as session, session, session.cursor() as cursor:
            cursor.execute(
                "SELECT table_name, column_name, numeric_scale FROM information_schema.columns"
                " WHERE table_schema = %s AND data_type = 'numeric' AND numeric_scale IS NOT NULL",
                (SCHEMA,),
            )
            found = {(str(table), str(column)): int(scale) for table, column, scale in cursor.fetchall()}
    except psycopg2.Error as error:
        raise EngineError(
            f"The shop's database cannot be asked ({str(error).strip()})", "start it with `c360 up postgres`"
        ) from error
    return tuple(
        f"{table.name}.{column.name} ({scale} digits behind the point, {column.scale} in the contract)"
        for table in shop_tables().values()
        for column in table.columns
        if column.scale is not None and (scale := found.get((table.name, column.name), column.scale)) != column.scale
    )


def wait(settings: Settings, patience: float = READY) -> Capture:
    """Wait until changes flow, starting again what fails meanwhile.

    Raises:
        EngineError: part of the log is gone, or the time is over; it tells the connector's last failure.
    """
    client, deadline = ConnectClient(settings, NAME), time.monotonic() + patience
    while not (seen := observe(settings)).healthy:
        _require_log(seen)
        if time.monotonic() > deadline:
            why = seen.connector.why if seen.connector else "it is not registered"
            raise EngineError(
                f"No changes flow after {patience:.0f} s ({why or 'no failure is told'})", "see logs/connect.log"
            )
        if seen.connector is not None and seen.connector.failed:
            client.restart()
        time.sleep(0.5)
    return seen


def restart_failed(settings: Settings) -> bool:
    """Start the connector again if this home's Connect says that it failed; whether it did."""
    from c360.engines.state import StackState

    entry = StackState(settings.home).entries().get("connect")
    if entry is None or not entry.alive():
        return False
    client = ConnectClient(settings, NAME)
    with contextlib.suppress(EngineError):  # it is only just starting, and is asked again
        state = client.state()
        if state is not None and state.failed:
            client.restart()
            return True
    return False


def begin_anew(settings: Settings, patience: float = READY) -> Capture:
    """Forget the position and the slot, and read all rows again as they are now (op ``r``).

    Deletions that nobody read stay unread: compare the keys of the copies with the source afterwards.

    Raises:
        EngineError: as ``install``.
    """
    client = ConnectClient(settings, NAME)
    client.stop()
    # Broken off between these, it is refused again with the same mend, and not taken for whole.
    with contextlib.closing(connect(settings)) as session:
        _drop_slot(session)
    client.forget()
    client.resume()
    return wait(settings, patience)


def _drop_slot(session: connection) -> None:
    from psycopg2.errors import ObjectInUse

    session.autocommit = True
    deadline = time.monotonic() + RELEASE
    while True:
        try:
            with session.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (SLOT,)
                )
        except ObjectInUse:  # its reader was ended a moment ago
            if time.monotonic() > deadline:
                raise EngineError(f"The replication slot {SLOT} is read by somebody else", "end that reader") from None
            time.sleep(0.2)
        else:
            return


def _require_log(seen: Capture) -> None:
    if seen.misread:
        raise EngineError(
            f"Amounts of the shop would be misread: {', '.join(seen.misread)}",
            "give the columns the digits of the contract, and tell their rows anew with `c360 cdc begin-anew`",
        )
    if seen.log in {"new", "kept"}:
        return
    why = {
        "missing": f"the replication slot {SLOT} is gone",
        "given_up": f"PostgreSQL has given up the replication slot {SLOT}: too much log was kept for it",
        "skipped": f"the replication slot {SLOT} begins after the connector's position",
    }[seen.log]
    raise EngineError(
        f"Changes of the shop were lost: {why}", "read all rows again with `c360 cdc begin-anew`, then compare the keys"
    )
