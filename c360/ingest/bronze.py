"""What bronze still has to take in, and taking it in: idempotent per landing file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from c360.errors import LandingError
from c360.ingest.readers import SYSTEM_COLUMNS, read, source_columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from c360.contracts.model import Contract
    from c360.ingest.files import LandingFile

INGESTED_AT = "_ingested_at"


@dataclass(frozen=True)
class Plan:
    """Landing files against those already ingested; ``new`` is in landing order."""

    new: tuple[LandingFile, ...]
    unchanged: tuple[LandingFile, ...]
    changed: tuple[LandingFile, ...]


def plan(files: Iterable[LandingFile], ingested: Mapping[str, str], *, allow_changed: bool = False) -> Plan:
    """Sort files into new, unchanged and changed; ``ingested`` maps relative path to SHA-256.

    Raises LandingError for a file that changed after it was ingested, unless ``allow_changed`` (to report them all).
    """
    new: list[LandingFile] = []
    unchanged: list[LandingFile] = []
    changed: list[LandingFile] = []
    for file in sorted(files):
        known = ingested.get(file.relative)
        (new if known is None else unchanged if known == file.sha256 else changed).append(file)
    if changed and not allow_changed:
        more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        raise LandingError(
            f"{changed[0].relative}{more} changed after it was ingested",
            "put the ingested content back, and land the correction as a new file beside it or under a later day",
        )
    return Plan(tuple(new), tuple(unchanged), tuple(changed))


def read_all(files: Iterable[LandingFile], contract: Contract, ingested_at: datetime) -> Iterator[pa.Table]:
    """Bronze rows file by file, in landing order, all stamped with the same aware ``ingested_at``.

    Raises LandingError as the readers do, and when a file changed between discovery and reading.
    """
    for file in sorted(files):
        table = read(file.path, file.relative, contract, file.batch_date).table
        if table.num_rows and table.column("_file_sha256")[0].as_py() != file.sha256:
            raise LandingError(f"{file.relative} changed while it was read", "write under a .tmp name, then rename")
        stamp = pa.repeat(pa.scalar(ingested_at, pa.timestamp("us", tz="UTC")), table.num_rows)
        yield table.append_column(INGESTED_AT, stamp).select(schema(contract).names)


def schema(contract: Contract) -> pa.Schema:
    """Arrow schema of a bronze table, in the contract's order."""
    types = dict.fromkeys(source_columns(contract), pa.string()) | SYSTEM_COLUMNS
    types[INGESTED_AT] = pa.timestamp("us", tz="UTC")
    order = [name for name in contract.names if name in types]
    return pa.schema([(name, types[name]) for name in order + [n for n in types if n not in order]])
