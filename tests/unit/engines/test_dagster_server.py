"""Dagster's instance folder and the environment that its processes get."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from c360.engines.dagster_server import MANAGED, dagster_specs, prepare_home, settings_env
from c360.errors import EngineError
from c360.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def test_settings_survive_the_way_through_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        home=tmp_path / "a home",
        profile="rest",
        catalog_uri="https://catalog.example",
        warehouse="s3://b/w",
        s3_secret_key=SecretStr("secret-1"),
        s3_access_key=SecretStr("access-1"),
        catalog_token=SecretStr("token-1"),
        scale=2.5,
        spark_port=20_000,
    )
    for name, value in settings_env(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir("/")
    assert Settings() == settings


def test_instance_is_written_once_and_a_users_own_is_kept(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    path = prepare_home(settings) / "dagster.yaml"
    first = path.read_text()
    path.write_text(first.replace("max_concurrent_runs: 2", "max_concurrent_runs: 99"))
    prepare_home(settings)
    assert path.read_text() == first
    own = first.removeprefix(MANAGED).replace("max_concurrent_runs: 2", "max_concurrent_runs: 5")
    path.write_text(own)
    prepare_home(settings)
    assert path.read_text() == own


def test_instance_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "dagster").write_text("a file where the folder should be")
    with pytest.raises(EngineError, match="C360_HOME"):
        prepare_home(Settings(home=tmp_path))


def test_web_server_listens_on_loopback_only(tmp_path: Path) -> None:
    webserver, daemon = dagster_specs(Settings(home=tmp_path, dagster_port=20_001))
    assert webserver.command[webserver.command.index("--host") + 1] == "127.0.0.1"
    assert (webserver.port, webserver.port_setting) == (20_001, "C360_DAGSTER_PORT")
    assert daemon.port is None
    assert webserver.env["DAGSTER_HOME"] == str(tmp_path / "dagster")
