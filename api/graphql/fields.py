"""What can be asked for: each field reads what its counterpart of the other routes reads, by the same action."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Annotated, Any, TypeVar

import strawberry
from pydantic import BaseModel, ValidationError
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import create_type
from strawberry.types.field import StrawberryField

from api.asking import Asking, Row
from api.describing import ROWS as ROW_NAMES
from api.graphql.reading import Person, Reading
from api.graphql.types import (
    LONG,
    PAGES,
    ROWS,
    CustomerFilter,
    HappeningPage,
    Long,
    Release,
    page_of,
    row_fields,
    row_says,
    value_of,
)
from api.problem import ProblemError, not_found
from api.routes.catalogue import records_within
from api.routes.customers import PARTS, TIMES, in_order
from api.routes.search import Contact, Filters, about_search, fitting, indexed, matching
from api.security.policy import Action
from c360.serving.model import Kind

Info = strawberry.Info[Reading, None]
First = Annotated[int, strawberry.argument(description="Items on a page, 1 to 200.")]
After = Annotated[str | None, strawberry.argument(description="`next` of the page before.")]
Id = Annotated[strawberry.ID, strawberry.argument(name="id")]
Filter = Annotated[Any, strawberry.argument(graphql_type=CustomerFilter | None)]
Page = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)


def _field(resolver: Callable[..., Any], kind: Any, name: str = "", says: str = "") -> StrawberryField:
    """A field that may be null, as what is refused is; it is described by the first line of its function."""
    says = says or (resolver.__doc__ or "").splitlines()[0]
    found: StrawberryField = strawberry.field(resolver, name=name or None, graphql_type=kind | None, description=says)
    found.python_name = name or resolver.__name__
    return found


def _list(part: str) -> StrawberryField:
    kind, says = PARTS[part]

    def listed(root: Person, info: Info, first: First = 50, after: After = None) -> Page:
        of = info.context
        view = of.belonging(of.may(Action.READ_CUSTOMER, part), root, part, ROW_NAMES[kind])
        rows = of.read(of.source.many, kind, root.id)
        items, onward = of.paged(rows, f"{part}/{root.id}", first, after)
        return {"items": of.state.presenting.rows(kind, view, items), "next": onward}

    return _field(listed, PAGES[kind], part.replace("-", "_"), says)


def timeline(root: Person, info: Info, first: First = 50, after: After = None) -> Page:
    """Orders, deliveries, events, consents and alerts in one list, newest first."""
    of = info.context
    view = of.belonging(of.may(Action.READ_CUSTOMER, "timeline"), root, "timeline")
    every = in_order({kind: of.read(of.source.many, kind, root.id) for kind, _ in TIMES})
    happened, onward = of.paged(every, f"timeline/{root.id}", first, after)
    shown = [
        {"at": at, "kind": kind, ROW_NAMES[kind].lower(): of.state.presenting.show(kind, view)(record)}
        for at, kind, record in happened
    ]
    return {"items": shown, "next": onward}


def release(info: Info) -> Row:
    """What this answer is read from."""
    of = info.context
    of.note(of.may(Action.READ_TABLES, "releases"), "permitted", "releases")
    return of.release


def customer(info: Info, customer_id: Id) -> Person:
    """Everything known about a customer.

    Raises ProblemError 404 for one that may not be seen, too.
    """
    of = info.context
    asking = of.may(Action.READ_CUSTOMER, "customer")
    found = of.people(asking, [of.identifier(customer_id)], "customer")
    if not found:
        raise not_found("customer")
    return found[0]


def customers(info: Info, filters: Filter = None, first: First = 50, after: After = None) -> Page:
    """Customers that fit all filters, by id."""
    of = info.context
    asking = of.may(Action.SEARCH_CUSTOMERS, "customers")
    wanted = _valid(Filters, filters)
    about = about_search("customers", wanted)
    ids = of.read(fitting, asking, indexed(of.source), wanted, of.after(after, about), first + 1)
    onward = of.onward(about, ids[first - 1] if len(ids) > first else None)
    return {"items": of.people(asking, ids[:first], "customers"), "next": onward}


def lookup(info: Info, email: str | None = None, phone: str | None = None) -> list[Person]:
    """Customers with exactly this e-mail address or telephone number; several may share one."""
    of = info.context
    asking = of.may(Action.LOOKUP_CUSTOMER, "lookup")
    contact = _valid(Contact, {"email": email, "phone": phone})
    return of.people(asking, of.read(matching, asking, indexed(of.source), contact), "lookup")


def product(info: Info, product_id: Id) -> Row:
    """A product and its performance.

    Raises ProblemError 404.
    """
    return _one_product(info.context, "product", product_id)


def products(info: Info, first: First = 50, after: After = None) -> Page:
    """Products with their performance, by id."""
    return _products(info.context, "product", first, after)


def product_inventory(info: Info, product_id: Id) -> Row:
    """How long the stock of a product lasts, and how much to order again.

    Raises ProblemError 404.
    """
    return _one_product(info.context, "inventory", product_id)


def inventory(info: Info, first: First = 50, after: After = None) -> Page:
    """How long the stock of each product lasts, by id of the product."""
    return _products(info.context, "inventory", first, after)


def _one_product(of: Reading, kind: Kind, product_id: str) -> Row:
    asking = of.may(Action.READ_PRODUCTS, kind)
    row = of.read(of.source.one, kind, of.identifier(product_id))
    if row is None:
        raise not_found("product")
    [shown] = _shown(of, asking, kind, [row], None)["items"]
    return dict(shown)


def _products(of: Reading, kind: Kind, first: int, after: str | None) -> Page:
    asking = of.may(Action.READ_PRODUCTS, kind)
    rows = of.read(indexed(of.source).index.rows, kind, of.after(after, kind), first + 1)
    onward = of.onward(kind, rows[first - 1][0] if len(rows) > first else None)
    return _shown(of, asking, kind, [row for _, row in rows[:first]], onward)


def sales_metrics(info: Info, start: date, end: date, first: First = 50, after: After = None) -> Page:
    """Sales by day, channel and country, from the first to the last day."""
    return _over_time(info.context, "sales", start, end, first, after)


def delivery_metrics(info: Info, start: date, end: date, first: First = 50, after: After = None) -> Page:
    """Deliveries by month, carrier, service and country, from the month of the first to that of the last day."""
    return _over_time(info.context, "delivery", start.replace(day=1), end, first, after)


def _over_time(of: Reading, kind: Kind, start: date, end: date, first: int, after: str | None) -> Page:
    asking = of.may(Action.READ_METRICS, kind)
    rows = of.read(records_within, indexed(of.source), kind, start, end)
    items, onward = of.paged(rows, f"{kind}:{start}:{end}", first, after)
    return _shown(of, asking, kind, items, onward)


def _shown(of: Reading, asking: Asking, kind: Kind, rows: list[Row], onward: str | None) -> Page:
    view = asking.decision.always
    of.note(asking, "permitted", kind, view=view.id, of=ROW_NAMES[kind])
    return {"items": of.state.presenting.rows(kind, view, rows), "next": onward}


def _valid(model: type[Model], given: Any) -> Model:
    """The arguments as the other routes take them. Raises ProblemError 422, which names no value."""
    members = given if isinstance(given, dict) else vars(given) if given is not None else {}
    try:
        return model.model_validate(members)
    except ValidationError as error:
        where = sorted({str(each["loc"][0]) for each in error.errors() if each["loc"]})
        why = f"Not valid: {', '.join(where)}." if where else "Give exactly one of the arguments."
        raise ProblemError(422, "not_valid", why) from None


Customer: Any = create_type(
    "Customer",
    [*row_fields("customer"), *map(_list, PARTS), _field(timeline, HappeningPage)],
    description=row_says("customer"),
)
_FIELDS: tuple[tuple[Callable[..., Any], Any], ...] = (
    (release, Release), (customer, Customer), (customers, page_of(Customer, "Customer")), (lookup, list[Customer]),
    (product, ROWS["product"]), (products, PAGES["product"]), (product_inventory, ROWS["inventory"]),
    (inventory, PAGES["inventory"]), (sales_metrics, PAGES["sales"]), (delivery_metrics, PAGES["delivery"]),
)  # fmt: skip
Query = create_type(
    "Query",
    [_field(resolver, kind) for resolver, kind in _FIELDS],
    description="The whole answer is of one release: the newest, or that of the parameter `as_of`.",
)
SCHEMA = strawberry.Schema(
    Query,
    config=StrawberryConfig(auto_camel_case=False, default_resolver=value_of, scalar_map={Long: LONG}),
)
"""Nothing can be changed or subscribed to by it."""
