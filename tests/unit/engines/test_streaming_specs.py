"""Kafka, the registry and Flink before they start: configuration, refusals, and what lies in which folder."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

import pytest
import yaml
from pydantic import SecretStr

from c360.engines import flink_home
from c360.engines.flink import FlinkCluster
from c360.engines.flink_conf import TaskMemory, catalog_ddl, flink_conf, jar_groups
from c360.engines.java_files import properties
from c360.engines.kafka import KafkaBroker
from c360.engines.registry import SchemaRegistry
from c360.engines.stack import DEFAULT, ENGINES, STREAMING, Stack
from c360.errors import EngineError, SettingsError
from c360.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

PORTS = {
    "kafka_port": 20_001,
    "kafka_controller_port": 20_002,
    "registry_port": 20_003,
    "registry_admin_port": 20_004,
    "flink_port": 20_005,
    "flink_gateway_port": 20_006,
    "flink_rpc_port": 20_007,
    "postgres_port": 20_008,
    "connect_port": 20_009,
    "dynamodb_port": 20_010,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", **PORTS)  # type: ignore[arg-type]


def test_every_port_has_a_setting_and_is_checked_before_a_start(settings: Settings) -> None:
    specs = [spec for name in (*STREAMING, "postgres", "connect", "dynamodb") for spec in ENGINES[name](settings)]
    found = {setting: port for spec in specs for setting, port in spec.all_ports().items()}
    assert found == {f"C360_{name.upper()}": port for name, port in PORTS.items()}


def test_two_engines_on_one_port_are_refused_early(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"C360_FLINK_PORT and C360_REGISTRY_PORT are both 20003"):
        Settings(home=tmp_path, **{**PORTS, "flink_port": 20_003})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "setting", ["kafka_bootstrap", "registry_url", "flink_url", "flink_gateway_url", "connect_url", "dynamodb_endpoint"]
)
def test_nothing_is_started_where_another_is_named(tmp_path: Path, setting: str) -> None:
    settings = Settings(home=tmp_path, **{setting: "http://elsewhere:1"})  # type: ignore[arg-type]
    engine = setting.split("_", maxsplit=1)[0]
    with pytest.raises(EngineError, match=rf"C360_{setting.upper()} names another .* \(http://elsewhere:1\)"):
        Stack(settings).up(engine)
    assert not (tmp_path / "logs").exists()


def test_addresses_follow_the_settings(tmp_path: Path, settings: Settings) -> None:
    assert settings.kafka_servers == "127.0.0.1:20001"
    assert settings.registry_address == "http://127.0.0.1:20003/apis/ccompat/v7"
    assert (settings.flink_address, settings.flink_gateway_address) == (
        "http://127.0.0.1:20005",
        "http://127.0.0.1:20006",
    )
    other = Settings(home=tmp_path, kafka_bootstrap="k1:9092,k2:9092", flink_url="http://flink:8081")
    assert (other.kafka_servers, other.flink_address) == ("k1:9092,k2:9092", "http://flink:8081")


def test_up_without_names_is_the_batch_half() -> None:
    assert DEFAULT == ("spark", "dagster")


def test_properties_survive_readers_of_latin_1() -> None:
    assert properties({"log.dirs": "/a hömé/\U0001f600\\x"}) == "log.dirs=/a h\\u00f6m\\u00e9/\\ud83d\\ude00\\\\x\n"


def test_kafka_refuses_a_folder_that_it_did_not_format(settings: Settings) -> None:
    broker = KafkaBroker(settings)
    (settings.home / "kafka" / "data" / "orders-0").mkdir(parents=True)
    with pytest.raises(EngineError, match=r"holds files, but no readable meta\.properties.*move it away"):
        broker.spec().prepare()
    assert broker.cluster_id() is None


def test_registry_commits_are_durable_and_rules_are_on(settings: Settings) -> None:
    env = SchemaRegistry(settings).spec().env
    assert str(env["APICURIO_DATASOURCE_URL"]).endswith("WRITE_DELAY=0")
    assert env["APICURIO_RULES_GLOBAL_COMPATIBILITY"] == "BACKWARD"
    assert {env["QUARKUS_HTTP_HOST"], env["QUARKUS_MANAGEMENT_HOST"]} == {"127.0.0.1"}


def test_registry_refuses_a_home_that_its_database_cannot_name(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="set C360_HOME"):
        SchemaRegistry(Settings(home=tmp_path / "a;b")).spec()


@pytest.mark.parametrize("total", [1280, 1728, 4096, 16_000])
def test_worker_memory_adds_up(total: int) -> None:
    conf = {
        key.removeprefix("taskmanager.memory."): int(value[:-1]) for key, value in TaskMemory.of(total).conf().items()
    }
    parts = [value for key, value in conf.items() if key not in {"network.max", "jvm-overhead.max"}]
    assert sum(parts) == total
    assert min(value for key, value in conf.items() if key != "task.off-heap.size") > 0


def test_flink_stays_on_this_machine_and_in_the_home(settings: Settings) -> None:
    conf = flink_conf(settings)
    hosts = {key: value for key, value in conf.items() if key.endswith(("address", "host"))}
    assert len(hosts) >= 6
    assert set(hosts.values()) == {"127.0.0.1"}
    for key in ("execution.checkpointing.dir", "execution.checkpointing.savepoint-dir"):
        assert str(conf[key]).startswith(f"file://{settings.home}/flink/")
    assert conf["execution.checkpointing.unaligned.enabled"] is False


def test_catalog_ddl_quotes_and_names_the_same_catalog(tmp_path: Path) -> None:
    ddl = catalog_ddl(Settings(home=tmp_path / "o'brien"))
    assert ddl.startswith("CREATE CATALOG `lake` WITH ('type' = 'iceberg'")
    assert f"'jdbc:sqlite:{tmp_path}/o''brien/catalog.db?busy_timeout=60000'" in ddl
    rest = Settings(
        home=tmp_path,
        profile="rest",
        catalog_uri="http://catalog",
        warehouse="s3://b/w",
        s3_access_key=SecretStr("a"),
        s3_secret_key=SecretStr("b"),
    )
    assert "'catalog-type' = 'rest'" in catalog_ddl(rest)
    with pytest.raises(EngineError, match="C360_FLINK_URL"):
        jar_groups(rest)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a lock of its own, and a uv that writes down how it was called."""
    (tmp_path / "workspace.yaml").touch()
    (tmp_path / "streaming_jobs").mkdir()
    (tmp_path / "streaming_jobs" / "uv.lock").write_text("locked")
    uv = tmp_path / ".tools" / "bin" / "uv"
    uv.parent.mkdir(parents=True)
    uv.write_text(
        '#!/bin/sh\necho "$@ $UV_PROJECT_ENVIRONMENT" >> calls\n'
        '[ ! -e fail ] || { echo "error: no route" >&2; exit 2; }\n'
        'mkdir -p "$HOME_TO_MAKE/lib"\n'
    )
    uv.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME_TO_MAKE", str(flink_home.flink_home()))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("UV_PROJECT_ENVIRONMENT", "/elsewhere")
    monkeypatch.setattr("shutil.which", lambda name: None)
    return tmp_path / "streaming_jobs"


