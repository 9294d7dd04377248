"""The public keys that tokens may be signed with: a JWKS document from a file or an https address, by key id."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jwt import PyJWK, PyJWTError

from api.security.errors import TokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FRESH_S = 300.0
"""How long keys are used before they are fetched again: the longest a withdrawn key lives."""
RETRY_S = 10.0
"""Shortest time between two fetches, whether for an unknown key id or after a failure."""
STALE_S = 3600.0
"""How long keys outlive their source; after that, no token is accepted until it answers."""
TIMEOUT_S = 2.0
LARGEST = 1_000_000
_KINDS = {"RSA": "RS256", "OKP": "EdDSA"}
_SHORTEST_RSA = 2048


@dataclass(frozen=True)
class _State:
    """Keys that were valid together; ``generation`` counts the times that they changed."""

    generation: int
    published: Mapping[str, Mapping[str, str]]
    keys: Mapping[str, PyJWK]


class KeySet:
    """Keys by id; safe to use from several threads. ``fetch`` and ``clock`` (seconds) are for tests."""

    def __init__(
        self,
        source: str,
        fetch: Callable[[str], bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._fetch = fetch or _read
        self._clock = clock
        self._lock = threading.Lock()
        self._state = _State(0, {}, {})
        self._tried = self._fetched = float("-inf")

    @property
    def generation(self) -> int:
        """Changes whenever the keys do: what was verified before holds no longer."""
        return self._state.generation

    @property
    def fresh(self) -> bool:
        """Whether the keys can be used without asking the source first; costs no more than looking at the clock."""
        now = self._clock()
        return now - self._fetched < FRESH_S or (now - self._tried < RETRY_S and now - self._fetched < STALE_S)

    def key(self, key_id: str) -> tuple[PyJWK, int]:
        """The key of that id, and its generation; asks the source if it is not known, at most once in ten seconds.

        Raises TokenError with ``unknown_key`` or ``keys_unavailable``.
        """
        state = self._state
        if not self.fresh or key_id not in state.keys:
            with self._lock:
                if not self.fresh or key_id not in self._state.keys:
                    self._refresh()
                state = self._state
            if self._clock() - self._fetched >= STALE_S:
                raise TokenError("keys_unavailable")
        if key_id not in state.keys:
            raise TokenError("unknown_key")
        return state.keys[key_id], state.generation

    def _refresh(self) -> None:
        now = self._clock()
        if now - self._tried < RETRY_S:
            return
        self._tried = now
        try:
            found = _parse(self._fetch(self._source))
        except Exception:  # noqa: BLE001 - whatever fails at the source, the last keys hold until they are stale
            return
        if found != self._state.published:
            keys = {key_id: PyJWK(public) for key_id, public in found.items()}
            self._state = _State(self._state.generation + 1, found, keys)
        self._fetched = now


def _parse(document: bytes) -> Mapping[str, dict[str, str]]:
    """The usable keys of a JWKS: RSA of 2048 bits or more for RS256, Ed25519 for EdDSA, each with an id of its own."""
    found: dict[str, dict[str, str]] = {}
    listed: list[dict[str, Any]] = json.loads(document)["keys"]
    for entry in listed:
        kind, key_id = _KINDS.get(str(entry.get("kty"))), entry.get("kid")
        if kind is None or not isinstance(key_id, str) or entry.get("use", "sig") != "sig":
            continue
        if entry.get("alg", kind) != kind or (kind == "EdDSA" and entry.get("crv") != "Ed25519"):
            continue
        public = {name: str(entry[name]) for name in ("kty", "n", "e", "crv", "x") if name in entry} | {"alg": kind}
        with suppress(PyJWTError):
            if kind == "EdDSA" or PyJWK(public).key.key_size >= _SHORTEST_RSA:
                found[key_id] = public
    return found


def _read(source: str) -> bytes:
    if not source.startswith("https://"):
        return Path(source).read_bytes()
    import httpx

    end = time.monotonic() + TIMEOUT_S
    with httpx.stream("GET", source, timeout=TIMEOUT_S, follow_redirects=False) as answer:
        answer.raise_for_status()
        body = b""
        for part in answer.iter_bytes():
            body += part
            if len(body) > LARGEST or time.monotonic() > end:
                raise ValueError("the key document is too large or too slow")
        return body
