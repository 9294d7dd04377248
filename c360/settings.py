"""The one Settings object: read from the environment (prefix ``C360_``) where a process starts, then passed in."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from c360.errors import SettingsError

DEFAULT_SECRET = "c360-local-only"  # noqa: S105 - refused outside the local profile


class Settings(BaseSettings):
    """Everything a process of the product needs to know about where it runs.

    Paths are made absolute against the working directory, because engines run as processes with folders of their own.
    """

    model_config = SettingsConfigDict(env_prefix="C360_", extra="ignore", frozen=True)

    profile: Literal["local", "server", "rest"] = "local"
    home: Path = Path(".c360")
    landing: Path | None = None
    warehouse: str | None = None
    catalog_uri: str | None = None
    catalog_token: SecretStr | None = None
    s3_endpoint: str | None = None
    s3_access_key: SecretStr = SecretStr(DEFAULT_SECRET)
    s3_secret_key: SecretStr = SecretStr(DEFAULT_SECRET)
    s3_region: str = "us-east-1"

    scale: float = Field(default=0.1, gt=0, le=1000)
    seed: int = Field(default=360, ge=0)
    start_date: date = date(2025, 1, 1)
    days: int = Field(default=365, ge=1, le=3650)

    spark_remote: str | None = None
    spark_port: int = Field(default=15002, ge=1024, le=65535)
    spark_memory: str = Field(default="3g", pattern=r"^\d+[mg]$")
    spark_cores: int = Field(default=2, ge=1)
    dagster_port: int = Field(default=3000, ge=1024, le=65535)

    jar_cache: Path = Path("~/.cache/c360/jars")
    maven_mirror: str | None = None
    java_home: Path | None = None

    @model_validator(mode="after")
    def _refuse_early(self) -> Settings:
        object.__setattr__(self, "home", self.home.expanduser().resolve())
        object.__setattr__(self, "landing", (self.landing or self.home / "landing").expanduser().resolve())
        object.__setattr__(self, "jar_cache", self.jar_cache.expanduser().resolve())
        if self.profile == "local":
            object.__setattr__(self, "warehouse", self.warehouse or f"file://{self.home / 'warehouse'}")
            object.__setattr__(self, "catalog_uri", self.catalog_uri or f"sqlite:///{self.home / 'catalog.db'}")
            return self
        if not self.catalog_uri or not self.warehouse:
            raise SettingsError(
                f"Profile '{self.profile}' has no catalog address or no warehouse",
                "set C360_CATALOG_URI and C360_WAREHOUSE",
            )
        if self.warehouse.startswith("s3") and DEFAULT_SECRET in (
            self.s3_access_key.get_secret_value(),
            self.s3_secret_key.get_secret_value(),
        ):
            raise SettingsError(
                f"Profile '{self.profile}' would use the default S3 secret",
                "set C360_S3_ACCESS_KEY and C360_S3_SECRET_KEY",
            )
        return self

    @property
    def landing_dir(self) -> Path:
        """Folder that holds the landing files, ``<system>/<entity>/<YYYY-MM-DD>/<file>``."""
        assert self.landing is not None
        return self.landing

    @property
    def dagster_home(self) -> Path:
        """Folder of the Dagster instance (runs, event log, schedules)."""
        return self.home / "dagster"

    @property
    def log_dir(self) -> Path:
        """Folder of the engines' log files."""
        return self.home / "logs"
