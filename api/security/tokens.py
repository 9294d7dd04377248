"""JSON Web Tokens, verified by PyJWT: RS256 and EdDSA with keys from the configured JWKS, and nothing else.

PyJWT is small, maintained and builds on the ``cryptography`` package, which the events need anyway. Its headers are
only read for the algorithm and the key id: a key or an address in a token (``jwk``, ``jku``, ``x5u``) is never used.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt

from api.security.errors import TokenError
from api.security.jwks import KeySet
from api.security.principal import Principal, Role, known_roles, regions_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.security.settings import SecuritySettings

ALGORITHMS = ("RS256", "EdDSA")
REQUIRED = ("exp", "iat", "iss", "aud", "sub")
LONGEST = 8_192
_TYPES = {"jwt", "at+jwt", "application/at+jwt"}

_REASONS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ExpiredSignatureError, "expired"),
    (jwt.ImmatureSignatureError, "not_yet_valid"),
    (jwt.InvalidIssuedAtError, "not_yet_valid"),
    (jwt.InvalidAudienceError, "wrong_audience"),
    (jwt.InvalidIssuerError, "wrong_issuer"),
    (jwt.MissingRequiredClaimError, "claim_missing"),
    (jwt.InvalidSignatureError, "bad_signature"),
    (jwt.InvalidAlgorithmError, "bad_algorithm"),
    (jwt.PyJWTError, "malformed"),
)


@dataclass(frozen=True)
class _Known:
    principal: Principal
    until: float
    generation: int


class TokenVerifier:
    """Verifies tokens and remembers those that were valid, by their SHA-256, until they expire.

    ``known`` never blocks and answers for remembered tokens; ``verify`` may fetch keys and belongs in a thread. Used
    from several threads at once, both stay right. ``clock`` gives the seconds since 1970.
    """

    def __init__(
        self, settings: SecuritySettings, keys: KeySet | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        assert settings.jwt_jwks is not None, "tokens need C360_API_JWT_JWKS"
        self._settings = settings
        self._keys = keys or KeySet(settings.jwt_jwks)
        self._clock = clock
        self._seen: OrderedDict[bytes, _Known] = OrderedDict()

    def known(self, token: str) -> Principal | None:
        """The bearer of a token that was verified before and still holds; None means: ask :meth:`verify`."""
        if not token.isascii():
            return None
        digest = hashlib.sha256(token.encode()).digest()
        found = self._seen.get(digest)
        if found is None or found.generation != self._keys.generation:
            return None
        with suppress(KeyError):  # another thread may have let go of it
            self._seen.move_to_end(digest)
        return found.principal if self._clock() < found.until and self._keys.fresh else None

    def verify(self, token: str) -> Principal:
        """The bearer of a token.

        Raises TokenError; its ``reason`` is one of ``malformed``, ``bad_algorithm``, ``unknown_key``,
        ``keys_unavailable``, ``bad_signature``, ``expired``, ``not_yet_valid``, ``wrong_audience``, ``wrong_issuer``
        and ``claim_missing``.
        """
        known = self.known(token)
        if known is not None:
            return known
        key_id, algorithm = _header(token)
        key, generation = self._keys.key(key_id)
        if key.algorithm_name != algorithm:
            raise TokenError("bad_algorithm")
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=self._settings.jwt_audience,
                issuer=self._settings.jwt_issuer,
                leeway=self._settings.jwt_leeway_s,
                options={"require": list(REQUIRED)},
            )
        except jwt.PyJWTError as error:
            raise TokenError(next(reason for kind, reason in _REASONS if isinstance(error, kind))) from None
        principal = _principal(claims, key_id)
        self._remember(token, _Known(principal, float(claims["exp"]), generation))
        return principal

    def _remember(self, token: str, known: _Known) -> None:
        self._seen[hashlib.sha256(token.encode()).digest()] = known
        while len(self._seen) > self._settings.jwt_cached:
            with suppress(KeyError):
                self._seen.popitem(last=False)


def _header(token: str) -> tuple[str, str]:
    """(key id, algorithm) of a token that may be looked at further."""
    if len(token) > LONGEST or not token.isascii():
        raise TokenError("malformed")
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise TokenError("malformed") from None
    algorithm, key_id, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if algorithm not in ALGORITHMS:
        raise TokenError("bad_algorithm")
    if not isinstance(key_id, str) or not key_id:
        raise TokenError("unknown_key")
    if "crit" in header or not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise TokenError("malformed")
    return key_id, algorithm


def _principal(claims: dict[str, Any], key_id: str) -> Principal:
    """What the claims ``sub roles regions purposes scope`` say; a claim that is absent grants nothing."""
    roles = known_roles(_names(claims, "roles"))
    subject = claims["sub"]
    if not subject:
        raise TokenError("claim_missing")
    return Principal(
        subject=subject,
        kind="service" if Role.SERVICE in roles else "user",
        roles=roles,
        regions=regions_of(_names(claims, "regions")),
        purposes=frozenset(_names(claims, "purposes")),
        scopes=frozenset(_names(claims, "scope")),
        key_id=key_id,
    )


def _names(claims: dict[str, Any], name: str) -> list[str]:
    """A claim as a list of names: a JSON array of texts, or a text of words; anything else is malformed."""
    value = claims.get(name, [])
    names = value.split() if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
        raise TokenError("malformed")
    return names
