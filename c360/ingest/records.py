"""What every format reader hands back: columns of text, and the records that could not be split, kept as received."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa

from c360.errors import LandingError

MALFORMED = "malformed_record"
BAD_ENCODING = "bad_encoding"

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import numpy.typing as npt

    StringArray: TypeAlias = pa.Array[Any]
    Ordinals: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Refused:
    """One record that gave no columns: its ordinal (0-based), its text (escaped where it is no UTF-8), and why."""

    ordinal: int
    text: str
    error: str


@dataclass(frozen=True)
class Records:
    """The records of one landing file, in the file's order.

    ``columns`` holds the declared columns that the file has (all of ``count`` rows, null in refused records), ``extra``
    the undeclared ones as one JSON object per record or None, ``seen`` every column name that the file uses.
    """

    count: int
    columns: Mapping[str, StringArray]
    extra: StringArray | None
    refused: Sequence[Refused]
    seen: tuple[str, ...]


def spread(array: StringArray, kept: Ordinals, count: int) -> StringArray:
    """Move the values of ``array`` to the ordinals ``kept`` of ``count`` records; null elsewhere."""
    if len(array) == count:
        return array
    indices = np.zeros(count, dtype=np.int64)
    empty = np.ones(count, dtype=bool)
    indices[kept] = np.arange(len(array))
    empty[kept] = False
    return array.take(pa.array(indices, pa.int64(), mask=empty))


def check_columns(where: str, seen: Sequence[str], declared: Sequence[str], required: Collection[str]) -> None:
    """Refuse a file that lacks a required column, naming the undeclared column that looks like it.

    Raises LandingError.
    """
    missing = [name for name in declared if name in required and name not in seen]
    if not missing:
        return
    unknown = [name for name in seen if name not in declared]
    if len(missing) == len(required) and not set(seen) & set(declared):
        raise LandingError(
            f"{where} names none of the columns {', '.join(declared)}; it begins with {', '.join(seen)[:120]!r}",
            "land a file whose first line names the columns, or land it with `c360 land` and a mapping",
        )
    hints = []
    for name in missing:
        folded = {other.casefold(): other for other in unknown}
        close = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
        if close:
            hints.append(f"rename '{folded[close[0]]}' to '{name}'")
    names = ", ".join(f"'{name}'" for name in missing)
    plural = "s" if len(missing) > 1 else ""
    raise LandingError(
        f"{where} lacks the required column{plural} {names}",
        "; ".join(hints) if hints else f"export the file with {names}, or land it with `c360 land` and a mapping",
    )
