"""How a value is shown to somebody who may not see all of it, by its contract column; for rows and in bulk.

What a mask keeps, by the column's name; a value too short to hide anything in keeps nothing:

- ``email``: first letter and the domain's last label, ``z***@***.com``
- ``phone``: the last two digits, ``***71``
- ``first_name``, ``last_name``, ``full_name``: the initial, ``Z***``
- ``birth_date``: the year, ``1987``
- ``postal_code``: the first two characters, ``10***``
- any other column, classified or not: nothing, ``***``. The city is among them: with the year of birth it singles
  people out in small towns. Region and country are not classified and stay in clear.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from c360.contracts.model import Classification, Column
    from c360.privacy.keyed import Tokens

    Mask = Callable[[str], str]

HIDDEN = "***"


class Presentation(StrEnum):
    """How much of a value is shown, from all to nothing; ``tokenised`` values can be joined but not read."""

    CLEAR = "clear"
    MASKED = "masked"
    TOKENISED = "tokenised"
    WITHHELD = "withheld"


# Character classes are written out and anchored by the functions: Python's engine and DuckDB's then agree.
_EMAIL_PATTERN = "[^@]+@[^@]*[.][^.@]{2,24}"
_DATE_PATTERN = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_EMAIL, _DATE, _NO_DIGIT = re.compile(_EMAIL_PATTERN), re.compile(_DATE_PATTERN), re.compile("[^0-9]")


def _mask_email(text: str) -> str:
    return f"{text[0]}***@***.{text.rpartition('.')[2]}" if _EMAIL.fullmatch(text) else HIDDEN


def _mask_phone(text: str) -> str:
    digits = _NO_DIGIT.sub("", text)
    return HIDDEN + digits[-2:] if len(digits) >= 6 else HIDDEN


def _mask_name(text: str) -> str:
    return text[0] + HIDDEN if len(text) >= 2 else HIDDEN


def _mask_birth(text: str) -> str:
    return text[:4] if _DATE.fullmatch(text[:10]) else HIDDEN


def _mask_postal(text: str) -> str:
    return text[:2] + HIDDEN if len(text) >= 4 else HIDDEN


def _digits_sql(x: str) -> str:
    return f"regexp_replace({x}, '[^0-9]', '', 'g')"


@dataclass(frozen=True)
class _Form:
    """A mask for one value and for many: ``sql`` takes an expression of text, to the branch of a CASE."""

    text: Mask
    sql: Callable[[str], str]


_NAME = _Form(_mask_name, lambda x: f"WHEN length({x}) >= 2 THEN left({x}, 1) || '{HIDDEN}'")
_FORMS: Mapping[str, _Form] = {
    "email": _Form(
        _mask_email,
        lambda x: (
            f"WHEN regexp_full_match({x}, '{_EMAIL_PATTERN}')"
            f" THEN left({x}, 1) || '***@***.' || split_part({x}, '.', -1)"
        ),
    ),
    "phone": _Form(
        _mask_phone, lambda x: f"WHEN length({_digits_sql(x)}) >= 6 THEN '{HIDDEN}' || right({_digits_sql(x)}, 2)"
    ),
    "first_name": _NAME,
    "last_name": _NAME,
    "full_name": _NAME,
    "birth_date": _Form(
        _mask_birth, lambda x: f"WHEN regexp_full_match(left({x}, 10), '{_DATE_PATTERN}') THEN left({x}, 4)"
    ),
    "postal_code": _Form(_mask_postal, lambda x: f"WHEN length({x}) >= 4 THEN left({x}, 2) || '{HIDDEN}'"),
}
_ANY = _Form(lambda _: HIDDEN, lambda _: "")


def mask(column: Column, value: object) -> str | None:
    """The masked form of a value; null stays null, everything else becomes text."""
    if value is None:
        return None
    return _FORMS.get(column.name, _ANY).text(_text(value))


def masked_sql(column: Column, source: str | None = None) -> str:
    """A DuckDB expression for the masked form of a column, the same text as :func:`mask` gives.

    ``source`` is the SQL expression of the value, without it the column's own name, quoted.
    """
    reference = source if source is not None else '"' + column.name.replace('"', '""') + '"'
    case = _FORMS.get(column.name, _ANY).sql(f"CAST({reference} AS VARCHAR)")
    return f"CASE {case} WHEN {reference} IS NOT NULL THEN '{HIDDEN}' END"


def present(column: Column, value: object, presentation: Presentation, tokens: Tokens | None = None) -> object:
    """The value as somebody with this presentation sees it; null stays null, and so looks what is withheld.

    Readers of whole rows use :func:`row_presenter`, which leaves withheld columns out. Raises ValueError if the value
    is to be tokenised without ``tokens``.
    """
    step = _step(column, presentation, tokens)
    return None if value is None or presentation is Presentation.WITHHELD else step(value) if step else value


def row_presenter(
    columns: Iterable[Column],
    presentations: Mapping[Classification, Presentation],
    overrides: Mapping[str, Presentation],
    tokens: Tokens | None = None,
) -> Callable[[Mapping[str, object]], dict[str, object]]:
    """A function from a row to the row as it may be seen, in the columns' order.

    ``overrides`` are by column name and win over ``presentations``, which are by classification; a classification
    that is not named is withheld. Withheld columns and those without a contract are not in the result at all. Raises
    ValueError if something is to be tokenised without ``tokens``.
    """
    shown = [(c, overrides.get(c.name, presentations.get(c.classification, Presentation.WITHHELD))) for c in columns]
    steps = [(c.name, _step(c, how, tokens)) for c, how in shown if how is not Presentation.WITHHELD]
    names, changed = [name for name, _ in steps], [(name, step) for name, step in steps if step is not None]
    # Of one name it would give the value itself, not a tuple.
    several = itemgetter(*names) if len(names) > 1 else lambda row: tuple(row[name] for name in names)

    def show(row: Mapping[str, object]) -> dict[str, object]:
        try:
            seen = dict(zip(names, several(row), strict=True))
        except KeyError:
            seen = {name: row[name] for name in names if name in row}
        for name, step in changed:
            value = seen.get(name)
            if value is not None:
                seen[name] = step(value)
        return seen

    return show


def _step(column: Column, how: Presentation, tokens: Tokens | None) -> Callable[[object], object] | None:
    if how is Presentation.CLEAR:
        return None
    if how is Presentation.MASKED:
        masked = _FORMS.get(column.name, _ANY).text
        return lambda value: masked(_text(value))
    if how is Presentation.TOKENISED:
        if tokens is None:
            raise ValueError(f"{column.name} is to be tokenised, but there is no key")
        token = tokens.of(column.name)
        return lambda value: token(_text(value))
    return lambda _: None


def _text(value: object) -> str:
    return value if isinstance(value, str) else value.isoformat() if isinstance(value, date) else str(value)
