"""Spark's configuration from the settings: the catalog ``lake`` by profile, and every folder inside the home."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from c360.engines.ports import LOOPBACK
from c360.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from c360.settings import Settings

CATALOG = "spark.sql.catalog.lake"
BUSY_TIMEOUT_MS = 60_000  # with none, more than half of the commits under contention fail as "database is locked"


def work_dir(settings: Settings) -> Path:
    """Folder for everything Spark leaves behind."""
    return settings.home / "spark"


def jar_groups(settings: Settings) -> list[str]:
    """Groups of ``jars.toml`` that Spark needs for this profile."""
    groups = ["spark"]
    if (settings.catalog_uri or "").startswith("postgresql"):
        groups.append("postgresql")
    if _on_s3(settings) or settings.profile == "rest":
        groups.append("s3")
    return groups


def spark_conf(settings: Settings) -> dict[str, str]:
    """All configuration of the Spark Connect server; holds secrets, so it belongs into a file, not a command line.

    Raises:
        EngineError: the catalog address is of a kind that Spark cannot use.
    """
    work, cores = work_dir(settings), str(settings.spark_cores)
    return {
        "spark.app.name": "c360",
        "spark.master": f"local[{cores}]",
        "spark.driver.memory": settings.spark_memory,
        "spark.driver.host": LOOPBACK,
        "spark.driver.bindAddress": LOOPBACK,
        "spark.connect.grpc.binding.address": LOOPBACK,
        "spark.connect.grpc.binding.port": str(settings.spark_port),
        "spark.ui.enabled": "false",
        "spark.sql.warehouse.dir": (work / "warehouse").as_uri(),
        "spark.sql.catalogImplementation": "in-memory",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.shuffle.partitions": cores,
        "spark.default.parallelism": cores,
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        **_catalog(settings),
    }


def _catalog(settings: Settings) -> dict[str, str]:
    warehouse = settings.warehouse or ""
    conf = {"": "org.apache.iceberg.spark.SparkCatalog", ".cache-enabled": "false", ".warehouse": warehouse}
    if settings.profile == "rest":
        conf |= {".type": "rest", ".uri": settings.catalog_uri or ""}
        if settings.catalog_token is not None:
            conf[".token"] = settings.catalog_token.get_secret_value()
    else:
        conf |= {".catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog", ".jdbc.schema-version": "V1"}
        conf |= _jdbc(settings.catalog_uri or "")
    if _on_s3(settings):
        conf |= {
            ".io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            ".client.region": settings.s3_region,
            ".s3.access-key-id": settings.s3_access_key.get_secret_value(),
            ".s3.secret-access-key": settings.s3_secret_key.get_secret_value(),
        }
        if settings.s3_endpoint:
            conf |= {".s3.endpoint": settings.s3_endpoint, ".s3.path-style-access": "true"}
    return {f"{CATALOG}{key}": value for key, value in conf.items()}


def _jdbc(uri: str) -> dict[str, str]:
    """The same catalog database as PyIceberg's SQLAlchemy address, as JDBC says it."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
    except ArgumentError as error:
        raise EngineError("The catalog address cannot be read", "correct C360_CATALOG_URI") from error
    kind = url.get_backend_name()
    if kind == "sqlite" and url.database:
        return {".uri": f"jdbc:sqlite:{url.database}?busy_timeout={BUSY_TIMEOUT_MS}"}
    if kind == "postgresql" and url.host and url.database:
        port = f":{url.port}" if url.port else ""
        query = urlencode(dict(url.query), doseq=True)
        conf = {".uri": f"jdbc:postgresql://{url.host}{port}/{quote(url.database)}{'?' + query if query else ''}"}
        if url.username:
            conf[".jdbc.user"] = url.username
        if url.password:
            conf[".jdbc.password"] = str(url.password)
        return conf
    raise EngineError(
        f"Spark has no driver for a catalog of kind '{kind}'",
        "use sqlite:////path, postgresql://host/database, or C360_PROFILE=rest",
    )


def _on_s3(settings: Settings) -> bool:
    return (settings.warehouse or "").startswith(("s3://", "s3a://"))


def properties_text(conf: dict[str, str]) -> str:
    """Java properties file with the configuration, one ``key=value`` per line."""
    return "".join(f"{key}={_escape(value)}\n" for key, value in sorted(conf.items()))


def _escape(value: str) -> str:
    text = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return f"\\{text}" if text.startswith(" ") else text
