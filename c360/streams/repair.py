"""Brings the tables of a stream to what batch computes: late events into their windows, and whatever else differs.

Flink goes on appending meanwhile: only rows that differ are replaced, in one commit, which begins again on newer
metadata. A second run finds nothing to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from c360.lakehouse.ledger import Commit
from c360.streams.job import METRICS
from c360.streams.metrics import KEY
from c360.streams.parity import compare_metrics, compare_silver
from c360.streams.recompute import PLACE

if TYPE_CHECKING:
    import polars as pl
    from pyiceberg.table import Table, Transaction

    from c360.lakehouse import Lakehouse
    from c360.streams.job import StreamJob

REASON = "c360.repair"
"""Property of the snapshot that says which stream was repaired."""


def fold(lake: Lakehouse, job: StreamJob, run_id: str) -> int:
    """Compute the closed windows again that late events touch; the number of rows that changed."""
    difference, batch = compare_metrics(lake, job)
    return _replace_windows(lake, job, run_id, batch, difference.pending)


def recompute_metrics(lake: Lakehouse, job: StreamJob, run_id: str) -> int:
    """Bring all closed windows of the job to what silver says; the number of rows that differed."""
    import polars as pl

    found, batch = compare_metrics(lake, job)
    return _replace_windows(lake, job, run_id, batch, pl.concat([found.missing, found.surplus, found.changed]))


def recompute_silver(lake: Lakehouse, job: StreamJob, run_id: str) -> int:
    """Bring the job's silver table to what bronze says; the number of rows that differed."""
    import polars as pl

    found, batch = compare_silver(lake, job)
    keys = pl.concat([found.missing, found.surplus, found.changed]).unique()
    places = [f"(kafka_partition = {p} and kafka_offset = {o})" for p, o in keys.select(PLACE).iter_rows()]
    rows = batch.join(keys, on=PLACE, how="semi")
    _replace(lake, job, job.silver.name, run_id, rows, " or ".join(places), job.bronze.name)
    return keys.height


def _replace_windows(lake: Lakehouse, job: StreamJob, run_id: str, batch: pl.DataFrame, keys: pl.DataFrame) -> int:
    import polars as pl

    windows = pl.DataFrame({"window_start": keys.get_column("window_start").unique().sort()})
    rows = batch.join(windows, on="window_start", how="semi")  # a window is read and replaced as a whole
    moments = ", ".join(f"'{moment.isoformat()}'" for moment in windows.to_series().to_list())
    where = f"source_topic = '{job.inputs[0]}' and window_start in ({moments})" if moments else ""
    _replace(lake, job, METRICS, run_id, rows, where, job.silver.name)
    return keys.select(KEY).unique().height


def _replace(
    lake: Lakehouse, job: StreamJob, table: str, run_id: str, rows: pl.DataFrame, where: str, source: str
) -> None:
    if not where:
        return
    told = Commit(run_id, sources={source: lake.snapshot(source) or 0}, extra={REASON: job.name})
    data = rows.to_arrow().cast(lake.empty(table).schema)

    def change(fresh: Table) -> Transaction:
        transaction = fresh.transaction()
        transaction.overwrite(data, overwrite_filter=where, snapshot_properties=told.properties())
        return transaction

    lake.commit(table, change, f"repair {table} for the stream {job.name}")
