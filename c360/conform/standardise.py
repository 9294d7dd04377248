"""The transforms that contracts name: text in, cleaner text out, before any type is parsed.

Each takes and returns a Series of text, keeps nulls, and is idempotent. White space means Unicode's White_Space.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from c360.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from c360.contracts.model import Column

# Joiners (U+200C, U+200D) stay: Persian, Hindi and Sinhala names are spelled with them.
INVISIBLE = (
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # controls that are no white space, NUL among them
    r"\x{ad}\x{200b}\x{2060}-\x{2064}\x{feff}"  # soft hyphen, zero-width spaces, byte order mark
    r"\x{61c}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2066}-\x{206f}"  # marks, overrides and isolates of direction
    r"\x{fff9}-\x{fffb}\x{e0001}\x{e0020}-\x{e007f}]"  # annotations, tags
)
WHITE_CONTROLS = r"[\x09-\x0d\x{85}]"


def nfc(text: pl.Series) -> pl.Series:
    """Unicode normal form C, so that one name has one spelling."""
    return text if _is_ascii(text) else text.str.normalize("NFC")


def strip_control(text: pl.Series) -> pl.Series:
    """Without what cannot be seen but changes how text is read; tabs and line ends become spaces."""
    if text.str.contains(WHITE_CONTROLS).any():
        text = text.str.replace_all(WHITE_CONTROLS, " ")
    return text.str.replace_all(INVISIBLE, "") if text.str.contains(INVISIBLE).any() else text


def trim(text: pl.Series) -> pl.Series:
    """Without white space at both ends."""
    return text.str.strip_chars()


def squeeze(text: pl.Series) -> pl.Series:
    """Every run of white space becomes one space."""
    runs = r"\s\s|[^\S ]"
    return text.str.replace_all(r"\s+", " ") if text.str.contains(runs).any() else text


def lower(text: pl.Series) -> pl.Series:
    """Lower case."""
    return text.str.to_lowercase()


def upper(text: pl.Series) -> pl.Series:
    """Upper case."""
    return text.str.to_uppercase()


def phone_e164(text: pl.Series) -> pl.Series:
    """E.164 where the text parses as an international number (``+`` or ``00`` first), otherwise as it is."""
    distinct = text.drop_nulls().unique()
    repaired = [_e164(value) for value in distinct]
    changed = {old: new for old, new in zip(distinct, repaired, strict=True) if old != new}
    return text.replace(changed) if changed else text


def timestamp_utc(text: pl.Series) -> pl.Series:
    """A mark for the timestamp parser (text without a time zone is UTC); the text stays as it is."""
    return text


TRANSFORMS: Mapping[str, Callable[[pl.Series], pl.Series]] = {
    f.__name__: f for f in (nfc, strip_control, trim, squeeze, lower, upper, phone_e164, timestamp_utc)
}


def standardise(received: pl.Series, column: Column) -> pl.Series:
    """Apply the column's transforms in order; text that is empty or white space alone becomes null.

    What is not a string is trimmed in any case: no type begins or ends with white space. Raises ContractError for an
    unknown transform.
    """
    text = received.cast(pl.String) if received.dtype != pl.String else received
    if column.type != "string" and "trim" not in column.standardise:
        text = trim(text)
    for name in column.standardise:
        transform = TRANSFORMS.get(name)
        if transform is None:
            raise ContractError(
                f"Column '{column.name}' names the unknown transform '{name}'",
                f"use one of {', '.join(sorted(TRANSFORMS))}",
            )
        text = transform(text)
    bare = text if "trim" in column.standardise or column.type != "string" else trim(text)
    empty = bare.str.len_bytes() == 0
    return text.set(empty, None) if empty.any() else text


def _is_ascii(text: pl.Series) -> bool:
    return bool(text.str.len_bytes().sum() == text.str.len_chars().sum())


def _e164(text: str) -> str:
    import phonenumbers

    candidate = f"+{text[2:]}" if text.startswith("00") else text
    try:
        number = phonenumbers.parse(candidate, None)
    except phonenumbers.NumberParseException:
        return text
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
