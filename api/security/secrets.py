"""What the API checks before it starts, and the keys with which its local profile can be tried at once."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, cast

from pydantic import SecretStr

from api.security.errors import ApiKeyError, KeyStoreError
from api.security.keys import KeyStore, key_path
from api.security.principal import Role
from c360.errors import SettingsError
from c360.privacy.keyed import hash_key
from c360.settings import DEFAULT_SECRET

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from c360.settings import Settings

DEMO_SCOPES = ("customer:read", "customer:lookup", "customer:batch", "product:read", "metric:read", "table:read")


def refuse_default_secrets(settings: Settings) -> None:
    """Raise SettingsError if the API would run with a secret that everybody knows; the local profile may.

    Outside it, a home in which demonstration keys were made is refused as well.
    """
    if settings.profile == "local":
        return
    hash_key(settings)
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        used = not name.startswith("s3_") or (settings.warehouse or "").startswith("s3")
        if isinstance(value, SecretStr) and value.get_secret_value() == DEFAULT_SECRET and used:
            raise SettingsError(
                f"Profile '{settings.profile}' would use the default of C360_{name.upper()}",
                f"set C360_{name.upper()}",
            )
    if demo_path(settings.home).exists():
        raise SettingsError(
            f"Profile '{settings.profile}' would accept the demonstration keys in {demo_path(settings.home)}",
            "revoke them (`c360 api keys revoke`) and delete the file",
        )


def demo_keys(settings: Settings, regions: Mapping[Role, frozenset[str]] | None = None) -> dict[Role, str]:
    """One API key for each role, made if it is not there; the same ones whenever it is called.

    ``regions`` limits new keys of a role. They are kept readable in a file of the home that only its owner may read,
    so SettingsError outside the local profile. Raises KeyStoreError.
    """
    if settings.profile != "local":
        raise SettingsError("Demonstration keys are for the local profile", "make keys with `c360 api keys create`")
    path, store = demo_path(settings.home), KeyStore(key_path(settings.home))
    try:
        kept = _kept(path)
        found = {role: kept[role] for role in Role if role in kept and _works(store, kept[role])}
        missing = [role for role in Role if role not in found]
        for role in missing:
            purposes = {role.value} & {Role.MARKETING, Role.PRIVACY}
            scopes = DEMO_SCOPES if role is Role.SERVICE else ()
            found[role] = store.create(f"demo-{role}", [role], (regions or {}).get(role), purposes, scopes)
        if missing:
            _keep(path, found)
        return {role: found[role] for role in Role}
    finally:
        store.close()


def demo_path(home: Path) -> Path:
    """Where a home keeps its demonstration keys."""
    return home / "api" / "demo-keys.json"


def _works(store: KeyStore, key: str) -> bool:
    try:
        store.check(key)
    except ApiKeyError:
        return False
    return True


def _kept(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, str]", found) if isinstance(found, dict) else {}


def _keep(path: Path, keys: Mapping[Role, str]) -> None:
    part = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(keys, file)
        part.replace(path)
    except OSError as error:
        raise KeyStoreError(f"{path} cannot be written ({error.strerror})", "choose a home you may write to") from error
