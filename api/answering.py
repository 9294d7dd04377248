"""The parts of an answer that are the same for everybody who sees a release under one view: made once."""

from __future__ import annotations

import zlib
from email.utils import format_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import orjson
from fastapi import Response

if TYPE_CHECKING:
    from datetime import datetime

    from api.serving.source import ReleaseSource

JSON = (b"content-type", b"application/json")
VARY = "authorization, x-api-key, c360-purpose"


class Frame(NamedTuple):
    """Headers of an answer without those of its body, and the JSON of its member ``release``."""

    etag: str
    headers: tuple[tuple[bytes, bytes], ...]
    release: orjson.Fragment


class ReadyResponse(Response):
    """Starlette's response without its work on headers: these are bytes already, their names in small letters."""

    def __init__(self, status: int, headers: tuple[tuple[bytes, bytes], ...], body: bytes | None) -> None:
        self.status_code, self.body, self.background = status, body or b"", None
        length = () if body is None else ((b"content-length", b"%d" % len(body)), JSON)
        self.raw_headers = [*headers, *length]


def frame(source: ReleaseSource, view: str) -> Frame:
    """What every answer from this release under this view carries."""
    return _frame(source.id, source.as_of, source.published_at, view)


@lru_cache(1024)
def _frame(name: str, as_of: datetime, published_at: datetime, view: str) -> Frame:
    etag = f'W/"{name}-{zlib.crc32(view.encode()):08x}"'
    headers = {
        "etag": etag,
        "last-modified": format_datetime(published_at, usegmt=True),
        "cache-control": "private, no-cache",
        "vary": VARY,
        "c360-release": name,
    }
    release = {"id": name, "as_of": as_of, "published_at": published_at}
    return Frame(
        etag,
        tuple((key.encode(), value.encode("latin-1")) for key, value in headers.items()),
        orjson.Fragment(orjson.dumps(release, option=orjson.OPT_UTC_Z)),
    )
