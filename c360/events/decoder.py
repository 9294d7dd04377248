"""From a topic's contract to msgspec types: closed structures whose fields carry the contract's bounds."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct, defstruct

from c360.contracts.topic import MAP
from c360.contracts.vocabulary import decimal_of

if TYPE_CHECKING:
    from c360.contracts.model import Column
    from c360.contracts.topic import TopicContract

_LONG, _INT = 2**63, 2**31
_SCALAR = str | Annotated[int, Meta(ge=-_LONG, le=_LONG - 1)] | float | bool


def to_struct(topic: TopicContract, *, sealed: bool) -> type[Struct]:
    """The structure of the topic's events: with encrypted fields as on the wire if ``sealed``, else in clear text."""
    tree: dict[str, Any] = {}
    encrypted = set(topic.encrypted) if sealed else ()
    for field in topic.fields:
        *parents, name = field.name.split(".")
        here = tree
        for parent in parents:
            here = here.setdefault(parent, {})
        type_ = str if field.name in encrypted else _type(field)
        here[name] = (name, type_) if field.required else (name, type_ | None, None)
    return _define(topic.name, tree)


def _define(name: str, tree: dict[str, Any]) -> type[Struct]:
    members = [(key, _define(key, value)) if isinstance(value, dict) else value for key, value in tree.items()]
    plain = "".join(part.title() for part in name.replace(".", "_").replace("-", "_").split("_"))
    return defstruct(plain, members, kw_only=True, omit_defaults=True, forbid_unknown_fields=True)


def _type(field: Column) -> Any:
    if field.enum:
        return Literal[field.enum]
    if field.type == MAP:
        return dict[str, _SCALAR]
    if field.type == "string":
        return Annotated[str, Meta(pattern=field.pattern, max_length=field.max_length)]
    if field.type in ("int", "long"):
        bound = _INT if field.type == "int" else _LONG
        low = -bound if field.minimum is None else int(field.minimum)
        high = bound - 1 if field.maximum is None else int(field.maximum)
        return Annotated[int, Meta(ge=low, le=high)]
    if field.type == "double":
        least, most = (None if bound is None else float(bound) for bound in (field.minimum, field.maximum))
        return Annotated[float, Meta(ge=least, le=most)]
    if decimal_of(field.type):
        return Decimal
    known: dict[str, Any] = {"timestamp": Annotated[datetime, Meta(tz=True)], "date": date, "boolean": bool}
    return known[field.type]
