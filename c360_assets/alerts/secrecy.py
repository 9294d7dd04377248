"""Secrets of the settings, kept out of every text that leaves or is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

if TYPE_CHECKING:
    from collections.abc import Callable

    from c360.settings import Settings

HIDDEN = "***"
SHORTEST = 6
"""A shorter secret would also be found where it does not stand for itself."""


def hider(settings: Settings) -> Callable[[str], str]:
    """A function that replaces each secret of the settings in a text: an error message may quote one."""
    values = [getattr(settings, name) for name in type(settings).model_fields]
    secrets = [value.get_secret_value() for value in values if isinstance(value, SecretStr)]
    secrets = sorted((secret for secret in secrets if len(secret) >= SHORTEST), key=len, reverse=True)

    def hide(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, HIDDEN)
        return text

    return hide
