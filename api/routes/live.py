"""What the streams say this moment, on top of the release; without streams the release answers, and says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import anyio.to_thread
import orjson
from fastapi import APIRouter, Query, Response

from api.asking import Asking, Row, may
from api.describing import answers, ref
from api.problem import not_found
from api.routes.catalogue import ProductId, Products
from api.routes.customers import CustomerId, Reader
from api.security.policy import Action
from api.serving.features import ALERTS, INVENTORY, SALES, SEGMENTS, told
from c360.live.parts import PARTS, TIMESTAMP, columns

if TYPE_CHECKING:
    from api.security.decision import View
    from api.serving.source import IndexSource
    from c360.live.parts import Value
    from c360.serving.model import Kind

router = APIRouter()
EVENT = tuple(column.name for column in columns("raw-events") if column.name != "user_id")
FROM_RELEASE: dict[str, tuple[Kind, str, dict[str, str]]] = {
    "last_event": ("events", "event_timestamp", {name: name for name in EVENT}),
    "last_purchase": ("orders", "ordered_at", {"order_id": "order_id", "ordered_at": "ordered_at"}),
}
"""Parts of which the release knows the newest, too: the kind of document, its time, and field → column."""
LIVE = answers("live", name="LiveAnswer", live=ref("Liveness"))
METRICS = answers("window", many=True, live=ref("Liveness"), sales=ref("LiveSales"))
STOCK = answers("live_inventory", name="LiveInventoryAnswer", live=ref("Liveness"))
FROM_STREAM: dict[str, dict[str, str]] = {
    "last_event": {name: name for name in EVENT},
    "last_purchase": {"order_id": "order_id", "ordered_at": "event_timestamp"},
    "last_payment": {c.name: c.name for c in columns("raw-transactions") if c.name != "account_id"},
}


@router.get("/customers/{customer_id}/live", tags=["customers"], responses=LIVE)
async def get_customer_live(customer_id: CustomerId, asking: Reader) -> Response:
    """The newest event, purchase and payment, each with its own time; segment and active alerts of the streams."""
    source = asking.state.serving.now()
    row, view = await asking.customer(source, customer_id, "live")
    liveness, values = asking.state.live.read(customer_id)
    parts: Row = {"segment": _part("release", source.as_of.strftime(TIMESTAMP), {"segment": row["segment"]})}
    for part in PARTS:
        found = _released(asking, source, part.name, customer_id, view)
        value = values.get(part.name)
        streamed = None if value is None else _streamed(asking, value, part.topic, view)
        newer = streamed is not None and (found is None or streamed["event_time"] >= found["event_time"])
        parts[part.name] = streamed if newer else found
    stored, known = await asking.state.features.customer(customer_id)
    features: Row = {
        **told(stored),
        "segment": None if known.segment is None else _feature(asking, SEGMENTS, view, [known.segment])[0],
        "alerts": _feature(asking, ALERTS, view, known.alerts),
    }
    data = {"customer_id": customer_id, "parts": parts, "features": features}
    return asking.answer_now(data, source, view.id, "live", (customer_id,), live=told(liveness))


@router.get("/metrics/live", tags=["metrics"], responses=METRICS)
async def get_live_metrics(
    asking: Annotated[Asking, may(Action.READ_METRICS)],
    hours: Annotated[int, Query(ge=1, le=24, description="How far back from now.")] = 1,
) -> Response:
    """Counts, sums and averages of the streams' closed windows of five minutes, newest first; sales by the hour."""
    source, view = asking.state.serving.now(), asking.decision.always
    windows, live = await anyio.to_thread.run_sync(asking.state.windows.newest, hours)
    stored, rows = await asking.state.features.sales(hours)
    sales = {**told(stored), "windows": _feature(asking, SALES, view, rows)}
    return asking.answer_now(windows, source, view.id, "live", next=None, live=live, sales=sales)


@router.get("/products/{product_id}/inventory/live", tags=["products"], responses=STOCK)
async def get_product_inventory_live(product_id: ProductId, asking: Products) -> Response:
    """How long the stock of a product lasts by what the streams know this moment; null while they know nothing."""
    source, view = asking.state.serving.now(), asking.decision.always
    if source.one("product", product_id) is None:
        raise not_found("product")
    stored, row = await asking.state.features.inventory(product_id)
    data = None if row is None else _feature(asking, INVENTORY, view, [row])[0]
    return asking.answer_now(data, source, view.id, "live", live=told(stored))


def _released(asking: Asking, source: IndexSource, part: str, customer_id: str, view: View) -> Row | None:
    if part not in FROM_RELEASE:
        return None
    kind, when, fields = FROM_RELEASE[part]
    newest = next((row for row in source.many(kind, customer_id) if row[when] is not None), None)
    if newest is None:
        return None
    shown = asking.state.presenting.show(kind, view)(newest)
    return _part("release", newest[when], _fields(shown, fields))


def _streamed(asking: Asking, value: Value, topic: str, view: View) -> Row:
    record = orjson.loads(value.body)
    shown = asking.state.presenting.show_event(topic, view)(record)
    return _part("stream", record["event_timestamp"], _fields(shown, FROM_STREAM[value.part]))


def _fields(row: Row, fields: dict[str, str]) -> Row:
    return {field: row[column] for field, column in fields.items() if column in row}


def _part(source: str, at: Any, record: Row) -> Row:
    return {"source": source, "event_time": at, "record": record}


def _feature(asking: Asking, name: str, view: View, rows: list[Row]) -> list[Row]:
    columns = asking.state.features.reader.tables[name].columns if rows else ()
    return [asking.state.presenting.show_feature(name, columns, view)(row) for row in rows]
