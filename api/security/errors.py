"""Refusals of the API's security; none repeats anything of the credential it refuses."""

from __future__ import annotations

from c360.errors import C360Error


class CredentialError(C360Error):
    """The credential proves nobody. ``reason`` is a fixed code that is safe to return."""

    def __init__(self, reason: str, mend: str) -> None:
        super().__init__(f"The credential was refused ({reason})", mend)
        self.reason = reason


class TokenError(CredentialError):
    """A JSON Web Token was refused."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "send a valid, current token of the configured issuer")


class ApiKeyError(CredentialError):
    """An API key was refused."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, "send a key that `c360 api keys list` shows as active")


class KeyStoreError(C360Error):
    """The store of API keys cannot be read or written, or has no such key."""


class PolicyError(C360Error):
    """The policy cannot be read or evaluated."""


class AuditError(C360Error):
    """The audit log cannot be written or read; what it should have recorded must not be answered."""
