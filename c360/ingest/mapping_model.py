"""The mapping language as values: what a mapping file may say, checked field by field."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

NUMERIC = ("int", "long", "double", "decimal")


def _delimiter(value: object) -> object:
    return {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}.get(str(value).lower(), value)


def _nulls(value: object) -> object:
    if isinstance(value, list):
        # An unquoted null in the list means the word, whose case YAML has lost.
        return [word for v in value for word in (("null", "NULL", "Null") if v is None else (v,))]
    return value


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class SourceSpec(_Model):
    """How the source file is read; what is left out is what a plain UTF-8 CSV with a header needs."""

    format: Literal["csv", "jsonl", "parquet"] | None = None
    delimiter: Annotated[str, BeforeValidator(_delimiter), Field(min_length=1, max_length=1)] = ","
    quote: Annotated[str, Field(min_length=1, max_length=1)] | None = '"'
    escape: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    encoding: str = "utf-8"
    header: bool = True
    names: tuple[str, ...] = ()
    skip: int = Field(default=0, ge=0, le=10_000)
    trailing_delimiter: bool = False
    decimal: Literal[".", ","] = "."
    thousands: Literal[".", ",", " ", "'", "_"] | None = None
    nulls: Annotated[tuple[str, ...], BeforeValidator(_nulls)] = ("",)
    time_zone: str | None = None

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str | None) -> str | None:
        return _known_zone(value)

    @model_validator(mode="after")
    def _consistent(self) -> SourceSpec:
        if not self.header and not self.names and self.format in (None, "csv"):
            raise ValueError("a file without header needs `names`, a list with one name per column")
        repeated = {n for n in self.names if self.names.count(n) > 1}
        if repeated:
            raise ValueError(f"`names` repeats {', '.join(sorted(repeated))}")
        if self.thousands == self.decimal:
            raise ValueError("`thousands` and `decimal` are the same character")
        return self


class LookupSpec(_Model):
    """Another file whose columns are addressed as ``<lookup>.<column>``; ``on`` is ``our column: its column``."""

    file: str = Field(min_length=1)
    on: dict[str, str] = Field(min_length=1)
    source: SourceSpec = SourceSpec()

    @field_validator("file")
    @classmethod
    def _nearby(cls, value: str) -> str:
        # A mapping may come from somebody else: it must not pick files from anywhere on this machine.
        if value.startswith(("/", "\\", "~")) or ":" in value or ".." in value.replace("\\", "/").split("/"):
            raise ValueError(f"'{value}' must lie beside the data or the mapping; for any other use --lookup NAME=PATH")
        return value


class ColumnSpec(_Model):
    """How one target column is made: exactly one of ``from``, ``value``, ``expr``, ``key``, then the steps."""

    from_: str | None = Field(default=None, alias="from")
    value: str | None = None
    expr: str | None = None
    key: str | None = None
    map: dict[str, str | None] | None = None
    otherwise: str | None = None
    formats: tuple[str, ...] = ()
    time_zone: str | None = None
    decimal: Literal[".", ","] | None = None
    thousands: Literal[".", ",", " ", "'", "_"] | None = None
    strip: str | None = None
    multiply: str | None = None
    divide: str | None = None
    round: int | None = Field(default=None, ge=0, le=9)
    default: str | None = None

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str | None) -> str | None:
        return _known_zone(value)

    @field_validator("formats", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> ColumnSpec:
        makers = [
            n for n in ("from", "value", "expr", "key") if getattr(self, "from_" if n == "from" else n) is not None
        ]
        if len(makers) != 1:
            raise ValueError(f"needs exactly one of from, value, expr, key; it has {' and '.join(makers) or 'none'}")
        if self.computes and (self.formats or self.map is not None):
            raise ValueError("multiply, divide, round, strip, thousands and decimal do not go with formats or map")
        if self.map is not None and (self.formats or self.time_zone):
            raise ValueError("map does not go with formats or time_zone")
        if self.otherwise is not None and self.map is None:
            raise ValueError("otherwise needs map")
        if self.divide is not None and self.round is None:
            raise ValueError("divide needs `round: <digits>`, because a quotient may have no end")
        if self.divide is not None and self.multiply is not None:
            raise ValueError("has multiply and divide; write one of them, or an expr")
        for step in (self.multiply, self.divide):
            number = as_number(step) if step is not None else None
            if number is not None and (number == 0 or number.as_tuple().exponent < -9):  # type: ignore[operator]
                raise ValueError(f"'{step}' is 0 or has more than 9 digits after the point")
        return self

    @property
    def computes(self) -> bool:
        """True if the text is read as a number."""
        return any(
            v is not None for v in (self.multiply, self.divide, self.round, self.strip, self.thousands, self.decimal)
        )


class Mapping(_Model):
    """A whole mapping file."""

    version: Literal["1"]
    target: str
    description: str = ""
    source: SourceSpec = SourceSpec()
    lookups: dict[str, LookupSpec] = {}
    where: str | None = None
    columns: dict[str, ColumnSpec] = Field(min_length=1)

    @field_validator("columns", mode="before")
    @classmethod
    def _shorthand(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {name: {"from": spec} if isinstance(spec, str) else spec for name, spec in value.items()}

    @field_validator("lookups")
    @classmethod
    def _lookup_names(cls, value: dict[str, LookupSpec]) -> dict[str, LookupSpec]:
        for name in value:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                raise ValueError(f"the look-up name '{name}' must be letters, digits and _")
        return value


def as_number(text: str) -> Decimal | None:
    """The finite decimal that the text is, or None."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def is_numeric(type_: str) -> bool:
    """True for the contract's number types."""
    return type_.partition("(")[0] in NUMERIC


def _known_zone(value: str | None) -> str | None:
    if value is not None:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError(f"'{value}' is no time zone; use a name like Europe/Berlin or UTC") from None
    return value
