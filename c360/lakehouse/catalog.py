"""The Iceberg catalog ``lake``, opened by profile: SQLite and files, PostgreSQL and S3, or any REST catalog."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pyiceberg.catalog import load_catalog
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from c360.errors import LakehouseError
from c360.lakehouse.faults import named

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

    from c360.settings import Settings

CATALOG_NAME = "lake"
"""The same in PyIceberg, Spark and Flink: a SQL catalog keeps its tables by this name."""


def catalog_properties(settings: Settings, lock_timeout_s: float) -> dict[str, str]:
    """PyIceberg's properties of the catalog. ``lock_timeout_s`` bounds the wait for another writer (SQLite)."""
    assert settings.catalog_uri is not None
    assert settings.warehouse is not None
    properties = {"uri": settings.catalog_uri, "warehouse": settings.warehouse}
    if settings.profile == "rest":
        properties["type"] = "rest"
        if settings.catalog_token is not None:
            properties["token"] = settings.catalog_token.get_secret_value()
    else:
        properties["type"] = "sql"
        properties["uri"] = _sql_uri(settings.catalog_uri, lock_timeout_s)
    if settings.s3_endpoint or settings.warehouse.startswith("s3"):
        properties["s3.access-key-id"] = settings.s3_access_key.get_secret_value()
        properties["s3.secret-access-key"] = settings.s3_secret_key.get_secret_value()
        properties["s3.region"] = settings.s3_region
        if settings.s3_endpoint:
            properties["s3.endpoint"] = settings.s3_endpoint
    return properties


def open_catalog(settings: Settings, lock_timeout_s: float) -> Catalog:
    """Open the catalog and create its tables where they are missing. Raises LakehouseError naming the mend."""
    properties = catalog_properties(settings, lock_timeout_s)
    with named("open the catalog"):
        if properties["type"] == "sql":
            _make_folder(properties["uri"])
        # Two processes may create the catalog's own tables at once; the loser finds them there on its second try.
        retrying = Retrying(
            retry=retry_if_exception(lambda e: isinstance(e, DBAPIError) and "already exists" in str(e)),
            stop=stop_after_attempt(5),
            wait=wait_random_exponential(multiplier=0.05, max=1.0),
            reraise=True,
        )
        return retrying(load_catalog, CATALOG_NAME, **properties)


def _sql_uri(uri: str, lock_timeout_s: float) -> str:
    url = make_url(uri)
    if url.get_backend_name() == "sqlite":
        if "timeout" not in url.query:
            url = url.update_query_dict({"timeout": f"{lock_timeout_s:g}"})
    elif url.get_backend_name() == "postgresql" and url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg2")
    return url.render_as_string(hide_password=False)


def _make_folder(uri: str) -> None:
    url = make_url(uri)
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return
    folder = Path(url.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LakehouseError(
            f"The catalog's folder {folder} cannot be created ({error.strerror})",
            "make its parent writable, or set C360_HOME to a writable folder",
        ) from error
