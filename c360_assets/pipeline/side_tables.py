"""``silver.rejected`` and ``silver.deduplicated``: shared by all silver tables, each record in them once."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from c360.errors import PublishConflict
from c360.lakehouse import Commit, Lakehouse

POSITION = ["source_file", "source_row"]

# Several silver tables write here at once; the loser of a publish stages again on the winner's snapshot.
_again = retry(
    retry=retry_if_exception_type(PublishConflict),
    stop=stop_after_attempt(10),
    wait=wait_random_exponential(multiplier=0.1, max=5),
    reraise=True,
)


@_again
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


@_again
def replace_rows(lake: Lakehouse, side: str, source_table: str, rows: pa.Table, commit: Commit) -> None:
    """Replace all rows of ``source_table`` by ``rows``: the counterpart of a full rebuild."""
    where = f"source_table = '{source_table}'"
    if not rows.num_rows and not lake.read(side, columns=POSITION, where=where).num_rows:
        return
    with lake.stage(side, commit) as staged:
        staged.overwrite(rows, where=where)
        staged.publish()
