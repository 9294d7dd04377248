"""Storage that fails: ``python -m tests.unit.lakehouse.failing WORK FAULT HOME SCRATCH`` prints what a write said."""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path

import pyarrow as pa

from c360.errors import LakehouseError
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from tests.unit.lakehouse.shapes import commit, contract, put, things

NAME = contract().name
NOBODY = 65534


def big(tag: str) -> pa.Table:
    """Rows that do not compress to nothing."""
    return things(range(20_000), tag + os.urandom(4).hex())


def append(lake: Lakehouse) -> None:
    put(lake, NAME, big("z"), "fails")


def merge(lake: Lakehouse) -> None:
    with lake.stage(NAME, commit("fails")) as staged:
        staged.merge(big("y"), ["id"])
        staged.publish()


def limit_files() -> None:
    """From now on no file grows beyond 20 kB; bytecode is not written, as Python would leave it cut short."""
    sys.dont_write_bytecode = True
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))


def become_nobody() -> None:
    """Permissions do not bind root."""
    if os.getuid() == 0:
        os.setuid(NOBODY)


def main(work: str, fault: str, home: str, scratch: str) -> None:
    todo = {"append": append, "merge": merge}[work]
    with Lakehouse(Settings(home=Path(scratch))) as rehearsal:
        # Everything is imported before the fault: nobody may not be able to read this interpreter's files.
        rehearsal.ensure(contract())
        append(rehearsal)
        todo(rehearsal)
    with Lakehouse(Settings(home=Path(home)), lock_timeout_s=5) as lake:
        {"limit": limit_files, "nobody": become_nobody}[fault]()
        try:
            todo(lake)
        except LakehouseError as error:
            print(error)
        else:
            print("no error")


if __name__ == "__main__":
    main(*sys.argv[1:])
