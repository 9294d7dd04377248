"""``silver.rejected`` and ``silver.deduplicated``: shared by all silver tables, each record in them once."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
from pyiceberg.expressions import EqualTo, Reference
from pyiceberg.expressions.literals import literal
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from c360.errors import PublishConflict
from c360.lakehouse import Commit, Lakehouse
from c360_assets.pipeline.existing import beyond

POSITION = ["source_file", "source_row"]

# Several silver tables write here at once; the loser of a publish stages again on the winner's snapshot.
again_after_conflict = retry(
    retry=retry_if_exception_type(PublishConflict),
    stop=stop_after_attempt(10),
    wait=wait_random_exponential(multiplier=0.1, max=5),
    reraise=True,
)


@again_after_conflict
def append_once(lake: Lakehouse, side: str, source_table: str, rows: pa.Table, commit: Commit) -> int:
    """Append the rows whose source position is not there yet; returns how many were added."""
    if not rows.num_rows:
        return 0
    known = lake.read(side, columns=POSITION, where=f"source_table = '{source_table}'")
    fresh = rows
    if known.num_rows:
        missing = pl.DataFrame(rows).join(pl.DataFrame(known), on=POSITION, how="anti", maintain_order="left")
        fresh = missing.to_arrow().cast(rows.schema)
    if fresh.num_rows:
        with lake.stage(side, commit) as staged:
            staged.append(fresh)
            staged.publish()
    return int(fresh.num_rows)


@again_after_conflict
def replace_rows(
    lake: Lakehouse, side: str, source_table: str, rows: pa.Table, commit: Commit, files: set[str]
) -> None:
    """Replace the rows of ``source_table`` that come from ``files`` by ``rows``: the counterpart of a rebuild."""
    of_table = EqualTo(term=Reference("source_table"), value=literal(source_table))
    if not rows.num_rows and not lake.read(side, columns=POSITION, where=of_table).num_rows:
        return
    with lake.stage(side, commit) as staged:
        # Read after the base of the write is known, so that rows of another writer are a conflict and not a loss.
        kept = beyond(lake, side, "source_file", files, of_table)
        staged.overwrite(pa.concat_tables([kept.cast(rows.schema), rows]), where=of_table)
        staged.publish()
