"""A call as data, and what every call of a client has in common."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PURPOSE = "c360-purpose"


@dataclass(frozen=True)
class Call:
    """One operation with its arguments; those that are None are not sent.

    ``path`` has the names of ``values`` in braces. ``repeatable`` says that asking twice does no more than once.
    """

    method: str
    path: str
    values: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, object] = field(default_factory=dict)
    body: Mapping[str, object] | None = None
    repeatable: bool = True

    @property
    def target(self) -> str:
        """The path with its values. Raises ValueError for a value that would make another path of it."""
        for name, value in self.values.items():
            if value in {"", ".", ".."}:
                raise ValueError(f"{name} is empty or a dot, and names nothing")
        return self.path.format_map({name: quote(value, safe="") for name, value in self.values.items()})

    @property
    def parameters(self) -> dict[str, str]:
        """The query as text. Raises ValueError for a moment without a time zone."""
        return {name: _text(name, value) for name, value in self.query.items() if value is not None}

    @property
    def content(self) -> dict[str, object] | None:
        """The body for JSON."""
        return None if self.body is None else {name: each for name, each in self.body.items() if each is not None}

    @property
    def cursor(self) -> str | None:
        """The cursor to begin from."""
        found = self.query.get("cursor")
        return None if found is None else str(found)

    def after(self, cursor: str | None) -> Call:
        """The same for the page that a cursor names."""
        return replace(self, query={**self.query, "cursor": cursor})


def _text(name: str, value: object) -> str:
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError(f"{name} has no time zone, as datetime.now(UTC) has")
    if isinstance(value, date):
        return value.isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)


class Setup:
    """Where a client asks, and as whom. Its credential is in no text about it.

    Raises ValueError unless there is an http(s) address and exactly one of ``key`` and ``token``. A ``token`` that is a
    function is called for each attempt, so that it may be renewed.
    """

    def __init__(
        self, base_url: str, key: str | None, token: str | Callable[[], str] | None, purpose: str | None
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.username is not None:
            raise ValueError("base_url is the API's address without credentials, such as https://c360.example.com")
        if bool(key) == bool(token):
            raise ValueError("give either key or token")
        self.base_url = base_url.rstrip("/")
        self._key, self._token, self._purpose = key, token, purpose

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"

    def credential(self) -> str:
        """The key or the token, for the next attempt."""
        if self._key is not None:
            return self._key
        return self._token() if callable(self._token) else str(self._token)

    def headers(self, credential: str, etag: str | None) -> dict[str, str]:
        """The headers of a request; ``etag`` is that of the answer held from before."""
        found = {"user-agent": "c360-client"}
        found |= {"x-api-key": credential} if self._key is not None else {"authorization": f"Bearer {credential}"}
        found |= {PURPOSE: self._purpose} if self._purpose is not None else {}
        return found | ({"if-none-match": etag} if etag is not None else {})


@dataclass(frozen=True)
class Held:
    """The body of an answer and its ETag."""

    etag: str
    body: bytes


class Memory:
    """The last ``most`` answers that have an ETag, by what was asked."""

    def __init__(self, most: int) -> None:
        self._most, self._held, self._lock = most, OrderedDict[str, Held](), threading.Lock()

    def get(self, call: Call) -> Held | None:
        """The answer to this call, if it is held."""
        return self._held.get(self._name(call)) if self._most and call.method == "GET" else None

    def put(self, call: Call, etag: str | None, body: bytes) -> None:
        """Hold an answer in place of the one before."""
        if not self._most or etag is None or call.method != "GET":
            return
        with self._lock:
            self._held.pop(self._name(call), None)
            self._held[self._name(call)] = Held(etag, body)
            while len(self._held) > self._most:
                self._held.popitem(last=False)

    @staticmethod
    def _name(call: Call) -> str:
        return f"{call.target} {sorted(call.parameters.items())}"
