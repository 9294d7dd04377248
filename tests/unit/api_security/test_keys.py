"""API2:2023 Broken Authentication, API keys: what is stored, what is refused, how fast a revocation works."""

from __future__ import annotations

import hmac
import logging
import re
import sqlite3
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli import app
from api.security.errors import ApiKeyError, KeyStoreError
from api.security.keys import KeyStore, key_path
from api.security.principal import Principal, Role
from api.security.secrets import demo_keys, demo_path, refuse_default_secrets
from c360.errors import SettingsError
from c360.settings import Settings


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "api" / "keys.db"


def refusal(store: KeyStore, key: str) -> str:
    with pytest.raises(ApiKeyError) as refused:
        store.check(key)
    secret = key.rpartition("_")[2]
    assert not secret or secret not in str(refused.value)
    return refused.value.reason


def test_api2_a_key_is_its_principal(path: Path) -> None:
    store = KeyStore(path)
    key = store.create("desk", [Role.SERVICE], frozenset({"DE"}), ["marketing"], ["customer:read"])
    assert re.fullmatch(r"c360k_[0-9a-f]{12}_[0-9a-f]{64}", key)
    key_id = key.split("_")[1]
    expected = Principal(
        f"key:{key_id}", "service", frozenset({Role.SERVICE}), frozenset({"DE"}), frozenset({"marketing"}),
        frozenset({"customer:read"}), key_id,
    )  # fmt: skip
    assert store.check(key) == store.check(key) == KeyStore(path).check(key) == expected
    assert store.check(store.create("all", [Role.ANALYST])).regions is None
    assert store.check(store.create("none", [Role.ANALYST], frozenset())).regions == frozenset()


def test_api2_the_secret_is_neither_stored_nor_readable_by_others(path: Path) -> None:
    secret = KeyStore(path).create("desk", [Role.SUPPORT]).split("_")[2]
    content = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert secret.encode() not in content
    assert bytes.fromhex(secret) not in content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_api2_tampered_and_malformed_keys_are_refused(path: Path) -> None:
    store = KeyStore(path)
    key = store.create("desk", [Role.SUPPORT])
    _, key_id, secret = key.split("_")
    flipped = secret[:-1] + ("0" if secret[-1] != "0" else "1")
    assert refusal(store, f"c360k_{key_id}_{flipped}") == "unknown"
    assert refusal(store, f"c360k_{'0' * 12}_{secret}") == "unknown"
    for broken in (
        "",
        key[:-1],
        key + "0",
        key.upper(),
        key + "\n",
        f"c360k_{key_id}_",
        "c360k_'; DROP TABLE api_keys; --_" + secret,
    ):
        assert refusal(store, broken) == "malformed"
    store.check(key)


def test_api2_the_comparison_takes_constant_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, compared, real = KeyStore(path), [], hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    store.check(store.create("desk", [Role.SUPPORT]))
    refusal(store, f"c360k_{'0' * 12}_{'0' * 64}")
    assert compared == [(32, 32), (32, 32)], "digests, of equal length, also where there is no such key"


def test_api2_a_revoked_key_is_refused_at_once(path: Path) -> None:
    store = KeyStore(path)
    key, other = store.create("a", [Role.SUPPORT]), store.create("b", [Role.SUPPORT])
    store.check(key)
    store.revoke(key.split("_")[1])
    assert refusal(store, key) == "revoked"
    store.check(other)
    with pytest.raises(KeyStoreError, match="no API key"):
        store.revoke("0" * 12)


def test_api2_a_revocation_by_another_process_works_within_a_second(path: Path) -> None:
    store = KeyStore(path)
    key = store.create("a", [Role.SUPPORT])
    store.check(key)
    code = "import sys, pathlib, api.security.keys as k; k.KeyStore(pathlib.Path(sys.argv[1])).revoke(sys.argv[2])"
    subprocess.run([sys.executable, "-c", code, str(path), key.split("_")[1]], check=True)
    end, reason = time.monotonic() + 1, ""
    while not reason and time.monotonic() < end:
        try:
            store.check(key)
        except ApiKeyError as refused:
            reason = refused.reason
    assert reason == "revoked", "within a second"


