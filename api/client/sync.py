"""How a call is made, tried again and read, by a client that waits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import httpx2

from api.client.answers import Lines, Listing, arrow_reader, parsed
from api.client.call import Memory, Setup
from api.client.errors import ClientError, UnreachableError, refusal, unreachable
from api.client.retrying import Attempts, Patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pyarrow as pa

    from api.client.call import Call, Held

T = TypeVar("T")
Page = TypeVar("Page", bound="Mapping[str, Any]")
if TYPE_CHECKING:
    Use = Callable[[httpx2.Response, Attempts], T]


class Caller:
    """The API at ``base_url``, asked with a ``key`` or a ``token`` (or a function that gives the current one).

    Each wait on the network ends after ``timeout`` seconds. Calls that only read are tried again up to ``retries``
    times where the connection fails or the API answers 429, 502, 503 or 504, as long as ``total`` seconds allow it.
    ``purpose`` is what requests state that they are for. ``remember`` answers are held in memory and asked for with
    their ETag, so that what has not changed is not sent again. ``http`` is an HTTP client to use, with its own proxies
    and certificates; it is not closed. May be used by several threads.

    Calls raise ApiError where the API refuses, and UnreachableError where no whole answer comes.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        token: str | Callable[[], str] | None = None,
        purpose: str | None = None,
        timeout: float = 30,
        retries: int = 4,
        total: float = 60,
        remember: int = 0,
        http: httpx2.Client | None = None,
    ) -> None:
        self._setup, self._patience = Setup(base_url, key, token, purpose), Patience(timeout, retries, total)
        self._memory = Memory(remember)
        self._own = httpx2.Client() if http is None else None
        self._http = http or cast("httpx2.Client", self._own)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._setup.base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._own is not None:
            self._own.close()

    def _answer(self, _kind: type[T], call: Call) -> T:
        held = self._memory.get(call)

        def whole(response: httpx2.Response, attempts: Attempts) -> bytes:
            if held is not None and response.status_code == 304:
                response.close()
                return held.body
            body = _read(response, attempts)
            self._memory.put(call, response.headers.get("etag"), body)
            return body

        return cast("T", parsed(self._send(call, whole, held)))

    def _listing(self, _item: type[T], page: type[Page], call: Call) -> Listing[T, Page]:
        return Listing(lambda after: self._answer(page, call.after(after)), call.cursor)

    def _chunks(self, call: Call) -> Iterator[bytes]:
        """The body as it comes. Once it has begun, it is not tried again."""
        failed: UnreachableError | None = None
        response = self._send(call, lambda response, _: response)
        try:
            yield from response.iter_bytes()
        except httpx2.RequestError as error:
            failed = unreachable(error)
        finally:
            response.close()
        if failed is not None:
            raise failed

    def _rows(self, _kind: type[T], call: Call) -> Iterator[T]:
        lines = Lines()
        for chunk in self._chunks(call):
            yield from lines.rows(chunk)
        lines.end()

    def _arrow(self, call: Call) -> pa.RecordBatchReader:
        return arrow_reader(self._chunks(call))

    def _send(self, call: Call, use: Use[T], held: Held | None = None) -> T:
        """What ``use`` makes of the answer, whose body is still to be read."""
        attempts = Attempts(self._patience, repeatable=call.repeatable)
        while True:
            try:
                return self._try(call, use, held, attempts)
            except ClientError as error:
                pause = attempts.pause_s(error)
            time.sleep(pause)

    def _try(self, call: Call, use: Use[T], held: Held | None, attempts: Attempts) -> T:
        credential = self._setup.credential()
        request = self._http.build_request(
            call.method,
            self._setup.base_url + call.target,
            params=call.parameters,
            json=call.content,
            headers=self._setup.headers(credential, held.etag if held else None),
            timeout=attempts.timeout_s,
        )
        try:
            response = self._http.send(request, stream=True, follow_redirects=False)
            if response.status_code == 200 or (held is not None and response.status_code == 304):
                return use(response, attempts)
            body = _read(response, attempts)
        except httpx2.RequestError as error:
            failed = unreachable(error)
        else:
            raise refusal(response.status_code, response.headers, body, time.time(), credential)
        # Raised here, so that it does not carry the other error, whose request has the credential.
        raise failed


def _read(response: httpx2.Response, attempts: Attempts) -> bytes:
    """The whole body, and the connection free again. Raises UnreachableError where that takes too long in total."""
    parts = []
    try:
        for chunk in response.iter_bytes():
            parts.append(chunk)
            if attempts.left_s <= 0:
                raise UnreachableError("No whole answer within the time that calls may take in total")
    finally:
        response.close()
    return b"".join(parts)
