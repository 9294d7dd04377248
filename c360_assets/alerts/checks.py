"""Red asset checks, whether a run evaluated them or a sensor did."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from c360_assets.alerts.model import Alert, Cleared, Observation, Severity
from c360_assets.alerts.sources import events_after, newest, position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster import AssetCheckEvaluation

    from c360_assets.alerts.sources import Links, View


def red_checks(view: View, part: Any, now: datetime) -> tuple[list[Observation], Any]:
    """Every evaluation since the last look; at the first look the checks that are red now.

    A check of a partition is a condition of its own: another partition's success does not end it.
    """
    from dagster import DagsterEventType

    after = position(view, part)
    if after is None:
        after = newest(view)
        return list(_red_now(view)), {"after": after}
    entries, after = events_after(view, [DagsterEventType.ASSET_CHECK_EVALUATION], after, now)
    seen: list[Observation] = []
    for entry in entries:
        assert entry.dagster_event is not None
        evaluation = cast("AssetCheckEvaluation", entry.dagster_event.event_specific_data)
        seen.append(_observation(view.links, evaluation, entry.timestamp))
    return seen, {"after": after}


def _observation(links: Links, evaluation: AssetCheckEvaluation, at: float) -> Observation:
    from dagster import AssetCheckSeverity

    asset = evaluation.asset_key.to_user_string()
    key, of_partition = f"check:{asset}:{evaluation.check_name}", ""
    if evaluation.partition is not None:
        key, of_partition = f"{key}:{evaluation.partition}", f" for {evaluation.partition}"
    link, when = links.check(evaluation.asset_key, evaluation.check_name), datetime.fromtimestamp(at, UTC)
    if evaluation.passed:
        return Cleared(key, "The check passed.", link, when)
    severity: Severity = "error" if evaluation.severity is AssetCheckSeverity.ERROR else "warning"
    title = f"Check {evaluation.check_name} of {asset} failed{of_partition}"
    return Alert(key, severity, title, evaluation.description or "The check gave no reason.", link, when)


def _red_now(view: View) -> Iterator[Alert]:
    """The last finished evaluation of each check (and partition) of the graph, where it is red."""
    from dagster._core.event_api import PartitionKeyFilter
    from dagster._core.storage.asset_check_execution_record import (
        COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
        AssetCheckExecutionRecordStatus,
    )

    storage = view.instance.event_log_storage
    for info in storage.get_asset_check_partition_info(sorted(view.graph.asset_check_keys)):
        if info.latest_execution_status is AssetCheckExecutionRecordStatus.SUCCEEDED:
            continue
        for record in storage.get_asset_check_execution_history(
            info.check_key,
            limit=1,
            status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES,
            partition_filter=PartitionKeyFilter(key=info.partition_key),
        ):
            assert record.event is not None
            assert record.evaluation is not None
            seen = _observation(view.links, record.evaluation, record.event.timestamp)
            if isinstance(seen, Alert):
                yield seen
