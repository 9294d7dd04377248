"""The audit log: who read whom, which fields and in which form, on file before the answer leaves.

JSON lines, one file per process and day under ``home/api/audit``. Each record carries the code of the one before
(``prev``) and a keyed code of itself (``mac``), so that neither can be edited, removed or forged without the key. A
file's first record names the last records of the files beside it: whoever cuts the end off one has to alter the others.
No value of a customer's column is ever in it: ids, names of columns and fixed words only.
"""

from __future__ import annotations

import hmac
import os
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from api.security.audit_files import ChainedFile, last_record, log_files, set_aside
from api.security.errors import AuditError
from c360.privacy.keyed import derived_key

if TYPE_CHECKING:
    from pathlib import Path

    from api.security.principal import Principal

Outcome = Literal["permitted", "denied", "not_found", "refused", "failed"]

FORMAT = 1
MOST_SUBJECTS = 1_000
ROTATED_AT = 256 * 2**20
NEIGHBOURS = 100
_DAY_S = 86_400
_PLAIN = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Access:
    """One request as the audit log keeps it.

    ``subjects`` are the ids of the customers it read; of an export, which may read more than 1,000, one record for
    each part. ``view`` is the id of the :class:`api.security.decision.View`, ``fields`` the columns where not all of
    the resource were asked for, ``client`` the caller's address, of which only a keyed hash is written. Without a
    principal nobody was recognised.
    """

    request_id: str
    principal: Principal | None
    action: str
    resource: str
    outcome: Outcome
    subjects: tuple[str, ...] = ()
    view: str = ""
    fields: tuple[str, ...] = ()
    client: str = ""


class AuditLog:
    """The audit log of this process; safe to use from several threads.

    ``fsync`` is ``none``, ``interval`` (in the background, every ``fsync_s`` seconds) or ``always``. Raises AuditError
    if the folder cannot be written. ``set_aside`` names the files of killed processes whose torn last line was moved to
    ``<file>.torn``.
    """

    def __init__(
        self, folder: Path, key: bytes, fsync: Literal["none", "interval", "always"] = "interval", fsync_s: float = 1
    ) -> None:
        self._folder, self._always = folder, fsync == "always"
        self._mac_key = audit_key(key)
        client_key = derived_key(key, "audit/client")
        self._client = lru_cache(4096)(lambda text: hmac.digest(client_key, text.encode(), "sha256")[:8].hex())
        self._lock, self._done = threading.Lock(), threading.Event()
        self._dirty, self._broken, self._pid = False, "", os.getpid()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.set_aside = set_aside(folder)
            self._open(int(time.time() // _DAY_S))
        except OSError as error:
            raise _unwritable(folder, error.strerror or str(error)) from error
        self._syncing = threading.Thread(target=self._sync_often, args=(fsync_s,), name="audit-fsync", daemon=True)
        if fsync == "interval":
            self._syncing.start()

    def write(self, access: Access) -> None:
        """Append one record; after this returns it survives the death of the process.

        Raises AuditError if it is not on file as a whole: the request must then not be answered.
        """
        if len(access.subjects) > MOST_SUBJECTS:
            raise AuditError("A record names more than 1,000 customers", "write one record for each part")
        who = access.principal
        record = {
            "request": access.request_id if _PLAIN.fullmatch(access.request_id) else "?",
            "principal": who.subject if who else None,
            "key": who.key_id if who else None,
            "roles": sorted(who.roles) if who else [],
            "action": access.action,
            "resource": access.resource,
            "outcome": access.outcome,
            # What was asked for in vain may be anything, an e-mail address too.
            "subjects": access.subjects
            if access.outcome == "permitted"
            else [self._client(s) for s in access.subjects],
            "view": access.view,
            "fields": access.fields,
            "client": self._client(access.client) if access.client else None,
        }
        now = time.time()
        with self._lock:
            if self._broken or os.getpid() != self._pid:
                raise _unwritable(self._file.path, self._broken or "it belongs to another process")
            try:
                if now // _DAY_S > self._day or self._file.size >= ROTATED_AT:
                    self._open(int(now // _DAY_S))
                self._file.append(record, now)
                self._dirty = True
                if self._always:
                    self._sync(self._file.fd)
            except OSError as error:
                raise _unwritable(self._file.path, error.strerror or str(error)) from error
            except (TypeError, ValueError, UnicodeError) as error:
                raise AuditError("A record holds what JSON cannot", "refuse the request") from error

    @property
    def broken(self) -> str:
        """Why nothing can be written any more, empty while it can."""
        return self._broken

    def close(self) -> None:
        """Bring everything to the disk and let go of the file."""
        self._done.set()
        if self._syncing.ident is not None:
            self._syncing.join()
        with self._lock, suppress(OSError):
            if not self._broken:
                self._broken = "it is closed"
                os.fdatasync(self._file.fd)
            self._file.close()

    def _open(self, day: int) -> None:
        former: ChainedFile | None = getattr(self, "_file", None)
        if former:
            self._sync(former.fd)
        date = datetime.fromtimestamp(day * _DAY_S, UTC).date()
        begun = ChainedFile(self._folder / f"audit-{date}-{time.time_ns()}-{os.getpid()}.jsonl", self._mac_key)
        try:
            beside = [path for path in log_files(self._folder) if path != begun.path][-NEIGHBOURS:]
            seen = {path.name: last for path in beside if (last := last_record(path)) is not None}
            fingerprint = hmac.digest(self._mac_key, b"fingerprint", "sha256")[:4].hex()
            begun.append({"start": FORMAT, "key": fingerprint, "seen": seen}, time.time())
        except OSError:
            # The former file goes on as if nothing had happened; the next record tries again.
            begun.path.unlink(missing_ok=True)
            begun.close()
            raise
        self._file, self._day = begun, day
        if former:
            former.close()

    def _sync(self, fd: int) -> None:
        try:
            os.fdatasync(fd)
        except OSError as error:
            # What the disk refused once may be lost although the next attempt succeeds.
            self._broken = error.strerror or str(error)
            raise

    def _sync_often(self, every: float) -> None:
        while not self._done.wait(every):
            with self._lock:
                if not self._dirty:
                    continue
                self._dirty, fd = False, os.dup(self._file.fd)
            try:
                self._sync(fd)
            except OSError:
                return
            finally:
                os.close(fd)


def audit_key(key: bytes) -> bytes:
    """The key of the records' codes."""
    return derived_key(key, "audit")


def _unwritable(path: Path, why: str) -> AuditError:
    return AuditError(
        f"The audit log {path} cannot be written ({why})", "free space for it; nothing is answered without"
    )
