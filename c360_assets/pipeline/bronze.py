"""Landing files → bronze: read, stage, audit, publish. Idempotent per landing file; knows nothing of Dagster."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa

from c360.contracts import get_contract
from c360.contracts.model import Contract
from c360.errors import LandingError
from c360.ingest.bronze import plan, read_all
from c360.ingest.files import discover
from c360.lakehouse import Commit, Lakehouse
from c360_assets.pipeline.publication import Publication, audit_and_publish

ROWS_PER_FILE_GROUP = 250_000


@dataclass(frozen=True)
class BronzeRun:
    """What one run took in. ``publication`` is None when every file had been ingested before."""

    publication: Publication | None
    files: int
    unchanged: int
    rows: int
    malformed: int


def ingest(
    lake: Lakehouse, name: str, landing: Path, days: Collection[date], *, run_id: str, ingested_at: datetime
) -> BronzeRun:
    """Append the new landing files of ``days`` to the bronze table ``name``.

    ``ingested_at`` (aware) is stamped on every row. Raises LandingError for files that cannot be taken in (nothing is
    written then), AuditFailed when the contract's audit fails.
    """
    contract = get_contract(name)
    if contract.source is None:
        raise LandingError(f"{name} has no landing source", "name a bronze table whose contract states a server")
    lake.ensure(contract)
    todo = plan(discover(landing, contract.source, set(days)), _ingested(lake, name, days))
    if not todo.new:
        return BronzeRun(None, 0, len(todo.unchanged), 0, 0)
    last_day = max(file.batch_date for file in todo.new)
    before = lake.last_commit(name)
    watermark = max(filter(None, [last_day.isoformat(), before.watermark if before else None]))
    commit = Commit(
        run_id=run_id,
        sources={},
        contract_version=contract.version,
        watermark=watermark,
        extra={"c360.files": str(len(todo.new))},
    )
    rows = malformed = 0
    with lake.stage(name, commit) as staged:
        for table in _grouped(read_all(todo.new, contract, ingested_at)):
            rows += table.num_rows
            malformed += table.num_rows - table.column("_error").null_count
            staged.append(table)
        # A file of a header alone leaves no trace in the table, so it is new in every run: no reason for a snapshot.
        publication = audit_and_publish(staged, contract) if rows else None
    return BronzeRun(publication, len(todo.new), len(todo.unchanged), rows, malformed)


def _ingested(lake: Lakehouse, name: str, days: Collection[date]) -> dict[str, str]:
    first, last = min(days), max(days)
    where = f"_batch_date >= '{first}' and _batch_date <= '{last}'"
    known = lake.read(name, columns=["_source_file", "_file_sha256"], where=where)
    if not known.num_rows:
        return {}
    return dict(pl.DataFrame(known.select(["_source_file", "_file_sha256"])).unique().rows())


def _grouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Join small files' rows, so that a table of many small files is written in few commits."""
    group: list[pa.Table] = []
    rows = 0
    for table in tables:
        group.append(table)
        rows += table.num_rows
        if rows >= ROWS_PER_FILE_GROUP:
            yield pa.concat_tables(group)
            group, rows = [], 0
    if group:
        yield pa.concat_tables(group)


def newest_day(lake: Lakehouse, contracts: Iterable[Contract]) -> date | None:
    """The last landing day that any of these bronze tables has ingested."""
    marks = [
        info.watermark
        for contract in contracts
        if lake.exists(contract.name)
        for info in [lake.last_commit(contract.name)]
        if info is not None and info.watermark
    ]
    return date.fromisoformat(max(marks)) if marks else None
