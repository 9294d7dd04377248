"""One customer: the 360, and what belongs to it, now or as of a moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from api.asking import Asking, Row, may
from api.describing import AsOf, answers, as_documented
from api.paging import Cursor, Limit, page
from api.security.decision import View
from api.security.policy import Action
from api.serving.source import ReleaseSource
from c360.segments import segment_history
from c360.serving.model import Kind

router = APIRouter(prefix="/customers", tags=["customers"])
CustomerId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Identifier of the customer.")]
Reader = Annotated[Asking, may(Action.READ_CUSTOMER)]
PARTS: dict[str, tuple[Kind, str]] = {
    "orders": ("orders", "Orders, newest first."),
    "deliveries": ("deliveries", "Shipments, newest first."),
    "events": ("events", "What the customer did on the web, newest first."),
    "alerts": ("alerts", "Orders out of the ordinary, newest first."),
    "consents": ("consents", "Consents given and withdrawn, newest first."),
    "profile-history": ("versions", "Versions of the profile, newest first."),
}
TIMES: tuple[tuple[Kind, str], ...] = (
    ("orders", "ordered_at"),
    ("deliveries", "shipped_at"),
    ("events", "event_timestamp"),
    ("consents", "updated_at"),
    ("alerts", "raised_at"),
)
"""Of the timeline: what happened, and the column that says when."""


@router.get("/{customer_id}", responses=answers("customer"))
async def get_customer(customer_id: CustomerId, asking: Reader, as_of: AsOf = None) -> Response:
    """Everything known about a customer, in one row."""
    as_documented(as_of)
    return await one_customer(asking, customer_id)


async def one_customer(asking: Asking, customer_id: str) -> Response:
    """The customer's row; :mod:`api.direct` comes here too."""
    source = await asking.source()
    row, view = await asking.customer(source, customer_id, "customer")
    shown = asking.state.presenting.show("customer", view)(row)
    return asking.answer(shown, source, view.id, "customer", (customer_id,))


@router.get("/{customer_id}/timeline", responses=answers("timeline", many=True))
async def get_customer_timeline(
    customer_id: CustomerId, asking: Reader, as_of: AsOf = None, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Orders, deliveries, events, consents and alerts in one stream, newest first."""

    async def happened(source: ReleaseSource, view: View) -> list[Row]:
        found = {kind: await asking.read(source, source.many, kind, customer_id) for kind, _ in TIMES}
        shown = {kind: asking.state.presenting.rows(kind, view, records) for kind, records in found.items()}
        return [{"at": at, "kind": kind, "record": record} for at, kind, record in in_order(found, shown)]

    as_documented(as_of)
    return await _list(asking, customer_id, "timeline", limit, cursor, happened)


@router.get("/{customer_id}/segment-history", responses=answers("spell", many=True))
async def get_customer_segment_history(
    customer_id: CustomerId, asking: Reader, as_of: AsOf = None, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Segments that the customer went through, newest first, by the orders that the release knows."""

    async def spells(source: ReleaseSource, _: View) -> list[Row]:
        orders = await asking.read(source, source.many, "orders", customer_id)
        placed = ((datetime.fromisoformat(row["ordered_at"]), Decimal(row["net_amount"])) for row in orders)
        return [asdict(spell) for spell in segment_history(placed, source.as_of)]

    as_documented(as_of)
    return await _list(asking, customer_id, "segment-history", limit, cursor, spells)


def in_order(
    found: Mapping[Kind, list[Row]], shown: Mapping[Kind, list[Row]] | None = None
) -> list[tuple[str | None, Kind, Row]]:
    """When, what and the record of all that happened, newest first; records as in ``shown``, if it is given."""
    every: list[tuple[str | None, Kind, Row]] = []
    for kind, when in TIMES:
        rows = zip(found[kind], (shown or found)[kind], strict=True)
        every += [(record[when], kind, row) for record, row in rows]
    return sorted(every, key=lambda each: (each[0] or "", each[1]), reverse=True)


def _add(path: str, kind: Kind, says: str) -> None:
    async def get_part(
        customer_id: CustomerId, asking: Reader, as_of: AsOf = None, limit: Limit = 50, cursor: Cursor = None
    ) -> Response:
        async def records(source: ReleaseSource, view: View) -> list[Row]:
            found = await asking.read(source, source.many, kind, customer_id)
            return asking.state.presenting.rows(kind, view, found)

        as_documented(as_of)
        return await _list(asking, customer_id, path, limit, cursor, records)

    router.add_api_route(
        f"/{{customer_id}}/{path}",
        get_part,
        methods=["GET"],
        name=f"get_customer_{path.replace('-', '_')}",
        description=says,
        responses=answers(kind, many=True),
    )


for _path, (_kind, _says) in PARTS.items():
    _add(_path, _kind, _says)


async def _list(
    asking: Asking, customer_id: str, part: str, limit: int, cursor: str | None, read: Callable[..., Any]
) -> Response:
    source, after = await asking.resumed(cursor, f"{part}/{customer_id}")
    _, view = await asking.customer(source, customer_id, part)
    items, following = page(await read(source, view), int(after or 0), limit)
    onward = None if following is None else asking.cursor(source, f"{part}/{customer_id}", str(following))
    return asking.answer(items, source, view.id, part, (customer_id,), next=onward)
