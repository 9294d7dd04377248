"""Field encryption, opened here with the primitive itself."""

from __future__ import annotations

import base64
import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from c360.events import KeyRing, key_ring, load_schemas
from c360.events.errors import DecryptionFailed, EncryptionKeyMissing, KeyRingError
from c360.settings import Settings
from tests.unit.events.examples import KEY, action

KEYS = KeyRing("k1", {"k1": KEY})
SCHEMA = load_schemas()["page_view"]
_NO_NAME = json.dumps({"current": "a.b", "keys": {"a.b": base64.b64encode(KEY).decode()}})
EMAIL = "ana@example.com"


def test_the_wire_holds_ciphertext_that_the_primitive_opens() -> None:
    event = action(email=EMAIL, ip_address="203.0.113.7")
    value = SCHEMA.ready(event, KEYS).value
    assert EMAIL.encode() not in value
    assert b"203.0.113.7" not in value
    prefix, key_id, body = json.loads(value)["payload"]["email"].split(".")
    raw = base64.urlsafe_b64decode(body)
    bound = f"raw-events|payload.email|{event.event_id}".encode()
    assert (prefix, key_id) == ("enc1", "k1")
    assert AESGCM(KEY).decrypt(raw[:12], raw[12:], bound).decode() == EMAIL


def test_the_same_text_is_sealed_differently_each_time() -> None:
    event = action(email=EMAIL)
    first, second = (json.loads(SCHEMA.ready(event, KEYS).value)["payload"]["email"] for _ in range(2))
    assert first != second


def test_clear_text_is_validated_before_it_is_sealed() -> None:
    with pytest.raises(Exception, match=r"payload\.email"):
        SCHEMA.ready(action(email="not an address"), KEYS)


def test_without_a_key_nothing_personal_goes_out() -> None:
    with pytest.raises(EncryptionKeyMissing, match=r"payload\.email"):
        SCHEMA.ready(action(email=EMAIL), None)
    assert SCHEMA.ready(action(), None).value


def test_a_rotated_ring_opens_the_old_and_a_destroyed_key_leaves_the_field_sealed() -> None:
    value = SCHEMA.ready(action(email=EMAIL), KEYS).value
    rotated = KeyRing("k2", {"k1": KEY, "k2": bytes(32)})
    assert SCHEMA.read(value, rotated).payload.email == EMAIL
    shredded = KeyRing("k2", {"k2": bytes(32)})
    assert SCHEMA.read(value, shredded).payload.email.startswith("enc1.k1.")
    assert SCHEMA.read(value).payload.email.startswith("enc1.k1.")


def test_a_sealed_field_moved_to_another_event_or_altered_does_not_open() -> None:
    one, other = (json.loads(SCHEMA.ready(action(email=EMAIL), KEYS).value) for _ in range(2))
    moved = {**other, "payload": one["payload"]}
    with pytest.raises(DecryptionFailed):
        SCHEMA.read(json.dumps(moved).encode(), KEYS)
    sealed = one["payload"]["email"]
    one["payload"]["email"] = sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]
    with pytest.raises(DecryptionFailed):
        SCHEMA.read(json.dumps(one).encode(), KEYS)
    one["payload"]["email"] = EMAIL
    with pytest.raises(DecryptionFailed, match="not encrypted"):
        SCHEMA.read(json.dumps(one).encode(), KEYS)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"current": "a", "keys": {}}', '{"current": "a", "keys": {"a": "c2hvcnQ="}}',
     '{"current": "a", "keys": {"a": "§"}}', _NO_NAME],
)  # fmt: skip
def test_bad_key_rings_are_refused_without_quoting_them(text: str) -> None:
    with pytest.raises(KeyRingError) as caught:
        KeyRing.parse(text)
    assert "c2hvcnQ" not in str(caught.value)


def test_keys_come_from_the_settings_or_locally_from_a_private_file(tmp_path: Path) -> None:
    text = json.dumps({"current": "p", "keys": {"p": base64.b64encode(KEY).decode()}})
    named = key_ring(Settings.model_validate({"home": tmp_path, "event_keys": text}))
    assert named is not None
    assert named.keys == {"p": KEY}
    assert "0123" not in repr(named)
    first, again = (key_ring(Settings(home=tmp_path)) for _ in range(2))
    assert first is not None
    assert first == again
    assert stat.S_IMODE((tmp_path / "event-keys.json").stat().st_mode) == 0o600
    elsewhere = Settings(profile="rest", catalog_uri="http://c", warehouse="file:///w", home=tmp_path)
    assert key_ring(elsewhere) is None
