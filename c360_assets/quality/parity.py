"""Difference between a stream and batch → Dagster: what is told of it, and the check of a table of features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

if TYPE_CHECKING:
    from c360.streams.parity import Difference


def figures(found: Difference) -> dict[str, Any]:
    """How many keys were compared and how many differ in which way, with some of these, as metadata."""
    return {
        "compared": found.compared,
        "missing": found.missing.height,
        "surplus": found.surplus.height,
        "changed": found.changed.height,
        "examples": dg.MetadataValue.json([{k: str(v) for k, v in each.items()} for each in found.examples()]),
    }


def parity_result(found: Difference) -> dg.AssetCheckResult:
    """A comparison of features: red where it is not explained; which entities have moved on is told beside it."""
    moment = "nothing yet" if found.as_of is None else f"as of {found.as_of.isoformat()}"
    return dg.AssetCheckResult(
        passed=found.unexplained == 0,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{found.table}, {moment}: {found.total} of {found.compared} differ, "
        f"{found.pending.height} of them have moved on",
        metadata={"as_of": moment, **figures(found), "moved_on": found.pending.height},
    )
