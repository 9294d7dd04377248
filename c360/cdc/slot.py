"""The replication slot: what of PostgreSQL's log is kept for the connector, and whether something of it is gone.

A slot that was dropped, or that PostgreSQL gave up because too much log was kept for it, cannot be made again: changes
between the connector's position and a new slot would be missed without a word.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from c360.cdc.connector import SLOT
from c360.engines.postgres import connect
from c360.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from c360.settings import Settings

Verdict = Literal["new", "kept", "missing", "given_up", "skipped"]


@dataclass(frozen=True)
class Slot:
    """A slot as the server sees it. Positions are bytes of the log; ``kept`` is None once it was given up."""

    active: bool
    status: str
    confirmed: int
    written: int

    @property
    def lag(self) -> int:
        """Bytes of log that the reader has not confirmed."""
        return self.written - self.confirmed


def read_slot(settings: Settings) -> Slot | None:
    """The connector's slot; None if there is none.

    Raises:
        EngineError: the database does not answer.
    """
    import psycopg2

    question = (
        "SELECT active, coalesce(wal_status, ''), confirmed_flush_lsn - '0/0', pg_current_wal_lsn() - '0/0' "
        "FROM pg_replication_slots WHERE slot_name = %s"
    )
    try:
        with contextlib.closing(connect(settings)) as session, session.cursor() as cursor:
            cursor.execute(question, (SLOT,))
            row = cursor.fetchone()
    except psycopg2.Error as error:
        raise EngineError(
            f"The shop's database cannot be asked ({str(error).strip()})", "start it with `c360 up cdc`"
        ) from error
    return None if row is None else Slot(bool(row[0]), str(row[1]), int(row[2] or 0), int(row[3]))


def judge(slot: Slot | None, offset: Mapping[str, Any] | None) -> Verdict:
    """Whether the slot still has all that comes after the connector's position.

    ``new``: the connector has no position yet; ``kept``: it can go on; ``missing``: there is no slot; ``given_up``: the
    server has let go of log that is needed; ``skipped``: the slot begins after the position, so it is another one.
    """
    if offset is None:
        return "new"
    if slot is None:
        return "missing"
    if slot.status == "lost":
        return "given_up"
    position = max(int(offset.get(name) or 0) for name in ("lsn", "lsn_proc", "lsn_commit"))
    return "skipped" if slot.confirmed > position else "kept"