def test_api2_an_expired_key_is_refused(path: Path) -> None:
    store = KeyStore(path)
    key = store.create("a", [Role.SUPPORT], expires=datetime.now(UTC) + timedelta(seconds=0.3))
    store.check(key)
    time.sleep(0.4)
    assert refusal(store, key) == "expired"


def test_api2_what_cannot_be_looked_up_is_refused_and_not_answered_from_memory(path: Path) -> None:
    store = KeyStore(path)
    key = store.create("a", [Role.SUPPORT])
    store.check(key)
    with sqlite3.connect(path) as other:
        other.execute("DROP TABLE api_keys")
    other.close()
    time.sleep(0.3)
    with pytest.raises(KeyStoreError):
        store.check(key)
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(KeyStoreError):
        KeyStore(path)


def test_keys_are_managed_by_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("C360_HOME", str(tmp_path))
    caplog.set_level(logging.DEBUG)
    run = CliRunner()
    made = run.invoke(app, ["keys", "create", "desk", "--role", "support", "--region", "DE", "--days", "9"])
    key = made.output.strip()
    store = KeyStore(key_path(tmp_path))
    assert store.check(key).regions == frozenset({"DE"})
    listed = run.invoke(app, ["keys", "list", "--json"]).output
    assert key.split("_")[1] in listed
    assert '"active"' in listed
    assert run.invoke(app, ["keys", "revoke", key.split("_")[1]]).exit_code == 0
    assert '"revoked"' in run.invoke(app, ["keys", "list", "--json"]).output
    assert key.split("_")[2] not in listed + caplog.text
    assert isinstance(run.invoke(app, ["keys", "create", "x", "--role", "boss"]).exception, KeyStoreError)
    assert isinstance(
        run.invoke(app, ["keys", "create", "x", "--role", "service", "--scope", "all"]).exception, KeyStoreError
    )


def test_the_kernels_command_finds_the_rooms_command() -> None:
    code = (
        "from c360.cli.main import _register, app; _register(); print([group.name for group in app.registered_groups])"
    )
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "'api'" in found.stdout


def test_demonstration_keys_are_the_same_every_time_and_work(settings: Settings) -> None:
    regions = {Role.SUPPORT: frozenset({"DE"})}
    first = demo_keys(settings, regions)
    assert demo_keys(settings) == first
    assert set(first) == set(Role)
    store = KeyStore(key_path(settings.home))
    found = {role: store.check(key) for role, key in first.items()}
    assert all(who.roles == {role} for role, who in found.items())
    assert found[Role.SUPPORT].regions == frozenset({"DE"})
    assert found[Role.MARKETING].purposes == {"marketing"}
    assert found[Role.PRIVACY].purposes == {"privacy"}
    assert "pii:clear" not in found[Role.SERVICE].scopes
    assert stat.S_IMODE(demo_path(settings.home).stat().st_mode) == 0o600
    store.revoke(first[Role.PRIVACY].split("_")[1])
    again = demo_keys(settings)
    assert again[Role.PRIVACY] != first[Role.PRIVACY]
    assert again[Role.SUPPORT] == first[Role.SUPPORT]


def test_api8_default_secrets_and_demonstration_keys_stay_on_the_local_profile(settings: Settings) -> None:
    refuse_default_secrets(settings)
    demo_keys(settings)
    server = {"profile": "server", "warehouse": "file:///w", "catalog_uri": "sqlite:///c", "home": settings.home}
    with pytest.raises(SettingsError, match="C360_API_HASH_KEY"):
        refuse_default_secrets(Settings.model_validate(server))
    kept = Settings.model_validate(server | {"api_hash_key": "x" * 40})
    with pytest.raises(SettingsError, match="demonstration"):
        refuse_default_secrets(kept)
    with pytest.raises(SettingsError, match="local"):
        demo_keys(kept)
    demo_path(settings.home).unlink()
    refuse_default_secrets(kept)
