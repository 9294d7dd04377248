"""As :mod:`api.client.sync`, for programs that go on while they wait."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

import httpx2

from api.client.answers import AsyncListing, Lines, parsed
from api.client.call import Memory, Setup
from api.client.errors import ClientError, UnreachableError, refusal, unreachable
from api.client.retrying import Attempts, Patience

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from api.client.call import Call, Held

T = TypeVar("T")
Page = TypeVar("Page", bound="Mapping[str, Any]")
if TYPE_CHECKING:
    Use = Callable[[httpx2.Response, Attempts], Awaitable[T]]


class AsyncCaller:
    """As :class:`api.client.sync.Caller`, in an event loop of asyncio."""

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
        http: httpx2.AsyncClient | None = None,
    ) -> None:
        self._setup, self._patience = Setup(base_url, key, token, purpose), Patience(timeout, retries, total)
        self._memory = Memory(remember)
        self._own = httpx2.AsyncClient() if http is None else None
        self._http = http or cast("httpx2.AsyncClient", self._own)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._setup.base_url!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._own is not None:
            await self._own.aclose()

    async def _answer(self, _kind: type[T], call: Call) -> T:
        held = self._memory.get(call)

        async def whole(response: httpx2.Response, attempts: Attempts) -> bytes:
            if held is not None and response.status_code == 304:
                await response.aclose()
                return held.body
            body = await _read(response, attempts)
            self._memory.put(call, response.headers.get("etag"), body)
            return body

        return cast("T", parsed(await self._send(call, whole, held)))

    def _listing(self, _item: type[T], page: type[Page], call: Call) -> AsyncListing[T, Page]:
        return AsyncListing(lambda after: self._answer(page, call.after(after)), call.cursor)

    async def _chunks(self, call: Call) -> AsyncIterator[bytes]:
        """The body as it comes. Once it has begun, it is not tried again."""
        failed: UnreachableError | None = None
        response = await self._send(call, _begun)
        try:
            async for chunk in response.aiter_bytes():
                yield chunk
        except httpx2.RequestError as error:
            failed = unreachable(error)
        finally:
            await response.aclose()
        if failed is not None:
            raise failed

    async def _rows(self, _kind: type[T], call: Call) -> AsyncIterator[T]:
        lines = Lines()
        async for chunk in self._chunks(call):
            for row in lines.rows(chunk):
                yield row
        lines.end()

    async def _send(self, call: Call, use: Use[T], held: Held | None = None) -> T:
        """What ``use`` makes of the answer, whose body is still to be read."""
        attempts = Attempts(self._patience, repeatable=call.repeatable)
        while True:
            try:
                return await self._try(call, use, held, attempts)
            except ClientError as error:
                pause = attempts.pause_s(error)
            await asyncio.sleep(pause)

    async def _try(
        self,
        call: Call,
        use: Use[T],
        held: Held | None,
        attempts: Attempts,
    ) -> T:
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
            response = await self._http.send(request, stream=True, follow_redirects=False)
            if response.status_code == 200 or (held is not None and response.status_code == 304):
                return await use(response, attempts)
            body = await _read(response, attempts)
        except httpx2.RequestError as error:
            failed = unreachable(error)
        else:
            raise refusal(response.status_code, response.headers, body, time.time(), credential)
        # Raised here, so that it does not carry the other error, whose request has the credential.
        raise failed


async def _begun(response: httpx2.Response, _: Attempts) -> httpx2.Response:
    return response


async def _read(response: httpx2.Response, attempts: Attempts) -> bytes:
    """The whole body, and the connection free again. Raises UnreachableError where that takes too long in total."""
    parts = []
    try:
        async for chunk in response.aiter_bytes():
            parts.append(chunk)
            if attempts.left_s <= 0:
                raise UnreachableError("No whole answer within the time that calls may take in total")
    finally:
        await response.aclose()
    return b"".join(parts)
