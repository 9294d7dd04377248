"""Settings of the API's security, read from the environment (prefix ``C360_API_``) where the API starts."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from c360.errors import SettingsError


class SecuritySettings(BaseSettings):
    """Who signs tokens, how fast a principal may ask, and how firmly the audit log is written.

    ``jwt_jwks`` is a file or an https address; without it no token is accepted, only API keys. ``rate`` is requests per
    second and principal in the long run, ``burst`` how many may come at once. ``audit_fsync`` says when records reach
    the disk: at every record, in the background every ``audit_fsync_s`` seconds, or when the system pleases. A record
    is with the operating system before the answer in all three; they differ only if the machine itself fails.
    """

    model_config = SettingsConfigDict(env_prefix="C360_API_", extra="ignore", frozen=True)

    jwt_jwks: str | None = None
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_leeway_s: float = Field(default=10, ge=0, le=30)
    jwt_cached: int = Field(default=10_000, ge=0)
    rate: float = Field(default=2_000, gt=0)
    burst: int = Field(default=4_000, ge=1)
    audit_fsync: Literal["none", "interval", "always"] = "interval"
    audit_fsync_s: float = Field(default=1, gt=0)

    @model_validator(mode="after")
    def _refuse_early(self) -> SecuritySettings:
        if self.jwt_jwks is None:
            return self
        if not self.jwt_issuer or not self.jwt_audience:
            raise SettingsError(
                "Tokens would be accepted from any issuer or for any audience",
                "set C360_API_JWT_ISSUER and C360_API_JWT_AUDIENCE",
            )
        scheme = urlsplit(self.jwt_jwks).scheme
        if scheme not in {"", "https"}:
            raise SettingsError(
                f"C360_API_JWT_JWKS would fetch the keys of tokens by {scheme}", "name a file or an https address"
            )
        return self
