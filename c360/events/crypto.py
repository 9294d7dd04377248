"""Encryption of single fields: AES-256-GCM from the cryptography package, with keys that can be rotated and destroyed.

A sealed text is ``enc1.<key id>.<base64url of nonce, ciphertext and tag>``. Topic, field and event id are bound in as
associated data, so a sealed text that was moved to another event does not open. Whoever destroys a key has destroyed
every field sealed with it, in every copy of the log.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from c360.events.errors import DecryptionFailed, EncryptionKeyMissing, KeyRingError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from c360.settings import Settings

PREFIX = "enc1."
KEY_BYTES = 32
_NONCE = 12
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True)
class KeyRing:
    """Keys by id, of 32 bytes each; ``current`` names the one that seals.

    Rotate by adding a key and making it current: the older ones still open what they sealed. Random nonces bound one
    key to about 2**32 sealed fields; rotate before that.
    """

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

    def __post_init__(self) -> None:
        for key_id, key in self.keys.items():
            if not _KEY_ID.fullmatch(key_id) or len(key) != KEY_BYTES:
                raise KeyRingError(
                    f"Key '{key_id}' has no plain name or not {KEY_BYTES} bytes",
                    "name it in letters and digits and give it 32 random bytes in base64",
                )
        if self.current not in self.keys:
            raise KeyRingError(f"The current key '{self.current}' is not among the keys", "add it, or name another")

    @classmethod
    def parse(cls, text: str) -> KeyRing:
        """From ``{"current": id, "keys": {id: base64}}``; KeyRingError if it is anything else."""
        try:
            found = json.loads(text)
            keys = {str(key_id): base64.b64decode(key, validate=True) for key_id, key in found["keys"].items()}
            current = str(found["current"])
        except (ValueError, KeyError, TypeError, AttributeError):
            # Without the cause: it could quote the key.
            raise KeyRingError(
                "The keys of encrypted fields cannot be read", 'write {"current": "id", "keys": {"id": "<base64>"}}'
            ) from None
        return cls(current, keys)

    @classmethod
    def local(cls, path: Path) -> KeyRing:
        """The key ring in a file that only its owner may read; made with a new key if it is not there.

        For one machine's own trials: production keys come from the environment. Raises KeyRingError.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            key = base64.b64encode(os.urandom(KEY_BYTES)).decode()
            try:
                handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                return cls.parse(path.read_text(encoding="utf-8"))
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"current": "local", "keys": {"local": key}}, file)
            return cls.parse(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise KeyRingError(
                f"{path} cannot be used ({error.strerror})", "choose a folder you may write to"
            ) from error

    @cached_property
    def _ciphers(self) -> Mapping[str, AESGCM]:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        return {key_id: AESGCM(key) for key_id, key in self.keys.items()}

    def seal(self, text: str, topic: str, path: str, event_id: str) -> str:
        """The text encrypted with the current key; another text each time."""
        nonce = os.urandom(_NONCE)
        sealed = self._ciphers[self.current].encrypt(nonce, text.encode(), _bound(topic, path, event_id))
        return f"{PREFIX}{self.current}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, topic: str, path: str, event_id: str) -> str:
        """The text that was sealed for this field of this event.

        Raises EncryptionKeyMissing if its key is not in the ring (any more), DecryptionFailed if it was altered, moved
        or never sealed.
        """
        from cryptography.exceptions import InvalidTag

        _, _, rest = sealed.partition(PREFIX)
        key_id, _, body = rest.partition(".")
        if not is_sealed(sealed):
            raise DecryptionFailed(
                f"{path} is not encrypted", "read it as it is, or find out who wrote it in clear text"
            )
        if key_id not in self.keys:
            raise EncryptionKeyMissing(f"The key '{key_id}' of {path} is not in the key ring", "add it to the key ring")
        try:
            raw = base64.urlsafe_b64decode(body)
            return self._ciphers[key_id].decrypt(raw[:_NONCE], raw[_NONCE:], _bound(topic, path, event_id)).decode()
        except (InvalidTag, ValueError, binascii.Error):
            raise DecryptionFailed(
                f"{path} does not open with key '{key_id}'", "fetch the event from its source again: it was altered"
            ) from None


def key_ring(settings: Settings) -> KeyRing | None:
    """The keys that ``C360_EVENT_KEYS`` holds; on the local profile else those of this home; else None."""
    if settings.event_keys is not None:
        return KeyRing.parse(settings.event_keys.get_secret_value())
    return KeyRing.local(settings.home / "event-keys.json") if settings.profile == "local" else None


def is_sealed(text: str) -> bool:
    """True for a text in the form of a sealed one."""
    return text.startswith(PREFIX) and text.count(".") == 2


def _bound(topic: str, path: str, event_id: str) -> bytes:
    return f"{topic}|{path}|{event_id}".encode()
