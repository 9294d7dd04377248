"""PostgreSQL and Connect before they start: configuration, refusals, passwords, and which engines belong together."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from c360.engines import unprivileged
from c360.engines.connect import ConnectWorker
from c360.engines.postgres import OPTIONS, PostgresServer, connect, password, secrets_file
from c360.engines.stack import Stack, members
from c360.errors import EngineError
from c360.settings import Settings
from tests.conftest import free_port
from tests.unit.engines.engine_specs import SERVE, spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    unprivileged.drop.cache_clear()
    yield
    unprivileged.drop.cache_clear()


def test_group_stands_for_its_members_once() -> None:
    assert members(["cdc"]) == ("kafka", "postgres", "connect")
    assert members(["kafka", "cdc", "spark", "cdc"]) == ("kafka", "postgres", "connect", "spark")


def test_group_starts_and_ends_as_one(settings: Settings) -> None:
    ports = {name: free_port() for name in ("kafka", "postgres", "connect")}
    engines = {name: lambda s, name=name: (spec(s, name, SERVE, str(ports[name]), port=ports[name]),) for name in ports}
    stack = Stack(settings, engines)  # type: ignore[arg-type]
    assert {engine.name for engine in stack.up("cdc")} == set(ports)
    with pytest.raises(EngineError, match="Already running"):
        stack.up("cdc")
    assert set(stack.down("cdc")) == set(ports)
    with pytest.raises(EngineError, match=r"no engine 'shop'.*connect, cdc"):
        stack.up("shop")


def test_database_stays_on_this_machine_and_can_be_captured(settings: Settings) -> None:
    assert OPTIONS["listen_addresses"] == "127.0.0.1"
    assert OPTIONS["unix_socket_directories"] == ""
    assert OPTIONS["wal_level"] == "logical"
    command = PostgresServer(settings).spec().command
    assert "fsync=off" not in command
    assert str(settings.home / "postgres" / "data") in command


def test_passwords_are_made_once_and_for_this_user_only(settings: Settings) -> None:
    with pytest.raises(EngineError, match="c360 up postgres"):
        connect(settings)
    secrets_file(settings).parent.mkdir(parents=True)
    first = password(settings, "c360")
    other = password(settings, "cdc")
    assert first != other
    assert min(len(first), len(other)) >= 32
    assert (password(settings, "c360"), password(settings, "cdc")) == (first, other)
    assert stat.S_IMODE(secrets_file(settings).stat().st_mode) == 0o600
    assert [path.name for path in secrets_file(settings).parent.iterdir()] == ["passwords.properties"]


def test_folder_that_is_no_cluster_is_refused(settings: Settings) -> None:
    folder = settings.home / "postgres" / "data"
    folder.mkdir(parents=True)
    (folder / "base").mkdir()
    with pytest.raises(EngineError, match=r"no PG_VERSION.*move it away"):
        PostgresServer(settings).spec().prepare()


def test_root_without_a_way_to_drop_its_rights_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(EngineError, match="as another user"):
        unprivileged.drop()


def test_root_becomes_nobody_where_namespaces_are_forbidden(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for tool, code in (("unshare", 1), ("setpriv", 0)):
        (tmp_path / tool).write_text(f"#!/bin/sh\nexit {code}\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda tool: str(tmp_path / tool))
    dropped = unprivileged.drop()
    assert dropped.prefix[0] == str(tmp_path / "setpriv")
    assert "--pdeathsig=KILL" in dropped.prefix
    assert dropped.owner is not None
    assert dropped.owner[0] == 65534


def test_other_users_run_it_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert unprivileged.drop() == unprivileged.Drop()


def test_connect_keeps_its_state_in_kafka_and_stays_on_this_machine(settings: Settings) -> None:
    told = ConnectWorker(settings).worker_properties()
    assert told["bootstrap.servers"] == settings.kafka_servers
    assert told["listeners"] == f"http://127.0.0.1:{settings.connect_port}"
    assert told["exactly.once.source.support"] == "enabled"
    kept = {told[f"{kind}.storage.topic"] for kind in ("offset", "config", "status")}
    assert len(kept) == 3
    assert "offset.storage.file.filename" not in told
    assert told["config.providers.file.param.allowed.paths"] == str(settings.home / "postgres")


def test_connect_elsewhere_is_named(tmp_path: Path) -> None:
    other = Settings(home=tmp_path, connect_url="http://connect:8083")
    assert other.connect_address == "http://connect:8083"
    assert "does not answer" in str(ConnectWorker(Settings(home=tmp_path, connect_port=free_port())).health())
