"""What a stream has committed to its tables, as their snapshots tell it: the ledger that survives every record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from c360.streams.record import id_prefix

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pyiceberg.table import Table

    from c360.lakehouse import Lakehouse
    from c360.streams.record import Record

JOB_ID = "flink.job-id"
CHECKPOINT_ID = "flink.max-committed-checkpoint-id"


@dataclass(frozen=True)
class SinkCommit:
    """The newest commit of a stream to one table; ``known`` is False if no stream here has started that Flink job."""

    table: str
    job_id: str
    checkpoint_id: int
    committed_at: datetime
    snapshot_id: int
    known: bool = True


def last_commits(lake: Lakehouse, tables: Iterable[str], record: Record, streams: Iterable[str]) -> list[SinkCommit]:
    """The newest commit to each table by this stream, or, where it has none, by a Flink job of unknown origin.

    Commits of the other ``streams`` and of batch runs are passed over. Raises LakehouseError if a table cannot be read.
    """
    from c360.lakehouse.faults import named

    own = {launch.job_id for launch in record.launches}
    others = {id_prefix(name) for name in streams} - {id_prefix(record.stream)}
    found = []
    for name in tables:
        if lake.exists(name):
            with named(f"read {name}"):
                found += _last(name, lake.catalog.load_table(name), own, id_prefix(record.stream), others)
    return found


def _last(name: str, table: Table, own: set[str], prefix: str, others: set[str]) -> list[SinkCommit]:
    from c360.lakehouse.ledger import lineage

    stranger: list[SinkCommit] = []
    for snapshot in lineage(table):
        summary: Mapping[str, str] = dict(snapshot.summary.additional_properties) if snapshot.summary else {}
        job_id = summary.get(JOB_ID)
        if job_id is None or job_id[:12] in others:
            continue
        ours = job_id in own or job_id.startswith(prefix)
        commit = SinkCommit(
            name,
            job_id,
            int(summary.get(CHECKPOINT_ID, 0)),
            datetime.fromtimestamp(snapshot.timestamp_ms / 1000, tz=UTC),
            snapshot.snapshot_id,
            known=ours,
        )
        if ours:
            return [commit]
        stranger = stranger or [commit]
    return stranger
