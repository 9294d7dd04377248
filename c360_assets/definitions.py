"""The Dagster code location: everything below ``defs/`` plus the resources it runs with."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from c360_assets.resources.lake import LakehouseResource
from c360_assets.resources.spark import SparkResource
from c360_assets.resources.streams import StreamsResource


@dg.definitions
def defs() -> dg.Definitions:
    """All assets, checks, jobs, schedules and sensors of the Customer 360."""
    found = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    resources = dg.Definitions(
        resources={"lakehouse": LakehouseResource(), "spark": SparkResource(), "streams": StreamsResource()},
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(found, resources)
