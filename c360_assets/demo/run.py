"""Run the whole graph as one Dagster run in this process, showing each asset as it is done."""

from __future__ import annotations

import logging
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from c360.engines.dagster_server import prepare_home
from c360.errors import C360Error
from c360.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

JOB = "customer_360_build"


@dataclass(frozen=True)
class Outcome:
    """One finished run: its id, whether it succeeded, and every check by asset and name."""

    run_id: str
    succeeded: bool
    checks: dict[tuple[str, str], bool]
    failures: dict[str, str]


def landed_days(landing: Path) -> tuple[date, date]:
    """First and last day that has landing files; C360Error if there is none."""
    days = sorted({folder.name for folder in landing.glob("*/*/????-??-??") if folder.is_dir()})
    if not days:
        raise C360Error(f"No landing files below {landing}", "generate or land some first")
    return date.fromisoformat(days[0]), date.fromisoformat(days[-1])


def build(settings: Settings, first: date, last: date, console: Console) -> Outcome:
    """Materialise every asset for the landing days ``first`` … ``last``, in the instance that the UI shows."""
    days = {
        "dagster/asset_partition_range_start": first.isoformat(),
        "dagster/asset_partition_range_end": last.isoformat(),
    }
    return run_job(settings, JOB, console, days)


def run_job(settings: Settings, name: str, console: Console, tags: dict[str, str] | None = None) -> Outcome:
    """Run a job in this process, in the instance that the UI shows."""
    # A session that has ended lets go of its last answers when nobody listens any more.
    logging.getLogger("pyspark.sql.connect.logging").setLevel(logging.ERROR)
    os.environ["DAGSTER_HOME"] = str(prepare_home(settings))
    os.environ["C360_HOME"] = str(settings.home)
    console.print("Loading the asset graph")
    import dagster as dg

    from c360_assets.definitions import defs

    job = defs().resolve_job_def(name)
    run_id = str(uuid.uuid4())
    run_config = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with dg.DagsterInstance.get() as instance, ThreadPoolExecutor(1) as worker:
        running = worker.submit(
            job.execute_in_process,
            instance=instance,
            run_id=run_id,
            raise_on_error=False,
            run_config=run_config,
            tags=tags or {},
        )
        _watch(instance, run_id, running, len(job.graph.node_dict), console)
        result = running.result()
        checks = {
            (evaluation.asset_key.to_user_string(), evaluation.check_name): evaluation.passed
            for event in result.all_events
            if event.event_type_value == "ASSET_CHECK_EVALUATION"
            for evaluation in [event.asset_check_evaluation_data]
        }
        failures = {
            event.step_key or "": (event.step_failure_data.error.message if event.step_failure_data.error else "")
            for event in result.all_events
            if event.is_step_failure
        }
        return Outcome(run_id, result.success, checks, failures)


def _watch(instance: dg.DagsterInstance, run_id: str, running: object, steps: int, console: Console) -> None:
    from concurrent.futures import Future, wait

    assert isinstance(running, Future)
    columns = (TextColumn("{task.description:<42}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=steps)
        seen = 0
        while not running.done():
            wait([running], timeout=0.5)
            stats = instance.get_run_step_stats(run_id)
            done = [s for s in stats if s.end_time is not None]
            current = next((s.step_key for s in stats if s.end_time is None), "")
            progress.update(task, completed=len(done), description=current.replace("__", ".") or "starting")
            if not console.is_terminal and len(done) >= seen + 5:
                seen = len(done)
                console.print(f"  {len(done)} of {steps} steps done")
        progress.update(task, completed=steps, description="done")
