"""Spark's configuration by profile, and what never appears on a command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from c360.engines.spark import SparkConnectServer, connect
from c360.engines.spark_conf import CATALOG, jar_groups, properties_text, spark_conf
from c360.errors import EngineError
from c360.settings import Settings
from tests.conftest import free_port

if TYPE_CHECKING:
    from pathlib import Path


def server_settings(tmp_path: Path, **changes: object) -> Settings:
    fields: dict[str, object] = {
        "home": tmp_path,
        "profile": "server",
        "catalog_uri": "postgresql+psycopg2://app:p%40ss@db.example:5433/lake",
        "warehouse": "s3://bucket/warehouse",
        "s3_endpoint": "http://127.0.0.1:9000",
        "s3_access_key": "access-1",
        "s3_secret_key": "secret-1",
        **changes,
    }
    return Settings(**fields)  # type: ignore[arg-type]


def test_local_profile_shares_the_sqlite_catalog(tmp_path: Path) -> None:
    conf = spark_conf(Settings(home=tmp_path, spark_cores=3))
    assert conf[f"{CATALOG}.uri"] == f"jdbc:sqlite:{tmp_path}/catalog.db?busy_timeout=60000"
    assert conf[f"{CATALOG}.warehouse"] == f"file://{tmp_path}/warehouse"
    assert conf[f"{CATALOG}.catalog-impl"].endswith("JdbcCatalog")
    assert conf[f"{CATALOG}.cache-enabled"] == "false"
    assert (conf["spark.master"], conf["spark.sql.shuffle.partitions"]) == ("local[3]", "3")
    assert conf["spark.connect.grpc.binding.address"] == "127.0.0.1"
    assert jar_groups(Settings(home=tmp_path)) == ["spark"]


def test_server_profile_speaks_postgresql_and_s3(tmp_path: Path) -> None:
    settings = server_settings(tmp_path)
    conf = spark_conf(settings)
    assert conf[f"{CATALOG}.uri"] == "jdbc:postgresql://db.example:5433/lake"
    assert (conf[f"{CATALOG}.jdbc.user"], conf[f"{CATALOG}.jdbc.password"]) == ("app", "p@ss")
    assert conf[f"{CATALOG}.s3.endpoint"] == "http://127.0.0.1:9000"
    assert conf[f"{CATALOG}.s3.secret-access-key"] == "secret-1"
    assert jar_groups(settings) == ["spark", "postgresql", "s3"]


def test_postgresql_options_are_kept(tmp_path: Path) -> None:
    settings = server_settings(tmp_path, catalog_uri="postgresql://db/lake?sslmode=require")
    assert spark_conf(settings)[f"{CATALOG}.uri"] == "jdbc:postgresql://db/lake?sslmode=require"


def test_rest_profile(tmp_path: Path) -> None:
    settings = Settings(
        home=tmp_path,
        profile="rest",
        catalog_uri="https://catalog.example/v1",
        warehouse="prod",
        catalog_token=SecretStr("t"),
    )
    conf = spark_conf(settings)
    assert (conf[f"{CATALOG}.type"], conf[f"{CATALOG}.token"]) == ("rest", "t")
    assert f"{CATALOG}.io-impl" not in conf  # the catalog says which storage it vends
    assert jar_groups(settings) == ["spark", "s3"]


@pytest.mark.parametrize("uri", ["mysql://db/lake", "not an address", "sqlite://"])
def test_catalog_that_spark_cannot_use(tmp_path: Path, uri: str) -> None:
    with pytest.raises(EngineError, match=r"C360_CATALOG_URI|C360_PROFILE"):
        spark_conf(server_settings(tmp_path, catalog_uri=uri))


def test_secrets_are_not_on_the_command_line(tmp_path: Path) -> None:
    spec = SparkConnectServer(server_settings(tmp_path)).spec()
    words = " ".join([*spec.command, *(value or "" for value in spec.env.values())])
    assert "secret-1" not in words
    assert "p@ss" not in words


def test_properties_escape_what_java_would_swallow() -> None:
    assert properties_text({"a": " lead", "b": "C:\\x", "c": "two\nlines"}) == "a=\\ lead\nb=C:\\\\x\nc=two\\nlines\n"


def test_another_spark_is_not_started_here(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="C360_SPARK_REMOTE"):
        SparkConnectServer(Settings(home=tmp_path, spark_remote="sc://elsewhere:15002")).spec()


def test_cache_folder_that_a_class_path_cannot_hold(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="C360_JAR_CACHE"):
        SparkConnectServer(Settings(home=tmp_path, jar_cache=tmp_path / "a:b")).spec()


def test_no_server_is_said_within_seconds(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"nothing listens there.*c360 up spark"):
        connect(Settings(home=tmp_path, spark_port=free_port()))


def test_remote_that_is_no_address(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="C360_SPARK_REMOTE"):
        connect(Settings(home=tmp_path, spark_remote="http://127.0.0.1:1"))
