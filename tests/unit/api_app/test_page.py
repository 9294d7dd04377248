"""The page at ``/``: what its files may do, and that nobody's data is in them."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

import api

if TYPE_CHECKING:
    from tests.unit.api_app.conftest import World

FOLDER = Path(str(api.__path__[0])) / "page"
FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page/icon.svg": ("icon.svg", "image/svg+xml"),
}
CLOSED = "default-src 'none'; frame-ancestors 'none'"


class Elements(HTMLParser):
    """Start tags with their attributes, and the text within scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._in = tag

    def handle_data(self, data: str) -> None:
        if self._in in ("script", "style"):
            self.inline += data.strip()


@pytest.fixture(scope="module")
def elements() -> list[tuple[str, dict[str, str | None]]]:
    return Elements((FOLDER / "index.html").read_text(encoding="utf-8")).found


@pytest.mark.parametrize("path", FILES)
def test_a_file_is_served_as_it_is_and_only_once(world: World, path: str) -> None:
    name, kind = FILES[path]
    answer = world.client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert answer.content == (FOLDER / name).read_bytes()
    assert answer.headers["cache-control"] == "no-cache"
    again = world.client.get(path, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert world.client.head(path).headers["etag"] == answer.headers["etag"]
    assert world.client.post(path).status_code == 405


def test_nothing_else_of_the_folder_is_served(world: World) -> None:
    assert {path.name for path in FOLDER.iterdir()} == {name for name, _ in FILES.values()}
    for path in (
        "/page",
        "/page/",
        "/page/index.html",
        "/page/../main.py",
        "/page/%2e%2e/main.py",
        "/page/page.js.map",
    ):
        assert world.client.get(path, follow_redirects=False).status_code == 404, path


def test_the_page_may_load_its_own_files_and_everything_else_nothing(world: World) -> None:
    policy = world.client.get("/").headers["content-security-policy"]
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert allowed.pop("default-src") == "'none'"
    assert {allowed.pop(name) for name in ("script-src", "style-src", "img-src", "connect-src")} == {"'self'"}
    assert {allowed.pop(name) for name in ("base-uri", "form-action", "frame-ancestors")} == {"'none'"}
    assert allowed == {"require-trusted-types-for": "'script'", "trusted-types": "'none'"}
    for path in ("/page/page.js", "/v1/tables", "/livez", "/nothing", "/v1/openapi.json"):
        assert world.client.get(path).headers.get_list("content-security-policy") == [CLOSED], path
    assert world.client.get("/").headers["x-frame-options"] == "DENY"


def test_no_script_or_style_is_inline_and_no_address_is_elsewhere(
    elements: list[tuple[str, dict[str, str | None]]],
) -> None:
    assert Elements((FOLDER / "index.html").read_text(encoding="utf-8")).inline == ""
    loaded = [value for _, given in elements for name, value in given.items() if name in ("src", "href")]
    assert all(value and not urlsplit(value).netloc and not value.startswith("/") for value in loaded)
    named = {name for _, given in elements for name in given}
    assert not {name for name in named if name.startswith("on") or name == "style"}
    for name, _ in FILES.values():
        text = (FOLDER / name).read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z0-9]+\.[a-z]|@import|url\(", text), name


def test_data_becomes_text_and_never_markup() -> None:
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    for wrong in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function",
                  "localStorage", "document.cookie", "indexedDB"):  # fmt: skip
        assert wrong not in script


def test_every_field_has_a_label_and_results_are_announced(elements: list[tuple[str, dict[str, str | None]]]) -> None:
    labelled = {given["for"] for tag, given in elements if tag == "label" and "for" in given}
    for tag, given in elements:
        if tag == "input" and given["type"] != "radio":
            assert given["id"] in labelled
        # The order of the focus is the order of the page.
        assert given.get("tabindex") in (None, "0", "-1")
    by_id = {given["id"]: given for _, given in elements if given.get("id")}
    assert (by_id["status"]["role"], by_id["problem"]["role"]) == ("status", "alert")
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    assert set(re.findall(r'(?<!\.)\bget\("([\w-]+)"\)', script)) <= by_id.keys()


def test_the_page_shows_only_columns_that_there_are(world: World) -> None:
    script = (FOLDER / "page.js").read_text(encoding="utf-8")
    groups = script[script.index("const GROUPS") : script.index("const MOST_ORDERS")]
    named = set(re.findall(r'"([a-z_]+)"', groups))
    assert len(named) > 50
    assert named <= world.customers[0].keys()
