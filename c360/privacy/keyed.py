"""Keyed hashes of identifying values: tokens that stand for a value, and look-ups that find one.

HMAC-SHA-256, because e-mail addresses and telephone numbers can be listed and a plain hash of one tried. Every
purpose has a key of its own, derived from ``C360_API_HASH_KEY``: a token of one column says nothing about another's.
"""

from __future__ import annotations

import base64
import hmac
from functools import cache
from typing import TYPE_CHECKING, Literal

from c360.errors import SettingsError
from c360.settings import DEFAULT_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    from c360.contracts.model import Column
    from c360.settings import Settings

LookupKind = Literal["email", "phone"]
SHORTEST_KEY = 32
TOKEN_BYTES = 10  # 80 bits: among a billion customers two share a token with a chance of 1 in two million


def hash_key(settings: Settings) -> bytes:
    """The key of all keyed hashes.

    Raises SettingsError outside the local profile if it is the default one or shorter than 32 characters.
    """
    key = settings.api_hash_key.get_secret_value()
    if settings.profile != "local" and (key == DEFAULT_SECRET or len(key) < SHORTEST_KEY):
        what = "the default hash key" if key == DEFAULT_SECRET else "a hash key that is too short"
        raise SettingsError(
            f"Profile '{settings.profile}' would use {what}",
            f"set C360_API_HASH_KEY to {SHORTEST_KEY} or more random characters",
        )
    return key.encode()


def derived_key(key: bytes, purpose: str) -> bytes:
    """The key of one purpose, 32 bytes."""
    return hmac.digest(key, f"c360/{purpose}".encode(), "sha256")


class Tokens:
    """Tokens by column: the same value has the same token wherever a column of that name occurs."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.of = cache(self._of)

    def _of(self, column: str) -> Callable[[str], str]:
        """A function from a value's text to its token: ``t_`` and 16 letters and digits."""
        own = derived_key(self._key, f"token/{column}")

        def token(text: str) -> str:
            digest = hmac.digest(own, text.encode(), "sha256")
            return "t_" + base64.b32encode(digest[:TOKEN_BYTES]).decode().lower()

        return token


def lookup_hash(kind: LookupKind, value: str, key: bytes) -> str:
    """What a look-up by this e-mail address or telephone number is stored under: 32 hexadecimal digits.

    ``value`` is in the form that silver and gold hold it; what a caller typed goes through :func:`normalise` first.
    """
    return lookup_hasher(kind, key)(value)


def lookup_hasher(kind: LookupKind, key: bytes) -> Callable[[str], str]:
    """:func:`lookup_hash` for many values of one kind."""
    own = derived_key(key, f"lookup/{kind}")
    return lambda value: hmac.digest(own, value.encode(), "sha256")[:16].hex()


def normalise(kind: LookupKind, text: str) -> str | None:
    """An e-mail address or telephone number as silver would hold it, None for white space alone.

    The transforms are those of the contract, so a look-up finds whatever ingestion has stored.
    """
    import polars as pl

    from c360.conform.standardise import standardise

    found: str | None = standardise(pl.Series([text], dtype=pl.String), _contact(kind))[0]
    return found


@cache
def _contact(kind: LookupKind) -> Column:
    from c360.contracts.loader import get_contract

    return get_contract("silver.customers").column(kind)
