"""What is nobody's: products, figures over time, segments, tables and releases."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Path, Query, Response

from api.asking import Asking, Row, may
from api.describing import AsOf, answers, as_documented
from api.paging import Cursor, Limit
from api.problem import ProblemError, not_found
from api.security.policy import Action
from api.serving.source import IndexSource, ReleaseSource
from c360.serving.model import Kind

router = APIRouter()
MOST_DAYS: dict[Kind, int] = {"sales": 366, "delivery": 3660}
ProductId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Products = Annotated[Asking, may(Action.READ_PRODUCTS)]
Metrics = Annotated[Asking, may(Action.READ_METRICS)]
Tables = Annotated[Asking, may(Action.READ_TABLES)]


@router.get("/products", tags=["products"], responses=answers("product", many=True))
async def list_products(asking: Products, as_of: AsOf = None, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Products with their performance, by id."""
    as_documented(as_of)
    return await _listed(asking, "product", limit, cursor)


@router.get("/products/{product_id}", tags=["products"], responses=answers("product"))
async def get_product(product_id: ProductId, asking: Products, as_of: AsOf = None) -> Response:
    """A product and its performance."""
    as_documented(as_of)
    return await _one_product(asking, "product", product_id)


@router.get("/inventory", tags=["products"], responses=answers("inventory", many=True))
async def list_inventory(asking: Products, as_of: AsOf = None, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """How long the stock of each product lasts, by id of the product."""
    as_documented(as_of)
    return await _listed(asking, "inventory", limit, cursor)


@router.get("/products/{product_id}/inventory", tags=["products"], responses=answers("inventory"))
async def get_product_inventory(product_id: ProductId, asking: Products, as_of: AsOf = None) -> Response:
    """How long the stock of a product lasts, and how much to order again."""
    as_documented(as_of)
    return await _one_product(asking, "inventory", product_id)


@router.get("/metrics/sales", tags=["metrics"], responses=answers("sales", many=True))
async def get_sales_metrics(
    asking: Metrics,
    start: Annotated[date, Query(description="First day.")],
    end: Annotated[date, Query(description="Last day.")],
    as_of: AsOf = None,
) -> Response:
    """Sales by day, channel and country."""
    as_documented(as_of)
    return await _over_time(asking, "sales", start, end)


@router.get("/metrics/deliveries", tags=["metrics"], responses=answers("delivery", many=True))
async def get_delivery_metrics(
    asking: Metrics,
    start: Annotated[date, Query(description="A day of the first month.")],
    end: Annotated[date, Query(description="A day of the last month.")],
    as_of: AsOf = None,
) -> Response:
    """Deliveries by month, carrier, service and country."""
    as_documented(as_of)
    return await _over_time(asking, "delivery", start.replace(day=1), end)


@router.get("/segments", tags=["metrics"], responses=answers("segment", many=True))
async def list_segments(asking: Metrics, as_of: AsOf = None) -> Response:
    """Segments and how many customers they have."""
    as_documented(as_of)
    source = _indexed(await asking.source())
    where, values = asking.decision.conditions.where()
    rows = source.index.select(
        f"SELECT segment, count(*) FROM customer WHERE {where} GROUP BY segment ORDER BY segment", values
    )
    return asking.answer([{"segment": row[0], "customers": row[1]} for row in rows], source, "", "segments", next=None)


@router.get("/tables", tags=["operations"], responses=answers("table", many=True))
async def list_tables(asking: Tables) -> Response:
    """The tables that the answers come from: snapshot, rows and when they were published."""
    source = asking.state.serving.now()
    tables = await anyio.to_thread.run_sync(_tables, source)
    return asking.answer(tables, source, "", "tables", next=None)


@router.get("/releases", tags=["operations"], responses=answers("release", many=True))
async def list_releases(asking: Tables) -> Response:
    """Releases that are kept as an index, newest first."""
    source = asking.state.serving.now()
    found = await anyio.to_thread.run_sync(asking.state.serving.kept)
    return asking.answer(found, source, "", "releases", next=None)


def _tables(source: IndexSource) -> list[Row]:
    manifest = source.index.manifest
    age = (datetime.now(UTC) - source.published_at).total_seconds()
    return [
        {"table": table, "snapshot": snapshot, "published_at": source.published_at, "age_s": round(age)}
        for table, snapshot in manifest.snapshots.items()
    ]


def _indexed(source: ReleaseSource) -> IndexSource:
    if isinstance(source, IndexSource):
        return source
    raise not_found("index of that moment")


async def _one_product(asking: Asking, kind: Kind, product_id: str) -> Response:
    source = await asking.source()
    row = await asking.read(source, source.one, kind, product_id)
    if row is None:
        raise not_found("product")
    view = asking.decision.always
    return asking.answer(asking.state.presenting.show(kind, view)(row), source, view.id, kind)


async def _listed(asking: Asking, kind: Kind, limit: int, cursor: str | None) -> Response:
    resumed, after = await asking.resumed(cursor, kind)
    found = _indexed(resumed)
    rows = found.index.rows(kind, after=after, most=limit + 1)
    view = asking.decision.always
    items = asking.state.presenting.rows(kind, view, [row for _, row in rows[:limit]])
    onward = asking.cursor(found, kind, rows[limit - 1][0]) if len(rows) > limit else None
    return asking.answer(items, found, view.id, kind, next=onward)


async def _over_time(asking: Asking, kind: Kind, start: date, end: date) -> Response:
    source = _indexed(await asking.source())
    within = records_within(source, kind, start, end)
    view = asking.decision.always
    items = asking.state.presenting.rows(kind, view, within)
    return asking.answer(items, source, view.id, kind, next=None)


def records_within(source: IndexSource, kind: Kind, start: date, end: date) -> list[Row]:
    """Records of sales by day or of deliveries by month, from the first to the last day.

    Raises ProblemError 422 for more days than :data:`MOST_DAYS` has for the kind.
    """
    if (end - start).days > MOST_DAYS[kind]:
        raise ProblemError(422, "too_long", f"Ask for at most {MOST_DAYS[kind]} days at once.")
    within = source.index.between(kind, start.isoformat(), end.isoformat())
    return [record for _, records in within for record in records]
