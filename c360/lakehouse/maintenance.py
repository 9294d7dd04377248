"""Upkeep of a table's files, run by Spark: small files joined, old snapshots and their files dropped, orphans removed.

What expires is decided here, by id, because Spark's own rule (age and count) knows nothing of who still needs what.
Kept are: everything back to the oldest published snapshot that is young, among the last few, the newest commit of data,
the one that a consumer read last, or the newest of a stream; and all that a tag or an unpublished branch holds.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import ancestors_of
from tenacity import Retrying, retry_if_exception_message, stop_after_attempt, wait_random_exponential

from c360.errors import LakehouseError
from c360.lakehouse import refs
from c360.lakehouse.ledger import last_commit, lineage
from c360.lakehouse.staged import stale_branches

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pyiceberg.table import Table, Transaction
    from pyiceberg.table.snapshots import Snapshot
    from pyspark.sql import SparkSession

    from c360.lakehouse.lake import Lakehouse

logger = logging.getLogger(__name__)
FLINK_JOB_ID, STREAM_DIGITS = "flink.job-id", 12
"""By what a snapshot tells its stream: the first digits of its job's id."""
_LOST_RACE = (
    r"(?s).*(CommitFailedException|Cannot commit|database is locked|[Ss]till referenced by"
    r"|could not be found in the latest snapshot|Missing required files to delete).*"
)


@dataclass(frozen=True)
class Policy:
    """What upkeep may drop. Ages count from the ``now`` that upkeep is given.

    ``keep_streams_for``: how long the newest commit of a stream that has ended is kept, with all after it. Where it is
    gone, the stream cannot tell what it has committed, and must not be resumed.
    """

    keep_snapshots_for: timedelta = timedelta(days=5)
    keep_snapshots_at_least: int = 5
    keep_streams_for: timedelta = timedelta(days=60)
    keep_orphans_for: timedelta = timedelta(days=3)
    small_files_at_least: int = 5
    target_file_bytes: int = 128 * 1024 * 1024

    def __post_init__(self) -> None:
        if self.keep_orphans_for < timedelta(days=1):
            raise LakehouseError(
                "Orphans younger than a day may belong to a write in progress", "keep orphans for a day or more"
            )
        if self.keep_snapshots_at_least < 1:
            raise LakehouseError("A table cannot do without its newest snapshot", "keep at least one snapshot")


@dataclass(frozen=True)
class Upkeep:
    """What upkeep did to one table."""

    name: str
    rewritten_files: int
    written_files: int
    rewritten_manifests: int
    expired_snapshots: int
    deleted_files: int
    orphan_files: int
    kept_for: Mapping[str, int] = field(default_factory=dict)


def consumers(lake: Lakehouse, names: Iterable[str] | None = None) -> dict[str, dict[str, int]]:
    """Per table, its consumers and the snapshot each has read last, from the consumers' own ledgers."""
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for consumer in names if names is not None else lake.names():
        commit = lake.last_commit(consumer)
        for source, snapshot_id in (commit.sources if commit else {}).items():
            found[source][consumer] = snapshot_id
    return dict(found)


def expirable(table: Table, needed: Iterable[int], now: datetime, policy: Policy) -> list[int]:
    """Ids of the snapshots that nothing needs any more, oldest first; ``needed`` are what consumers read last."""
    published = list(lineage(table))
    if not published:
        return []
    limit = (now - policy.keep_snapshots_for).timestamp() * 1000
    newest = last_commit(table)
    wanted = {*needed, newest.snapshot_id if newest else published[0].snapshot_id}
    wanted |= _newest_of_streams(published, now - policy.keep_streams_for)
    last_kept = min(policy.keep_snapshots_at_least, len(published)) - 1
    for i, snapshot in enumerate(published):
        if snapshot.timestamp_ms >= limit or snapshot.snapshot_id in wanted:
            last_kept = max(last_kept, i)
    # Contiguous, because a consumer's difference is only known along an unbroken line.
    keep = {snapshot.snapshot_id for snapshot in published[: last_kept + 1]}
    line = {snapshot.snapshot_id for snapshot in published}
    for name, ref in table.refs().items():
        if name == MAIN_BRANCH:
            continue
        for snapshot in ancestors_of(table.snapshot_by_id(ref.snapshot_id), table.metadata):
            if snapshot.snapshot_id in line and snapshot.snapshot_id != ref.snapshot_id:
                keep.add(snapshot.snapshot_id)  # the base that a branch's publication is checked against
                break
            keep.add(snapshot.snapshot_id)
            if ref.snapshot_ref_type == "tag":
                break
    old = [s for s in table.snapshots() if s.snapshot_id not in keep]
    return [s.snapshot_id for s in sorted(old, key=lambda s: s.timestamp_ms)]


