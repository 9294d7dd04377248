"""The one Settings object: read from the environment (prefix ``C360_``) where a process starts, then passed in."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from c360.errors import SettingsError

LOOPBACK = "127.0.0.1"
DEFAULT_SECRET = "c360-local-only"  # noqa: S105 - refused outside the local profile
ALERT_SINKS = ("log", "file", "webhook", "smtp")


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
    event_keys: SecretStr | None = None
    api_hash_key: SecretStr = SecretStr(DEFAULT_SECRET)

    scale: float = Field(default=0.1, gt=0, le=1000)
    seed: int = Field(default=360, ge=0)
    start_date: date = date(2025, 1, 1)
    days: int = Field(default=365, ge=1, le=3650)

    spark_remote: str | None = None
    spark_port: int = Field(default=15002, ge=1024, le=65535)
    spark_memory: str = Field(default="3g", pattern=r"^\d+[mg]$")
    spark_cores: int = Field(default=2, ge=1)
    dagster_port: int = Field(default=3000, ge=1024, le=65535)
    api_port: int = Field(default=8000, ge=1024, le=65535)
    dagster_url: str | None = Field(default=None, pattern=r"^https?://\S+$")

    alert_sinks: str = "log,file"
    alert_webhook_url: SecretStr | None = None
    alert_smtp_host: str | None = None
    alert_smtp_port: int = Field(default=587, ge=1, le=65535)
    alert_smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    alert_smtp_from: str | None = None
    alert_smtp_to: str | None = None
    alert_smtp_user: str | None = None
    alert_smtp_password: SecretStr | None = None

    kafka_bootstrap: str | None = None
    kafka_port: int = Field(default=9092, ge=1024, le=65535)
    kafka_controller_port: int = Field(default=9093, ge=1024, le=65535)
    kafka_memory: str = Field(default="512m", pattern=r"^\d+[mg]$")
    postgres_port: int = Field(default=5432, ge=1024, le=65535)
    connect_url: str | None = None
    connect_port: int = Field(default=8082, ge=1024, le=65535)
    connect_memory: str = Field(default="384m", pattern=r"^\d+[mg]$")
    registry_url: str | None = None
    registry_port: int = Field(default=8080, ge=1024, le=65535)
    registry_admin_port: int = Field(default=9000, ge=1024, le=65535)
    flink_url: str | None = None
    flink_gateway_url: str | None = None
    flink_port: int = Field(default=8081, ge=1024, le=65535)
    flink_gateway_port: int = Field(default=8083, ge=1024, le=65535)
    flink_rpc_port: int = Field(default=6123, ge=1024, le=65535)
    flink_memory_mb: int = Field(default=3072, ge=1280)
    flink_slots: int = Field(default=12, ge=1, le=64)
    flink_reporter_ports: str | None = Field(default=None, pattern=r"^\d+(-\d+)?$")
    metrics_port: int = Field(default=9464, ge=1024, le=65535)
    live_port: int = Field(default=9465, ge=1024, le=65535)
    live_lookback_hours: float = Field(default=24, gt=0, le=24 * 30)

    dynamodb_endpoint: str | None = Field(default=None, pattern=r"^https?://\S+$")
    dynamodb_region: str | None = Field(default=None, pattern=r"^[a-z0-9-]+$")
    dynamodb_port: int = Field(default=8084, ge=1024, le=65535)
    dynamodb_memory: str = Field(default="256m", pattern=r"^\d+[mg]$")
    feature_prefix: str = Field(default="", pattern=r"^[A-Za-z0-9_.-]{0,100}$")
    sink_port: int = Field(default=9466, ge=1024, le=65535)

    jar_cache: Path = Path("~/.cache/c360/jars")
    maven_mirror: str | None = None
    java_home: Path | None = None

    @model_validator(mode="after")
    def _refuse_early(self) -> Settings:
        self._refuse_shared_ports()
        self._refuse_alerts_without_address()
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

    def _refuse_shared_ports(self) -> None:
        taken: dict[int, str] = {}
        for name in (name for name in type(self).model_fields if name.endswith("_port") and name != "alert_smtp_port"):
            port = getattr(self, name)
            if port in taken:
                raise SettingsError(
                    f"C360_{name.upper()} and C360_{taken[port].upper()} are both {port}",
                    f"give C360_{name.upper()} another port",
                )
            taken[port] = name

    def _refuse_alerts_without_address(self) -> None:
        if unknown := sorted(set(self.alert_sink_names) - set(ALERT_SINKS)):
            raise SettingsError(
                f"C360_ALERT_SINKS names {', '.join(unknown)}, which is no sink",
                f"choose from {', '.join(ALERT_SINKS)}",
            )
        if "webhook" in self.alert_sink_names:
            # The address is itself the secret of a webhook: it is not repeated here.
            address = self.alert_webhook_url.get_secret_value() if self.alert_webhook_url else ""
            if not re.match(r"https?://[^\s/]+", address):
                raise SettingsError(
                    "The alert sink 'webhook' has no address that begins with http:// or https://",
                    "set C360_ALERT_WEBHOOK_URL or take webhook out of C360_ALERT_SINKS",
                )
        if "smtp" in self.alert_sink_names:
            missing = [name for name in ("host", "from", "to") if not getattr(self, f"alert_smtp_{name}")]
            if missing:
                raise SettingsError(
                    "The alert sink 'smtp' does not know where to send",
                    f"set {' and '.join(f'C360_ALERT_SMTP_{name.upper()}' for name in missing)}"
                    " or take smtp out of C360_ALERT_SINKS",
                )
            if bool(self.alert_smtp_user) != bool(self.alert_smtp_password):
                raise SettingsError(
                    "The alert sink 'smtp' has a user without a password, or a password without a user",
                    "set both C360_ALERT_SMTP_USER and C360_ALERT_SMTP_PASSWORD, or neither",
                )
            if self.alert_smtp_user and self.alert_smtp_tls == "none":
                raise SettingsError(
                    "The alert sink 'smtp' would send its password unencrypted",
                    "set C360_ALERT_SMTP_TLS to starttls or tls",
                )

    @property
    def alert_sink_names(self) -> tuple[str, ...]:
        """The sinks that alerts go to, each once, in the order of ``C360_ALERT_SINKS``; empty if there are none."""
        return tuple(dict.fromkeys(name.strip() for name in self.alert_sinks.split(",") if name.strip()))

    @property
    def dagster_address(self) -> str:
        """Base address of the Dagster UI as its readers reach it, without a slash at the end."""
        return (self.dagster_url or f"http://{LOOPBACK}:{self.dagster_port}").rstrip("/")

    @property
    def kafka_servers(self) -> str:
        """Bootstrap servers for Kafka clients: ``C360_KAFKA_BOOTSTRAP``, else the broker of this machine."""
        return self.kafka_bootstrap or f"{LOOPBACK}:{self.kafka_port}"

    @property
    def connect_address(self) -> str:
        """Base address of Kafka Connect's REST API."""
        return self.connect_url or f"http://{LOOPBACK}:{self.connect_port}"

    @property
    def registry_address(self) -> str:
        """Base address of the schema registry's Confluent-compatible API."""
        return self.registry_url or f"http://{LOOPBACK}:{self.registry_port}/apis/ccompat/v7"

    @property
    def flink_address(self) -> str:
        """Address of Flink's REST API and web UI."""
        return self.flink_url or f"http://{LOOPBACK}:{self.flink_port}"

    @property
    def flink_gateway_address(self) -> str:
        """Address of Flink's SQL Gateway."""
        return self.flink_gateway_url or f"http://{LOOPBACK}:{self.flink_gateway_port}"

    @property
    def dynamodb_address(self) -> str:
        """Address of DynamoDB; with only ``C360_DYNAMODB_REGION`` set it is Amazon's, and empty here."""
        if self.dynamodb_endpoint or self.dynamodb_region:
            return self.dynamodb_endpoint or ""
        return f"http://{LOOPBACK}:{self.dynamodb_port}"

    @property
    def checkpoint_dir(self) -> Path:
        """Folder of the local Flink's checkpoints, one folder per job id."""
        return self.home / "flink" / "checkpoints"

    @property
    def savepoint_dir(self) -> Path:
        """Folder of the local Flink's savepoints."""
        return self.home / "flink" / "savepoints"

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
    def serving_dir(self) -> Path:
        """Folder of the indexes that the API serves from."""
        return self.home / "serving"

    @property
    def live_dir(self) -> Path:
        """Folder of what the streams say of each customer this moment."""
        return self.home / "live"

    @property
    def log_dir(self) -> Path:
        """Folder of the engines' log files."""
        return self.home / "logs"
