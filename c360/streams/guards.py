"""What must hold before a stream is started; each refusal names its mend. Pure, but for the probe of the storage."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from c360.errors import StreamError
from c360.streams.record import chosen_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from c360.streams.flink import FlinkJob
    from c360.streams.sinks import SinkCommit
    from c360.streams.states import State

UNALIGNED = re.compile(
    r"SET\s+'execution\.checkpointing\.unaligned(?:\.enabled)?'\s*=\s*'(true|false)'", re.IGNORECASE | re.DOTALL
)


def refuse_unaligned(stream: str, statements: Iterable[str], *, cluster_default: bool) -> None:
    """Iceberg's sink loses rows with unaligned checkpoints (apache/iceberg#15846)."""
    said = [value.lower() == "true" for text in statements for value in UNALIGNED.findall(text)]
    if said[-1] if said else cluster_default:
        where = f"its SQL of {stream}" if said else "Flink's configuration"
        raise StreamError(
            f"Stream {stream} would take unaligned checkpoints, with which Iceberg's sink may lose rows",
            f"set execution.checkpointing.unaligned.enabled to false in {where.removeprefix('its ')}",
        )


def refuse_unwritable(stream: str, folders: Iterable[Path]) -> None:
    """A job whose checkpoints cannot be kept would never commit, and could not be resumed."""
    for folder in folders:
        probe = folder / f".c360-probe-{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"x")
            probe.unlink()
        except OSError as error:
            raise StreamError(
                f"Stream {stream} cannot keep its state: {folder} cannot be written ({error.strerror})",
                "free space, or give this user the right to write there",
            ) from error


def refuse_second(stream: str, active: Sequence[FlinkJob]) -> None:
    """Two jobs of one name would write every row twice."""
    if active:
        listed = ", ".join(f"{job.id} ({job.state})" for job in active)
        mend = "leave it, or stop it first" if len(active) == 1 else f"stop both: c360 streams stop {stream}"
        raise StreamError(f"Stream {stream} runs already: {listed}", mend)


def refuse_stateless(stream: str, commits: Sequence[SinkCommit], fresh_since: str = "") -> None:
    """Without its state a stream reads its topics again, and its sinks may silently commit nothing (iceberg#18098)."""
    since = chosen_at(fresh_since) if fresh_since else None
    for commit in commits:
        chosen = chosen_at(commit.job_id)
        if since is not None and (chosen or commit.committed_at) < since:
            continue  # a person has accepted that
        whose = "it" if commit.known else "a Flink job of unknown origin"
        raise StreamError(
            f"Stream {stream} has no state to start from, but {whose} has committed to {commit.table} "
            f"(job {commit.job_id}, checkpoint {commit.checkpoint_id}, {commit.committed_at:%Y-%m-%d %H:%M:%S} UTC); "
            "a start without state would write rows again",
            f"bring back its checkpoints and run `c360 streams start {stream} --from PATH`, "
            f"or empty the tables and run `c360 streams start {stream} --fresh`",
        )


def refuse_older(stream: str, state: State, commits: Sequence[SinkCommit]) -> None:
    """What is committed after the state was taken would be lost or repeated (iceberg#10892)."""
    for commit in commits:
        theirs = chosen_at(commit.job_id)
        if state.job_id is not None and state.job_id != commit.job_id:
            ours = chosen_at(state.job_id) or state.written_at
            older = ours < (theirs or commit.committed_at)
        else:
            # A savepoint that nobody claims: a job that was launched after it, or one of its checkpoints after it.
            older = state.checkpoint_id < commit.checkpoint_id or (theirs is not None and theirs > state.written_at)
        if older:
            raise StreamError(
                f"{state.path} (checkpoint {state.checkpoint_id}) is older than what stream {stream} has committed to "
                f"{commit.table} (checkpoint {commit.checkpoint_id} of job {commit.job_id})",
                f"start from a newer state (`c360 streams status {stream}` names it), or roll {commit.table} back to "
                "the snapshot of that checkpoint first",
            )