def test_flink_is_installed_once_per_lock(clone: Path) -> None:
    home = flink_home.install()
    assert home.is_relative_to(clone)
    flink_home.install()
    (call,) = (clone / "calls").read_text().splitlines()
    assert call.startswith(f"sync --frozen --quiet --project {clone} --python ")
    assert "/elsewhere" not in call
    (clone / "uv.lock").write_text("locked anew")
    flink_home.install()
    assert len((clone / "calls").read_text().splitlines()) == 2
    assert (clone / ".venv" / ".c360-installed").read_text() == hashlib.sha256(b"locked anew").hexdigest()


def test_failed_installation_says_why_and_is_tried_again(clone: Path) -> None:
    (clone / "fail").touch()
    with pytest.raises(EngineError, match=r"cannot install Flink \(error: no route\).*network"):
        flink_home.install()
    (clone / "fail").unlink()
    assert flink_home.install().is_dir()


def test_no_uv_names_the_target_that_brings_it(clone: Path) -> None:
    (clone.parent / ".tools" / "bin" / "uv").unlink()
    with pytest.raises(EngineError, match="make setup-streaming"):
        flink_home.find_uv()


def test_flink_options_without_a_jdk(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    wanted = (
        "--add-exports=jdk.compiler/com.sun.tools.javac.api=ALL-UNNAMED --add-opens=java.base/java.lang=ALL-UNNAMED"
    )
    (tmp_path / "conf" / "config.yaml").write_text(yaml.safe_dump({"env": {"java": {"opts": {"all": wanted}}}}))
    assert flink_home.java_options(tmp_path) == ("--add-opens=java.base/java.lang=ALL-UNNAMED",)


def test_workers_are_told_apart_and_temporary_files_too(settings: Settings) -> None:
    manager, worker, _ = FlinkCluster(settings).specs()
    again = FlinkCluster(settings).specs()[1]
    ids = [word for spec in (worker, again) for word in spec.command if "resource-id" in word]
    assert len(set(ids)) == 2
    folders = [word for spec in (manager, worker) for word in spec.command if "tmpdir" in word]
    assert len(set(folders)) == 2
    assert not any(os.pathsep in word for word in worker.command if "jar" in word)


def test_configuration_is_yaml_that_says_what_was_meant(settings: Settings) -> None:
    conf = flink_conf(settings)
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in conf.items())
    assert yaml.safe_load(text) == conf
