"""The checks of a stream: judged by a sensor every half minute, or by a person who runs the check."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from c360.streams.health import CHECKS, Finding, dead_letters, judge, newest_event
from c360.streams.job import StreamJob, load_jobs
from c360_assets.defs.streaming.assets import stream_key
from c360_assets.resources.streams import StreamsResource

RUNNING = "running"
DESCRIPTIONS = {RUNNING: "The stream does what is wanted of it, or the reconciler has told why not."} | dict(CHECKS)


def evaluation(stream: str, finding: Finding) -> dict[str, Any]:
    """A finding as arguments of Dagster's results and evaluations; what cannot be measured passes, and says so."""
    metadata: dict[str, Any] = {"level": finding.level}
    if finding.value is not None:
        metadata["value"] = finding.value
    if finding.limits is not None:
        metadata |= {"warn_above": finding.limits.warn, "error_above": finding.limits.error}
    return {
        "asset_key": stream_key(stream),
        "check_name": finding.check,
        "passed": finding.level in {"ok", "unknown"},
        "severity": dg.AssetCheckSeverity.ERROR if finding.level == "error" else dg.AssetCheckSeverity.WARN,
        "description": finding.text,
        "metadata": metadata,
    }


def findings(opened: Any, name: str, restarts: int | None = None) -> tuple[list[Finding], Any]:
    """Every judged figure of a stream and its status. ``restarts``: of the window; without, all of this submission."""
    from c360.lakehouse import Lakehouse
    from c360.streams.status import describe

    sight, now = opened.look(name), datetime.now(UTC)
    seen = describe(opened, sight)
    with Lakehouse(opened.settings) as lake:
        dead, newest = dead_letters(lake, sight.job, now), newest_event(lake, sight.job, now)
    counted = seen.restarts if restarts is None else restarts
    return judge(sight.job, seen, sight.commits, counted, dead, now, newest), seen


def running_finding(wanted: str, *, ok: bool, text: str) -> Finding:
    """The check that the reconciler gives."""
    return Finding(RUNNING, "ok" if ok else "error", f"wanted {wanted}: {text}")


def stream_checks(job: StreamJob) -> dg.AssetChecksDefinition:
    """All checks of one stream as one step."""
    specs: Sequence[dg.AssetCheckSpec] = [
        dg.AssetCheckSpec(name, asset=stream_key(job.name), description=text) for name, text in DESCRIPTIONS.items()
    ]

    @dg.multi_asset_check(name=f"{job.name.replace('-', '_')}_health", specs=specs)
    def health(streams: StreamsResource) -> Iterator[dg.AssetCheckResult]:
        with streams.open() as opened:
            found, seen = findings(opened, job.name)
        found.append(running_finding(seen.wanted, ok=seen.as_wanted, text=seen.reason))
        for finding in found:
            yield dg.AssetCheckResult(**evaluation(job.name, finding))

    return health


@dg.definitions
def streaming_checks() -> dg.Definitions:
    """Checks of every stream."""
    return dg.Definitions(asset_checks=[stream_checks(job) for job in load_jobs().values()])
