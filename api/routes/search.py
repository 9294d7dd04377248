"""Several customers: search by filters, look-up by e-mail or telephone, many ids at once, members of a segment."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.asking import Asking, Row, may
from api.describing import REPEATABLE, TEXTS, AsOf, answers, as_documented
from api.paging import Cursor, Limit
from api.problem import ProblemError
from api.security.policy import Action
from api.serving.source import IndexSource, ReleaseSource
from c360.privacy.keyed import lookup_hash, normalise

router = APIRouter(tags=["customers"])
Searcher = Annotated[Asking, may(Action.SEARCH_CUSTOMERS)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
MOST_IDS = 500


class Filters(BaseModel):
    """What a search may ask for; what is not given admits everything."""

    model_config = ConfigDict(extra="forbid")

    segment: str | None = Field(default=None, max_length=40)
    loyalty_tier: str | None = Field(default=None, max_length=40)
    country_code: str | None = Field(default=None, pattern="^[A-Z]{2}$")
    region: str | None = Field(default=None, max_length=100)
    risk_level: str | None = Field(default=None, max_length=40)
    language: str | None = Field(default=None, max_length=10)
    acquisition_channel: str | None = Field(default=None, max_length=40)
    min_orders: int | None = Field(default=None, ge=0, le=10**9)
    min_revenue: float | None = Field(default=None, ge=0, le=10**12)
    max_recency_days: int | None = Field(default=None, ge=0, le=10**6)
    as_of: AsOf = None

    def where(self) -> tuple[list[str], list[Any]]:
        """Conditions in SQL and what is bound to them."""
        same = ("segment", "loyalty_tier", "country_code", "region", "risk_level", "language", "acquisition_channel")
        bounds = {"min_orders": "orders >=", "min_revenue": "revenue_amount >=", "max_recency_days": "recency_days <="}
        wanted = {f"{name} =": getattr(self, name) for name in same}
        wanted |= {condition: getattr(self, name) for name, condition in bounds.items()}
        found = {condition: value for condition, value in wanted.items() if value is not None}
        return [f"{condition} ?" for condition in found], list(found.values())


class Search(Filters):
    """Filters, and a page of what fits them."""

    limit: Limit = 50
    cursor: Cursor = None


class Contact(BaseModel):
    """Exactly one of the two. In the body, because addresses and paths are logged on their way."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"type": "string"}, other: {"type": "null"}}}
                for name, other in (("email", "phone"), ("phone", "email"))
            ]
        },
    )

    email: str | None = Field(default=None, min_length=3, max_length=254)
    phone: str | None = Field(default=None, min_length=3, max_length=40)

    @model_validator(mode="after")
    def _one(self) -> Contact:
        if (self.email is None) == (self.phone is None):
            raise ValueError("give either email or phone")
        return self

    @property
    def kind(self) -> Literal["email", "phone"]:
        """Which one is given."""
        return "phone" if self.email is None else "email"


class Ids(BaseModel):
    """Up to 500 customers."""

    model_config = ConfigDict(extra="forbid")

    ids: list[Id] = Field(min_length=1, max_length=MOST_IDS)


@router.get("/customers", responses=answers("customer", many=True))
async def search_customers(filters: Annotated[Search, Query()], asking: Searcher) -> Response:
    """Customers that fit all filters, by id."""
    return await _search(asking, "customers", filters)


