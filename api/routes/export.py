"""Customers in bulk, as lines of JSON or as an Arrow stream, each part on record before it leaves."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import anyio.to_thread
import orjson
import pyarrow as pa
from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from api.asking import Asking, Row, may
from api.describing import ref, refusals
from api.presenting import arrow_schema
from api.problem import ProblemError
from api.routes.search import Filters, fitting, visible
from api.security.policy import Action
from api.serving.source import IndexSource

router = APIRouter(tags=["customers"])
PART = 1_000
NDJSON, ARROW = "application/x-ndjson", "application/vnd.apache.arrow.stream"
_SAYS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "All customers that fit and may be seen, by id: a schema's object on each line, or in each row.",
        "content": {
            NDJSON: {"x-item": ref("ExportedCustomer"), "x-chosen-by": {"format": "ndjson"}},
            ARROW: {"x-item": ref("ExportedCustomer"), "x-chosen-by": {"format": "arrow"}},
        },
    }
}


class Wanted(Filters):
    """Filters as of a search, without pages."""

    format: Literal["ndjson", "arrow"] = "ndjson"


@router.get("/customers/export", responses=_SAYS | refusals(), response_class=StreamingResponse)
async def export_customers(
    wanted: Annotated[Wanted, Query()], asking: Annotated[Asking, may(Action.EXPORT_CUSTOMERS)]
) -> StreamingResponse:
    """Every customer that fits all filters, of one release. The stream is whole if its last line, or batch, is."""
    source = await asking.source()
    if not isinstance(source, IndexSource):
        raise ProblemError(404, "no_index_then", "Of that moment single customers can be read, but not exported.")
    parts = _parts(asking, source, wanted)
    # What cannot be put on record is refused, and not begun.
    first: list[Row] = await anyio.to_thread.run_sync(next, parts, [])
    media, lines = (NDJSON, _ndjson) if wanted.format == "ndjson" else (ARROW, _arrow)
    headers = {"c360-release": source.id, "cache-control": "no-store"}
    return StreamingResponse(lines(first, parts), media_type=media, headers=headers)


def _parts(asking: Asking, source: IndexSource, wanted: Filters) -> Iterator[list[Row]]:
    """What may be seen, a part at a time, each recorded."""
    last = ""
    while found := fitting(asking, source, wanted, last, PART):
        last = found[-1]
        shown, ids, views = visible(asking, source, found)
        asking.note("permitted", "export", ids, views)
        yield shown


def _ndjson(first: list[Row], parts: Iterator[list[Row]]) -> Iterator[bytes]:
    for part in _all(first, parts):
        yield b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in part)


def _arrow(first: list[Row], parts: Iterator[list[Row]]) -> Iterator[bytes]:
    schema, sink = arrow_schema("customer"), io.BytesIO()
    # Masked and tokenised, a value of any type is text; such columns are text for everybody.
    text = {field.name for field in schema if pa.types.is_string(field.type)}
    with pa.ipc.new_stream(sink, schema) as writer:
        for part in _all(first, parts):
            writer.write_batch(pa.RecordBatch.from_pylist([_texts(row, text) for row in part], schema=schema))
            yield sink.getvalue()
            sink.seek(0)
            sink.truncate()
    yield sink.getvalue()


def _all(first: list[Row], parts: Iterator[list[Row]]) -> Iterator[list[Row]]:
    yield first
    yield from parts


def _texts(row: Row, text: set[str]) -> Row:
    return {name: value if value is None or name not in text else str(value) for name, value in row.items()}
