"""Spark's configuration from the settings: the catalog ``lake`` by profile, and every folder inside the home."""

from __future__ import annotations

from typing import TYPE_CHECKING

from c360.engines.iceberg_catalog import catalog_properties, on_s3
from c360.engines.ports import LOOPBACK

if TYPE_CHECKING:
    from pathlib import Path

    from c360.settings import Settings

CATALOG = "spark.sql.catalog.lake"


def work_dir(settings: Settings) -> Path:
    """Folder for everything Spark leaves behind."""
    return settings.home / "spark"


def jar_groups(settings: Settings) -> list[str]:
    """Groups of ``jars.toml`` that Spark needs for this profile."""
    groups = ["spark"]
    if (settings.catalog_uri or "").startswith("postgresql"):
        groups.append("postgresql")
    if on_s3(settings) or settings.profile == "rest":
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
    conf = {f"{CATALOG}.{key}": value for key, value in catalog_properties(settings).items()}
    conf[CATALOG] = "org.apache.iceberg.spark.SparkCatalog"
    if settings.profile == "rest":
        conf[f"{CATALOG}.type"] = "rest"
    return conf


def properties_text(conf: dict[str, str]) -> str:
    """Java properties file with the configuration, one ``key=value`` per line."""
    return "".join(f"{key}={_escape(value)}\n" for key, value in sorted(conf.items()))


def _escape(value: str) -> str:
    text = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    return f"\\{text}" if text.startswith(" ") else text
