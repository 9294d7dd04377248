"""How root starts what refuses to run as root.

A user namespace of its own is best: the process is a plain user in it, and still reaches this user's folders. Where the
kernel forbids that (a container without the right), it becomes the user `nobody`, which must be able to reach them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

from c360.errors import EngineError

NOBODY = "65534"


@dataclass(frozen=True)
class Drop:
    """What goes before a command, and the user (uid, gid) that then owns its files; None: the one that starts it."""

    prefix: tuple[str, ...] = ()
    owner: tuple[int, int] | None = None


@cache
def drop() -> Drop:
    """How this process starts a command without the rights of root.

    Raises:
        EngineError: it is root, and the machine has neither way to drop its rights.
    """
    if os.geteuid() != 0:
        return Drop()
    for tool, arguments, owner in (
        ("unshare", ("--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--"), None),
        # Changing the user clears the signal that ends the engine together with its guard.
        ("setpriv", (f"--reuid={NOBODY}", f"--regid={_group()}", "--clear-groups", "--pdeathsig=KILL", "--"), NOBODY),
    ):
        found = shutil.which(tool)
        if found is not None and _works((found, *arguments)):
            return Drop((found, *arguments), None if owner is None else (int(owner), _group()))
    raise EngineError(
        "PostgreSQL does not run as root, and its rights cannot be dropped here (neither unshare nor setpriv works)",
        "run c360 as another user, or install util-linux",
    )


def _group() -> int:
    try:
        return pwd.getpwuid(int(NOBODY)).pw_gid
    except KeyError:
        return int(NOBODY)


def _works(prefix: tuple[str, ...]) -> bool:
    try:
        return subprocess.run((*prefix, "true"), check=False, capture_output=True, timeout=10).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False
