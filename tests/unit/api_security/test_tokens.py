"""API2:2023 Broken Authentication, tokens: forged, stale and misdirected ones prove nobody."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from api.security.errors import TokenError
from api.security.jwks import KeySet
from api.security.principal import Principal, Role
from api.security.settings import SecuritySettings
from api.security.tokens import TokenVerifier
from c360.errors import SettingsError

ISSUER, AUDIENCE = "https://login.example.com/", "customer-360"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED = Ed25519PrivateKey.generate()


def jwk(key: Any, key_id: str) -> dict[str, Any]:
    algorithm: Any = RSAAlgorithm if hasattr(key, "decrypt") else OKPAlgorithm
    return {**json.loads(algorithm.to_jwk(key.public_key())), "kid": key_id, "use": "sig"}


class World:
    """A verifier with keys that the test publishes, and a clock of its own for them."""

    def __init__(self, path: Path) -> None:
        self.path, self.now, self.fetches, self.fails = path, 1000.0, 0, False
        self.publish(jwk(RSA, "r1"), jwk(ED, "e1"))
        self.settings = SecuritySettings(jwt_jwks=str(path), jwt_issuer=ISSUER, jwt_audience=AUDIENCE, jwt_leeway_s=0)
        self.verifier = TokenVerifier(self.settings, KeySet(str(path), self.fetch, lambda: self.now))

    def publish(self, *keys: dict[str, Any]) -> None:
        self.path.write_text(json.dumps({"keys": keys}))

    def fetch(self, source: str) -> bytes:
        self.fetches += 1
        if self.fails:
            raise OSError("the issuer does not answer")
        return Path(source).read_bytes()

    def refused(self, token: str) -> str:
        with pytest.raises(TokenError) as refusal:
            self.verifier.verify(token)
        told = str(refusal.value)
        assert not any(part and part in told for part in token.split(".")), "nothing of the token is repeated"
        assert refusal.value.__cause__ is None
        assert self.verifier.known(token) is None
        return refusal.value.reason


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "jwks.json")


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {
        "iss": ISSUER, "aud": AUDIENCE, "sub": "anna", "iat": now, "exp": now + 600, "roles": ["support", "boss"],
        "regions": ["DE"], "purposes": ["privacy"], "scope": "customer:read pii:clear",
    }  # fmt: skip
    return {name: value for name, value in (whole | changes).items() if value is not None}


def signed(key: Any = RSA, algorithm: str = "RS256", headers: dict[str, Any] | None = None, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm, headers={"kid": "r1"} | (headers or {}))


def by_hand(header: dict[str, Any], payload: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    text = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, payload))
    return (text + b"." + base64.urlsafe_b64encode(sign(text)).rstrip(b"=")).decode()


def test_api2_a_valid_token_says_who_its_bearer_is(world: World) -> None:
    expected = Principal(
        "anna", "user", frozenset({Role.SUPPORT}), frozenset({"DE"}), frozenset({"privacy"}),
        frozenset({"customer:read", "pii:clear"}), "r1",
    )  # fmt: skip
    assert world.verifier.verify(signed()) == expected
    by_ed = world.verifier.verify(signed(ED, "EdDSA", {"kid": "e1"}, roles=["service"], regions=["*"]))
    assert (by_ed.kind, by_ed.regions, by_ed.key_id) == ("service", None, "e1")
    bare = world.verifier.verify(signed(roles=None, regions=None, purposes=None, scope=None))
    assert bare == Principal("anna", "user", frozenset(), frozenset(), key_id="r1"), (
        "what is not claimed is not granted"
    )


def test_api2_alg_none_is_refused(world: World) -> None:
    for name in ("none", "None", "NONE", ""):
        assert world.refused(by_hand({"alg": name, "kid": "r1"}, claims(), lambda _: b"")) == "bad_algorithm"
    assert world.refused(by_hand({"kid": "r1"}, claims(), lambda _: b"")) in {"bad_algorithm", "malformed"}


def test_api2_hs256_with_the_public_key_as_secret_is_refused(world: World) -> None:
    public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for name, digest in (("HS256", "sha256"), ("HS512", "sha512")):
        sign = partial(hmac.digest, public, digest=digest)
        assert world.refused(by_hand({"alg": name, "kid": "r1"}, claims(), sign)) == "bad_algorithm"


def test_api2_other_algorithms_and_another_keys_algorithm_are_refused(world: World) -> None:
    assert world.refused(signed(algorithm="RS512")) == "bad_algorithm"
    assert world.refused(signed(algorithm="PS256")) == "bad_algorithm"
    assert world.refused(signed(ED, "EdDSA", {"kid": "r1"})) == "bad_algorithm"


def test_api2_expired_and_not_yet_valid_tokens_are_refused(world: World) -> None:
    now = int(time.time())
    assert world.refused(signed(exp=now - 1)) == "expired"
    assert world.refused(signed(nbf=now + 60)) == "not_yet_valid"
    assert world.refused(signed(iat=now + 60)) == "not_yet_valid"
    assert world.refused(signed(exp="tomorrow")) == "malformed"


def test_api2_leeway_is_bounded(world: World) -> None:
    with pytest.raises(ValueError, match="jwt_leeway_s"):
        SecuritySettings(jwt_leeway_s=31)
    lenient = TokenVerifier(world.settings.model_copy(update={"jwt_leeway_s": 30}), KeySet(str(world.path)))
    now = int(time.time())
    assert lenient.verify(signed(exp=now - 10)).subject == "anna"
    with pytest.raises(TokenError, match="expired"):
        lenient.verify(signed(exp=now - 60))


def test_api2_wrong_audience_or_issuer_is_refused(world: World) -> None:
    assert world.refused(signed(aud="another-api")) == "wrong_audience"
    assert world.refused(signed(iss="https://login.example.com.evil.org/")) == "wrong_issuer"


@pytest.mark.parametrize("name", ["exp", "iat", "iss", "aud", "sub"])
def test_api2_every_required_claim_is_required(world: World, name: str) -> None:
    without: dict[str, Any] = {name: None}
    assert world.refused(signed(**without)) == "claim_missing"


def test_api2_claims_of_another_shape_are_refused(world: World) -> None:
    wrong: list[dict[str, Any]] = [
        {"roles": {"support": True}},
        {"regions": [1]},
        {"scope": 5},
        {"sub": 7},
        {"aud": [1]},
    ]
    for change in wrong:
        assert world.refused(signed(**change)) in {"malformed", "wrong_audience"}
    assert world.refused(signed(sub="")) == "claim_missing"


def test_api2_unknown_and_missing_key_ids_are_refused(world: World) -> None:
    assert world.refused(signed(headers={"kid": "r9"})) == "unknown_key"
    assert world.refused(jwt.encode(claims(), RSA, "RS256")) == "unknown_key"
    assert world.refused(by_hand({"alg": "RS256", "kid": 7}, claims(), lambda _: b"x")) in {"unknown_key", "malformed"}
    assert world.refused(signed(OTHER_RSA)) == "bad_signature"


def test_api2_keys_and_addresses_in_the_token_are_ignored(world: World) -> None:
    for inside in (
        {"jku": "https://evil.org/jwks.json"},
        {"x5u": "https://evil.org/x5u"},
        {"jwk": jwk(OTHER_RSA, "r1")},
    ):
        assert world.refused(signed(OTHER_RSA, headers=inside)) == "bad_signature"
        assert world.refused(signed(OTHER_RSA, headers={**inside, "kid": "evil"})) == "unknown_key"
    assert world.fetches <= 1 + 1
    assert world.refused(signed(headers={"crit": ["b64"], "b64": True})) == "malformed"


def test_api2_a_tampered_token_is_refused(world: World) -> None:
    head, body, signature = signed().split(".")
    payload = json.loads(base64.urlsafe_b64decode(body + "=="))
    more = base64.urlsafe_b64encode(json.dumps(payload | {"roles": ["privacy"]}).encode()).rstrip(b"=").decode()
    assert world.refused(f"{head}.{more}.{signature}") == "bad_signature"
    for broken in (
        "",
        ".",
        "..",
        "a.b.c",
        "ä.ö.ü",
        "\udcff.a.b",
        f"{head}.{body}",
        "x" * 100_000,
        "\x00",
        signed() + "." + body,
    ):
        with pytest.raises(TokenError) as refusal:
            world.verifier.verify(broken)
        assert refusal.value.reason == "malformed"


def test_api2_a_rotated_key_is_fetched_and_the_old_one_dropped(world: World) -> None:
    old, new = signed(), signed(OTHER_RSA, headers={"kid": "r2"})
    world.verifier.verify(old)
    world.publish(jwk(OTHER_RSA, "r2"))
    assert world.refused(new) == "unknown_key", "within ten seconds of the last fetch"
    world.now += 11
    assert world.verifier.verify(new).key_id == "r2"
    assert world.verifier.known(old) is None, "remembered tokens of dropped keys are forgotten"
    assert world.refused(old) == "unknown_key"


def test_api2_a_withdrawn_key_is_dropped_although_nobody_asks_for_a_new_one(world: World) -> None:
    token = signed()
    world.verifier.verify(token)
    world.publish(jwk(ED, "e1"))
    world.now += 299
    assert world.verifier.known(token)
    world.now += 2
    assert world.verifier.known(token) is None
    assert world.refused(token) == "unknown_key"


def test_api4_unknown_key_ids_do_not_make_a_flood_of_fetches(world: World) -> None:
    for n in range(500):
        world.now += 0.1
        world.refused(signed(headers={"kid": f"x{n}"}))
    assert world.fetches <= 6, "fifty seconds, one fetch in ten"


def test_api2_keys_outlive_their_source_for_an_hour_and_no_longer(world: World) -> None:
    token = signed()
    world.verifier.verify(token)
    world.fails = True
    world.now += 3000
    assert world.verifier.verify(token).subject == "anna"
    world.now += 700
    assert world.refused(token) == "keys_unavailable"
    world.fails = False
    world.now += 11
    assert world.verifier.verify(token).subject == "anna"


def test_api2_weak_and_foreign_keys_of_the_set_are_not_used(world: World) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    secret = {"kty": "oct", "kid": "o", "k": "c2VjcmV0"}
    world.publish(jwk(weak, "w"), secret, {**jwk(RSA, "enc"), "use": "enc"}, {"kty": "RSA", "kid": "broken", "n": "!"})
    assert world.refused(signed(headers={"kid": "w"})) == "unknown_key"
    for key_id in ("o", "enc", "broken"):
        assert world.refused(signed(headers={"kid": key_id})) == "unknown_key"


def test_api2_a_remembered_token_ends_with_its_expiry(world: World) -> None:
    token = signed(exp=int(time.time()) + 2)
    world.verifier.verify(token)
    assert world.verifier.known(token)
    time.sleep(2.1)
    assert world.verifier.known(token) is None
    assert world.refused(token) == "expired"


def test_api4_remembered_tokens_are_bounded(world: World) -> None:
    verifier = TokenVerifier(world.settings.model_copy(update={"jwt_cached": 3}), KeySet(str(world.path)))
    tokens = [signed(ED, "EdDSA", {"kid": "e1"}, sub=f"s{n}") for n in range(5)]
    for token in tokens:
        verifier.verify(token)
    assert [verifier.known(token) is not None for token in tokens] == [False, False, True, True, True]


def test_api7_the_key_address_is_neither_followed_elsewhere_nor_read_without_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, address = [], "https://login.example.com/jwks"
    whole = json.dumps({"keys": [jwk(RSA, "r1")]}).encode()
    answers = [
        httpx.Response(302, headers={"Location": "https://evil.org/jwks"}),
        httpx.Response(500, content=whole),
        httpx.Response(200, content=b" " * 1_000_001 + whole),
        httpx.Response(200, content=b'{"keys": "none"}'),
        httpx.Response(200, content=whole),
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return answers[len(asked) - 1]

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        monkeypatch.setattr(httpx, "stream", client.stream)
        now = [0.0]
        keys = KeySet(address, clock=lambda: now[0])
        for _ in answers[:-1]:
            with pytest.raises(TokenError, match="keys_unavailable"):
                keys.key("r1")
            now[0] += 11
        assert keys.key("r1")[0].key_type == "RSA"
    assert asked == [address] * 5


def test_api8_a_token_set_by_plain_http_or_without_audience_is_refused_at_start() -> None:
    with pytest.raises(SettingsError, match="https"):
        SecuritySettings(jwt_jwks="http://login.example.com/jwks", jwt_issuer=ISSUER, jwt_audience=AUDIENCE)
    with pytest.raises(SettingsError, match="AUDIENCE"):
        SecuritySettings(jwt_jwks="https://login.example.com/jwks", jwt_issuer=ISSUER)