@router.get("/segments/{segment}/customers", responses=answers("customer", many=True))
async def get_segment_customers(
    segment: Annotated[str, Path(pattern=r"^[A-Za-z-]{1,40}$")],
    asking: Searcher,
    as_of: AsOf = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Members of a segment, by id."""
    return await _search(asking, "segment", Search(segment=segment, as_of=as_of, limit=limit, cursor=cursor))


@router.post("/customers/lookup", responses=answers("customer", many=True), openapi_extra=REPEATABLE)
async def lookup_customers(
    contact: Contact, asking: Annotated[Asking, may(Action.LOOKUP_CUSTOMER)], as_of: AsOf = None
) -> Response:
    """Customers with exactly this e-mail address or telephone number; several may share one."""
    as_documented(as_of)
    source = indexed(await asking.source())
    items, shown_ids, view = visible(asking, source, matching(asking, source, contact))
    if not items:
        asking.note("not_found", "lookup")
        return asking.answer([], source, view, "lookup", next=None)
    return asking.answer(items, source, view, "lookup", shown_ids, next=None)


@router.post(
    "/customers/batch",
    responses=answers("customer", many=True, name="CustomerBatch", missing=TEXTS),
    openapi_extra=REPEATABLE,
)
async def get_customers(
    wanted: Ids, asking: Annotated[Asking, may(Action.BATCH_CUSTOMERS)], as_of: AsOf = None
) -> Response:
    """Up to 500 customers by id, in the order asked for; ``missing`` are not there, or may not be seen."""
    as_documented(as_of)
    source = indexed(await asking.source())
    items, shown_ids, view = visible(asking, source, list(dict.fromkeys(wanted.ids)))
    missing = sorted(set(wanted.ids) - set(shown_ids))
    return asking.answer(items, source, view, "batch", shown_ids, next=None, missing=missing)


async def _search(asking: Asking, what: str, filters: Search) -> Response:
    about = about_search(what, filters)
    found, after = await asking.resumed(filters.cursor, about)
    source = indexed(found)
    found_ids = fitting(asking, source, filters, after, filters.limit + 1)
    ids = found_ids[: filters.limit]
    items, shown_ids, view = visible(asking, source, ids)
    onward = asking.cursor(source, about, ids[-1]) if len(found_ids) > filters.limit else None
    return asking.answer(items, source, view, what, shown_ids, next=onward)


def about_search(what: str, filters: Filters) -> str:
    """What a cursor of this search is about."""
    return f"{what}:{filters.model_dump_json(exclude={'limit', 'cursor', 'as_of'})}"


def indexed(source: ReleaseSource) -> IndexSource:
    """The source, to search in. Raises ProblemError 404 where the release has no index any more."""
    if isinstance(source, IndexSource):
        return source
    raise ProblemError(404, "no_index_then", "Of that moment single customers can be read, but not searched.")


def matching(asking: Asking, source: IndexSource, contact: Contact) -> list[str]:
    """Ids of at most 100 customers with this address or number."""
    value = normalise(contact.kind, contact.email or contact.phone or "")
    hashed = lookup_hash(contact.kind, value, asking.state.hash_key) if value else ""
    rows = source.index.select(f"SELECT customer_id FROM customer WHERE {contact.kind}_hash = ? LIMIT 100", (hashed,))
    return [row[0] for row in rows]


def fitting(asking: Asking, source: IndexSource, filters: Filters, after: str, most: int) -> list[str]:
    """At most so many ids, greater than ``after`` and in order, of customers that fit and are within the conditions."""
    conditions, values = filters.where()
    allowed, allowed_values = asking.decision.conditions.where()
    sql = " AND ".join([*conditions, allowed, "customer_id > ?"])
    bound = [*values, *allowed_values, after, most]
    rows = source.index.select(f"SELECT customer_id FROM customer WHERE {sql} ORDER BY customer_id LIMIT ?", bound)
    return [row[0] for row in rows]


def visible(asking: Asking, source: IndexSource, ids: list[str]) -> tuple[list[Row], list[str], str]:
    """The customers among ``ids`` that may be seen, as they may be; their ids; the views used."""
    rows = [(row, asking.decision.view_of(row)) for row in source.some("customer", ids)]
    seen = [(row, view) for row, view in rows if view is not None]
    items = asking.state.presenting.each("customer", seen)
    views = {view.id for _, view in seen}
    return items, [row["customer_id"] for row, _ in seen], "; ".join(sorted(views))
