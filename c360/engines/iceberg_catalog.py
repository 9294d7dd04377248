"""The catalog ``lake`` as Iceberg's Java library names its properties: one answer for Spark and for Flink."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from c360.errors import EngineError

if TYPE_CHECKING:
    from c360.settings import Settings

BUSY_TIMEOUT_MS = 60_000  # with none, more than half of the commits under contention fail as "database is locked"


def catalog_properties(settings: Settings) -> dict[str, str]:
    """Properties of the catalog for the profile, without the engine's own prefix or type; holds secrets.

    Raises:
        EngineError: the catalog address is of a kind that has no driver here.
    """
    properties = {"cache-enabled": "false", "warehouse": settings.warehouse or ""}
    if settings.profile == "rest":
        properties["uri"] = settings.catalog_uri or ""
        if settings.catalog_token is not None:
            properties["token"] = settings.catalog_token.get_secret_value()
    else:
        properties |= {"catalog-impl": "org.apache.iceberg.jdbc.JdbcCatalog", "jdbc.schema-version": "V1"}
        properties |= _jdbc(settings.catalog_uri or "")
    if on_s3(settings):
        properties |= {
            "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            "client.region": settings.s3_region,
            "s3.access-key-id": settings.s3_access_key.get_secret_value(),
            "s3.secret-access-key": settings.s3_secret_key.get_secret_value(),
        }
        if settings.s3_endpoint:
            properties |= {"s3.endpoint": settings.s3_endpoint, "s3.path-style-access": "true"}
    return properties


def on_s3(settings: Settings) -> bool:
    """Whether the warehouse is an object store."""
    return (settings.warehouse or "").startswith(("s3://", "s3a://"))


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
        return {"uri": f"jdbc:sqlite:{url.database}?busy_timeout={BUSY_TIMEOUT_MS}"}
    if kind == "postgresql" and url.host and url.database:
        port = f":{url.port}" if url.port else ""
        query = urlencode(dict(url.query), doseq=True)
        properties = {"uri": f"jdbc:postgresql://{url.host}{port}/{quote(url.database)}{'?' + query if query else ''}"}
        if url.username:
            properties["jdbc.user"] = url.username
        if url.password:
            properties["jdbc.password"] = str(url.password)
        return properties
    raise EngineError(
        f"The engines have no driver for a catalog of kind '{kind}'",
        "use sqlite:////path, postgresql://host/database, or C360_PROFILE=rest",
    )
