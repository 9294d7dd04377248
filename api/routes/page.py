"""The web page at ``/``: files that say nothing of anybody. What it shows, it asks of the API with the reader's key."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files

from fastapi import APIRouter, Request, Response

router = APIRouter(include_in_schema=False)
TYPES = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""The files of the page, and nothing else of its folder."""


@dataclass(frozen=True)
class _File:
    body: bytes
    headers: dict[str, str]


@cache
def _file(name: str) -> _File:
    body = files("api").joinpath("page", name).read_bytes()
    return _File(body, {"etag": f'"{sha256(body).hexdigest()[:32]}"', "cache-control": "no-cache"})


def _serve(path: str, name: str) -> None:
    async def get_file(request: Request) -> Response:
        file = _file(name)
        if request.headers.get("if-none-match") == file.headers["etag"]:
            return Response(status_code=304, headers=file.headers)
        return Response(file.body, headers=file.headers, media_type=TYPES[name])

    router.add_api_route(path, get_file, methods=["GET", "HEAD"], name=f"page_{name}")


for _name in TYPES:
    _serve("/" if _name == "index.html" else f"/page/{_name}", _name)
