"""One landing file in, one bronze table out: text exactly as received, every record at its ordinal."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from c360.errors import LandingError
from c360.ingest.csv import read_csv
from c360.ingest.files import file_format
from c360.ingest.jsonl import read_jsonl
from c360.ingest.parquet import read_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import date
    from pathlib import Path

    from c360.contracts.model import Contract
    from c360.ingest.records import Records

SYSTEM_COLUMNS: dict[str, pa.DataType] = {
    "_raw": pa.string(),
    "_extra": pa.string(),
    "_error": pa.string(),
    "_source_file": pa.string(),
    "_source_row": pa.int64(),
    "_file_sha256": pa.string(),
    "_batch_date": pa.date32(),
}
_LIMIT = 2**31 - 1024  # a column's text must fit 32-bit offsets
_READERS: dict[str, Callable[[bytes, str, Sequence[str], Collection[str]], Records]] = {
    "csv": read_csv,
    "jsonl": read_jsonl,
    "parquet": read_parquet,
}


@dataclass(frozen=True)
class Reading:
    """A file as bronze rows, and how its columns differ from the contract."""

    table: pa.Table
    missing: tuple[str, ...]
    extra: tuple[str, ...]


def source_columns(contract: Contract) -> tuple[str, ...]:
    """The columns a bronze contract expects of its files: all but those the product adds (``_…``)."""
    return tuple(name for name in contract.names if not name.startswith("_"))


def read_landing_file(
    path: Path, relative: str, contract: Contract, batch_date: date, required: Collection[str] | None = None
) -> pa.Table:
    """The file's records as bronze rows (without ``_ingested_at``), in the file's order.

    ``required`` names the columns without which the file is refused; by default those that the silver contract fed by
    this bronze contract requires. Raises LandingError when the file as a whole cannot be taken in.
    """
    return read(path, relative, contract, batch_date, required).table


def read(
    path: Path, relative: str, contract: Contract, batch_date: date, required: Collection[str] | None = None
) -> Reading:
    """As :func:`read_landing_file`, with the optional columns that are missing and the undeclared ones found."""
    data = _bytes(path, relative)
    declared = source_columns(contract)
    needed = required_columns(contract) if required is None else required
    records = _READERS[file_format(path)](data, relative, declared, needed)
    digest = hashlib.sha256(data).hexdigest()
    seen = set(records.seen)
    return Reading(
        _bronze(records, contract, relative, batch_date, digest),
        tuple(name for name in declared if name not in seen),
        tuple(name for name in records.seen if name not in declared),
    )


def required_columns(contract: Contract) -> frozenset[str]:
    """Source columns that the silver contract fed by a bronze contract requires; all columns if there is none."""
    declared = frozenset(source_columns(contract))
    needed = _required_above(contract.name)
    return declared if needed is None else needed & declared


@functools.cache
def _required_above(bronze: str) -> frozenset[str] | None:
    from c360.contracts import load_contracts

    above = [c for c in load_contracts().values() if c.layer == "silver" and c.upstream == (bronze,)]
    if not above:
        return None
    return frozenset(column.source or column.name for c in above for column in c.columns if column.required)


def _bytes(path: Path, relative: str) -> bytes:
    try:
        if path.stat().st_size > _LIMIT:
            raise LandingError(f"{relative} is larger than 2 GiB", "split it into several files of the same day")
        return path.read_bytes()
    except OSError as error:
        raise LandingError(
            f"{relative} cannot be read ({error.strerror})", "land it again, readable by this user"
        ) from error


def _bronze(records: Records, contract: Contract, relative: str, batch_date: date, digest: str) -> pa.Table:
    count = records.count
    raw = np.full(count, None, dtype=object)
    error = np.full(count, None, dtype=object)
    for refused in records.refused:
        raw[refused.ordinal] = refused.text
        error[refused.ordinal] = refused.error
    nulls = pa.nulls(count, pa.string())
    added = {
        "_raw": pa.array(raw, pa.string()) if records.refused else nulls,
        "_extra": records.extra if records.extra is not None else nulls,
        "_error": pa.array(error, pa.string()) if records.refused else nulls,
        "_source_file": pa.repeat(pa.scalar(relative, pa.string()), count),
        "_source_row": pa.array(np.arange(1, count + 1, dtype=np.int64)),
        "_file_sha256": pa.repeat(pa.scalar(digest, pa.string()), count),
        "_batch_date": pa.repeat(pa.scalar(batch_date, pa.date32()), count),
    }
    arrays = {name: records.columns.get(name, nulls) for name in source_columns(contract)} | added
    order = [name for name in contract.names if name in arrays]
    order += [name for name in arrays if name not in order]
    return pa.table({name: arrays[name] for name in order})
