"""Long answers are sent compressed to whoever takes that, and say the same."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from api.security.principal import Role

if TYPE_CHECKING:
    from tests.unit.api_app.conftest import World

LONG = ("/v1/customers?limit=200", "/v1/customers/export", "/v1/openapi.json", "/v1/customers/export?format=arrow")


def raw(world: World, path: str, key: str, encoding: str) -> tuple[dict[str, str], bytes]:
    with world.client.stream("GET", path, headers={"x-api-key": key, "accept-encoding": encoding}) as answer:
        assert answer.status_code == 200
        return dict(answer.headers), b"".join(answer.iter_raw())


def unpacked(encoding: str, body: bytes) -> bytes:
    import zstandard

    return (
        gzip.decompress(body) if encoding == "gzip" else zstandard.ZstdDecompressor().decompressobj().decompress(body)
    )


@pytest.mark.parametrize("path", LONG)
@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_long_answer_is_smaller_and_the_same(world: World, keys: dict[Role, str], path: str, encoding: str) -> None:
    plain_headers, plain = raw(world, path, keys[Role.ANALYST], "identity")
    headers, body = raw(world, path, keys[Role.ANALYST], f"br, {encoding}")
    assert "content-encoding" not in plain_headers
    assert headers["content-encoding"] == encoding
    assert "accept-encoding" in headers["vary"].lower()
    assert len(body) < len(plain) / 2
    assert unpacked(encoding, body) == plain


def test_a_short_answer_is_sent_as_it_is(world: World, keys: dict[Role, str]) -> None:
    for path in (f"/v1/customers/{world.customers[0]['customer_id']}", "/v1/customers/C9999999", "/livez"):
        answer = world.client.get(path, headers={"x-api-key": keys[Role.SUPPORT], "accept-encoding": "gzip, zstd"})
        assert "content-encoding" not in answer.headers


def test_the_tag_of_a_compressed_answer_is_that_of_the_plain_one(world: World, keys: dict[Role, str]) -> None:
    plain, _ = raw(world, LONG[0], keys[Role.ANALYST], "identity")
    packed, _ = raw(world, LONG[0], keys[Role.ANALYST], "gzip")
    assert plain["etag"] == packed["etag"]
    assert packed["etag"].startswith("W/")
    same = {"x-api-key": keys[Role.ANALYST], "accept-encoding": "gzip", "if-none-match": packed["etag"]}
    assert world.client.get(LONG[0], headers=same).status_code == 304
