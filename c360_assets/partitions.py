"""The one time partitioning of the graph: a partition is the day on which files landed.

Only bronze is partitioned. Silver and gold advance by Iceberg snapshot instead (every commit names the source
snapshots it consumed), because a landing day touches event times of many days: a partition by landing day would
say nothing about which silver or gold rows changed.
"""

from __future__ import annotations

from datetime import date

import dagster as dg

FIRST_LANDING_DAY = "2025-01-01"

landing_days = dg.DailyPartitionsDefinition(start_date=FIRST_LANDING_DAY, end_offset=1)


def days_of(keys: list[str]) -> list[date]:
    """Partition keys as dates."""
    return [date.fromisoformat(key) for key in keys]