def _newest_of_streams(published: Iterable[Snapshot], since: datetime) -> set[int]:
    """Ids of the newest commit of each stream: a sink that is restored looks there for what it has committed."""
    newest: dict[str, int] = {}
    for snapshot in published:
        job = snapshot.summary.additional_properties.get(FLINK_JOB_ID) if snapshot.summary else None
        if job is not None and snapshot.timestamp_ms >= since.timestamp() * 1000:
            newest.setdefault(job[:STREAM_DIGITS], snapshot.snapshot_id)
    return set(newest.values())


def maintain(
    lake: Lakehouse,
    spark: SparkSession,
    name: str,
    *,
    needed: Mapping[str, int] | None = None,
    now: datetime | None = None,
    policy: Policy | None = None,
) -> Upkeep:
    """Compact, expire, rewrite manifests and remove orphans of one table; safe beside writers.

    ``needed`` maps consumers to the snapshot they read last (by default asked of all tables, see :func:`consumers`).
    A publication staged before a compaction is refused with PublishConflict, as after any other commit.
    """
    policy, now = policy or Policy(), now or datetime.now(UTC)
    if needed is None:
        needed = consumers(lake).get(name, {})
    lake.commit(name, _without_stale_branches, f"tidy {name}")
    compacted = _call(
        spark,
        f"rewrite_data_files(table => '{name}', options => map('min-input-files', '{policy.small_files_at_least}', "
        f"'target-file-size-bytes', '{policy.target_file_bytes}'))",
    )
    manifests = _call(spark, f"rewrite_manifests(table => '{name}', use_caching => false)")
    expired, deleted = _expire(lake, spark, name, needed, now, policy)
    before = _literal(now - policy.keep_orphans_for)
    orphans = spark.sql(f"CALL lake.system.remove_orphan_files(table => '{name}', older_than => {before})").collect()
    return Upkeep(
        name,
        int(compacted.get("rewritten_data_files_count", 0)),
        int(compacted.get("added_data_files_count", 0)),
        int(manifests.get("rewritten_manifests_count", 0)),
        expired,
        deleted,
        len(orphans),
        dict(needed),
    )


def _expire(
    lake: Lakehouse, spark: SparkSession, name: str, needed: Mapping[str, int], now: datetime, policy: Policy
) -> tuple[int, int]:
    old = expirable(lake.table(name), needed.values(), now, policy)
    if not old:
        return 0, 0
    ids = ", ".join(f"{snapshot_id}L" for snapshot_id in old)
    done = _call(
        spark,
        f"expire_snapshots(table => '{name}', older_than => {_literal(datetime(1970, 1, 1, tzinfo=UTC))}, "
        f"snapshot_ids => ARRAY({ids}))",
    )
    return (len(old) if done else 0), sum(int(value or 0) for key, value in done.items() if key.startswith("deleted_"))


def _call(spark: SparkSession, procedure: str) -> dict[str, Any]:
    """Run one of Iceberg's procedures; a race lost to another writer is run again, and a lost one too many skipped.

    Skipping is safe: whatever was not tidied now is tidied by the next run. Raises LakehouseError for other failures.
    """
    from pyspark.errors import PySparkException

    retrying = Retrying(
        retry=retry_if_exception_message(match=_LOST_RACE),
        stop=stop_after_attempt(5),
        wait=wait_random_exponential(multiplier=0.5, max=10),
        reraise=True,
    )
    try:
        rows = retrying(lambda: spark.sql(f"CALL lake.system.{procedure}").collect())
    except PySparkException as error:
        if re.match(_LOST_RACE, str(error)):
            logger.warning("Skipped %s: other writers won every retry", procedure)
            return {}
        reason = str(error).strip().splitlines()[0]
        raise LakehouseError(
            f"Spark could not run {procedure}: {reason}", "look into the Spark log, then rerun"
        ) from error
    return rows[0].asDict() if rows else {}


def _without_stale_branches(table: Table) -> Transaction | None:
    stale = stale_branches(table)
    if not stale:
        return None
    transaction = table.transaction()
    refs.stage(transaction, tuple(refs.drop(ref) for ref in stale))
    return transaction


def _literal(moment: datetime) -> str:
    return f"TIMESTAMP '{moment.astimezone(UTC).strftime('%Y-%m-%d %H:%M:%S')}+00:00'"
