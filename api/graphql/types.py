"""The types of the answers and the filter of a search, made from the contracts and from the filters of REST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NewType

import strawberry
from strawberry.tools import create_type

from api.describing import ROWS as ROW_NAMES
from api.routes.customers import PARTS, TIMES
from api.routes.search import Filters
from api.serving.source import BY_KIND
from c360.contracts import get_contract

if TYPE_CHECKING:
    from strawberry.types.field import StrawberryField

    from c360.contracts.model import Column
    from c360.serving.model import Kind

Long = NewType("Long", int)
LONG = strawberry.scalar(name="Long", serialize=int, description="A whole number of up to 64 bits.")
LISTS = {part.replace("-", "_"): kind for part, (kind, _) in PARTS.items()}
"""Fields of a customer that are lists, and what they list."""
_TYPES: dict[str, Any] = {"int": int, "long": Long, "double": float, "boolean": bool}
_PAGING = {"as_of", "limit", "cursor"}


def field_name(column: str) -> str:
    """The field of a customer's column; one that is named as a list counts what the list holds."""
    return f"{column}_count" if column in LISTS else column


def row_fields(kind: Kind) -> list[StrawberryField]:
    """A field for each column of the kind's contract."""
    columns = [column for column in get_contract(BY_KIND[kind].table).columns if not column.name.startswith("_")]
    return [
        _field(field_name(c.name) if kind == "customer" else c.name, _type(c), _says(c.description, c)) for c in columns
    ]


def row_says(kind: Kind) -> str:
    """What a row of this kind is."""
    return f"{get_contract(BY_KIND[kind].table).description} Columns that you may not see are null or masked."


def page_of(row: Any, name: str) -> Any:
    """The type of a page of such rows."""
    fields = [
        _field("items", list[row], "At most `first` of them."),
        _field("next", str | None, "`after` of the next page; null after the last."),
    ]
    return create_type(f"{name}Page", fields, description="A part of a list.")


def _field(name: str, kind: Any, says: str) -> StrawberryField:
    found: StrawberryField = strawberry.field(name=name, graphql_type=kind, description=says)
    return found


def _type(column: Column) -> Any:
    # Masked, every value is text; amounts, days and moments always are, as in all answers.
    return (_TYPES.get(column.type, str) if column.classification == "none" else str) | None


def _says(text: str, column: Column) -> str:
    return text if column.classification == "none" else f"{text} ({column.classification} identifier)".strip()


def _filter() -> Any:
    fields = []
    for name, each in Filters.model_fields.items():
        if name not in _PAGING:
            found = strawberry.field(name=name, graphql_type=each.annotation, default=None)
            fields.append(found)
    return create_type("CustomerFilter", fields, is_input=True, description="A customer fits all that is given.")


def _timeline() -> Any:
    says = "Null unless this is what happened."
    records = [_field(ROW_NAMES[kind].lower(), ROWS[kind] | None, says) for kind, _ in TIMES]
    fields = [_field("at", str | None, "When."), _field("kind", str, "The list that it is from."), *records]
    return create_type(
        "Happening", fields, description="Something that happened, with its record in one of the fields."
    )


ROWS: dict[Kind, Any] = {
    kind: create_type(name, row_fields(kind), description=row_says(kind))
    for kind, name in ROW_NAMES.items()
    if kind != "customer"
}
PAGES: dict[Kind, Any] = {kind: page_of(row, ROW_NAMES[kind]) for kind, row in ROWS.items()}
Happening = _timeline()
HappeningPage = page_of(Happening, "Happening")
CustomerFilter = _filter()


@strawberry.type(description="What the whole answer was read from: all tables as published together.")
class Release:
    """See :data:`api.describing.RELEASE`."""

    id: str
    as_of: str = strawberry.field(description="Decided recency and segments.")
    published_at: str


def value_of(row: Any, name: str) -> object:
    """The value of a field without a function of its own; withheld, it is null."""
    return row.get(name) if isinstance(row, dict) else getattr(row, name)
