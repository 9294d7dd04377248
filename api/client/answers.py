"""From bytes to answers: lists page by page, lines of JSON, Arrow streams."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from api.client.errors import ApiError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

    import pyarrow as pa

Item = TypeVar("Item")
Page = TypeVar("Page", bound="Mapping[str, Any]")


class Listing(Generic[Item, Page]):
    """A list, asked for page by page as it is iterated; every page is of the release of the first.

    Raises CursorExpiredError where that release is removed meanwhile. Iterated again it is asked for again.
    """

    def __init__(self, fetch: Callable[[str | None], Page], cursor: str | None) -> None:
        self._fetch, self._cursor = fetch, cursor

    def __iter__(self) -> Iterator[Item]:
        """All items."""
        for page in self.pages():
            yield from cast("list[Item]", page["data"])

    def pages(self) -> Iterator[Page]:
        """The answers as they come: ``data``, ``release``, and as ``next`` the cursor to go on from later."""
        cursor = self._cursor
        while True:
            page = self._fetch(cursor)
            yield page
            cursor = page["next"]
            if cursor is None:
                return


class AsyncListing(Generic[Item, Page]):
    """As :class:`Listing`."""

    def __init__(self, fetch: Callable[[str | None], Awaitable[Page]], cursor: str | None) -> None:
        self._fetch, self._cursor = fetch, cursor

    async def __aiter__(self) -> AsyncIterator[Item]:
        """All items."""
        async for page in self.pages():
            for item in cast("list[Item]", page["data"]):
                yield item

    async def pages(self) -> AsyncIterator[Page]:
        """As :meth:`Listing.pages`."""
        cursor = self._cursor
        while True:
            page = await self._fetch(cursor)
            yield page
            cursor = page["next"]
            if cursor is None:
                return


def parsed(body: bytes) -> Any:
    """The JSON of an answer. Raises ApiError where it is none."""
    try:
        return json.loads(body)
    except ValueError:
        raise ApiError(200, "not_json", "The answer does not come from the API.") from None


class Lines:
    """Rows from chunks of lines of JSON, which may be cut anywhere."""

    def __init__(self) -> None:
        self._rest = b""

    def rows(self, chunk: bytes) -> list[Any]:
        """The rows that end within this chunk."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        return [parsed(line) for line in whole]

    def end(self) -> None:
        """Raises UnreachableError if the last line was cut."""
        if self._rest:
            raise UnreachableError("The stream broke off within a line; begin it again")


class _Chunks(io.RawIOBase):
    """A file that is read once, from chunks."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def arrow_reader(chunks: Iterator[bytes]) -> pa.RecordBatchReader:
    """Reads batches as they arrive. Needs pyarrow."""
    import pyarrow as pa

    return pa.ipc.open_stream(io.BufferedReader(_Chunks(chunks)))
