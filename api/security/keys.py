"""API keys ``c360k_<id>_<secret>``: of the secret only its SHA-256 is stored, in a SQLite file that its owner may read.

The secret is 32 random bytes. No list of guesses reaches it, so a slow password hash would only make requests slow.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from api.security.errors import ApiKeyError, KeyStoreError
from api.security.principal import ALL_REGIONS, Principal, Role, known_roles, regions_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LOOK_EVERY_S = 0.25
"""How often a process looks whether another one has changed the store: a revoked key works no longer than this."""
_FORM = re.compile(r"c360k_([0-9a-f]{12})_([0-9a-f]{64})", re.ASCII)
_TABLE = """
CREATE TABLE IF NOT EXISTS api_keys (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, digest BLOB NOT NULL, roles TEXT NOT NULL, regions TEXT NOT NULL,
    purposes TEXT NOT NULL, scopes TEXT NOT NULL, created REAL NOT NULL, expires REAL, revoked REAL
) STRICT
"""


@dataclass(frozen=True)
class ApiKey:
    """A stored key, without its secret; times in UTC."""

    id: str
    name: str
    principal: Principal
    created: datetime
    expires: datetime | None
    revoked: datetime | None

    def active(self, now: datetime) -> bool:
        """Whether the key is accepted at that moment."""
        return self.revoked is None and (self.expires is None or now < self.expires)


@dataclass(frozen=True, slots=True)
class _Held:
    digest: bytes
    principal: Principal
    expires: float
    revoked: bool


class KeyStore:
    """The keys of one home; made with its folder if it is not there. Several processes may use it at once.

    Raises KeyStoreError where the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._version, self._looked = -1, float("-inf")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            path.chmod(0o600)
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
            self._db.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            raise _unusable(path, error) from error

    def check(self, key: str) -> Principal:
        """Whose key this is.

        Raises ApiKeyError with the reason ``malformed``, ``unknown``, ``revoked`` or ``expired``, and KeyStoreError.
        A wrong secret and an unknown id are one reason: neither tells that an id exists.
        """
        match = _FORM.fullmatch(key)
        if match is None:
            raise ApiKeyError("malformed")
        digest = hashlib.sha256(bytes.fromhex(match[2])).digest()
        held = self._find(match[1])
        # Compared even without a key of that id, so that the time taken is the same.
        same = hmac.compare_digest(digest, held.digest if held else bytes(32))
        if held is None or not same:
            raise ApiKeyError("unknown")
        if held.revoked:
            raise ApiKeyError("revoked")
        if time.time() >= held.expires:
            raise ApiKeyError("expired")
        return held.principal

    def create(
        self,
        name: str,
        roles: Iterable[Role],
        regions: frozenset[str] | None = None,
        purposes: Iterable[str] = (),
        scopes: Iterable[str] = (),
        expires: datetime | None = None,
    ) -> str:
        """Store a new key and return it: the only time that its secret can be seen. ``regions`` None means all."""
        key_id, secret = secrets.token_hex(6), secrets.token_bytes(32)
        row = (
            key_id, name, hashlib.sha256(secret).digest(), _words(roles),
            _words([ALL_REGIONS] if regions is None else regions), _words(purposes), _words(scopes),
            time.time(), expires.timestamp() if expires else None,
        )  # fmt: skip
        self._write("INSERT INTO api_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)", row)
        return f"c360k_{key_id}_{secret.hex()}"

    def revoke(self, key_id: str) -> None:
        """Refuse a key from now on, in this process at once and in others within a second. KeyStoreError if unknown."""
        changed = self._write("UPDATE api_keys SET revoked = coalesce(revoked, ?) WHERE id = ?", (time.time(), key_id))
        if not changed:
            raise KeyStoreError(f"There is no API key {key_id}", "take an id from `c360 api keys list`")

    def entries(self) -> list[ApiKey]:
        """All keys, revoked and expired ones too, oldest first."""
        try:
            with self._lock, closing(self._db.execute("SELECT * FROM api_keys ORDER BY created, id")) as cursor:
                rows = cursor.fetchall()
        except sqlite3.Error as error:
            raise _unusable(self._path, error) from error
        return [ApiKey(r[0], r[1], _principal(r), _time(r[7]), _maybe(r[8]), _maybe(r[9])) for r in rows]

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _find(self, key_id: str) -> _Held | None:
        now = time.monotonic()
        if now - self._looked >= LOOK_EVERY_S:
            self._look(now)
        held = self._held.get(key_id)
        if held is not None:
            return held
        try:
            with self._lock, closing(self._db.execute("SELECT * FROM api_keys WHERE id = ?", (key_id,))) as cursor:
                row = cursor.fetchone()
                if row is None:
                    return None
                expires = float("inf") if row[8] is None else row[8]
                held = self._held[key_id] = _Held(row[2], _principal(row), expires, row[9] is not None)
                return held
        except sqlite3.Error as error:
            raise _unusable(self._path, error) from error

    def _look(self, now: float) -> None:
        """Forget what is held if another process has written; refuse to go on from memory if that cannot be told."""
        try:
            with self._lock, closing(self._db.execute("PRAGMA data_version")) as cursor:
                version = cursor.fetchone()[0]
                if version != self._version:
                    self._held.clear()
                self._version, self._looked = version, now
        except sqlite3.Error as error:
            raise _unusable(self._path, error) from error

    def _write(self, statement: str, values: tuple[object, ...]) -> int:
        try:
            with self._lock, closing(self._db.execute(statement, values)) as cursor:
                self._held.clear()
                return cursor.rowcount
        except sqlite3.Error as error:
            raise _unusable(self._path, error) from error


def key_path(home: Path) -> Path:
    """Where the keys of a home are stored."""
    return home / "api" / "keys.db"


def _principal(row: tuple[Any, ...]) -> Principal:
    roles = known_roles(json.loads(row[3]))
    return Principal(
        subject=f"key:{row[0]}",
        kind="service" if Role.SERVICE in roles else "user",
        roles=roles,
        regions=regions_of(json.loads(row[4])),
        purposes=frozenset(json.loads(row[5])),
        scopes=frozenset(json.loads(row[6])),
        key_id=row[0],
    )


def _words(names: Iterable[str]) -> str:
    return json.dumps(sorted(str(name) for name in names), ensure_ascii=False)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _maybe(seconds: float | None) -> datetime | None:
    return None if seconds is None else _time(seconds)


def _unusable(path: Path, error: Exception) -> KeyStoreError:
    return KeyStoreError(
        f"The API keys in {path} cannot be used ({error})", "give this process a folder it may write to"
    )
