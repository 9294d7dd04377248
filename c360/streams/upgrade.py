"""Changed SQL on a stream with state: stop with a savepoint, start the new SQL from it, or go back to the old."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from c360.errors import C360Error, StreamError
from c360.streams import guards
from c360.streams.runner import PATIENCE_S, fingerprint_of
from c360.streams.states import State, find_states, read_state

if TYPE_CHECKING:
    from c360.streams.runner import Streams
    from c360.streams.sight import Sight

PROVEN_S = 60.0


@dataclass(frozen=True)
class Upgraded:
    """What became of an upgrade. ``state`` is what was started from; ``reason`` says why the old SQL runs again."""

    stream: str
    result: Literal["unchanged", "upgraded", "fell_back"]
    job_id: str | None
    state: str | None = None
    reason: str = ""


def upgrade(streams: Streams, name: str, *, wait: float = PROVEN_S) -> Upgraded:
    """Run the SQL as it is now in place of what runs, with the same state.

    The new job has proved itself when it has completed a checkpoint within ``wait`` seconds. Otherwise it is cancelled
    and the old SQL is started again from the newest state, which is the savepoint unless the new job got further.

    Raises:
        StreamError: nothing was changed because of a guard or because no savepoint was taken; or neither runs now.
    """
    with streams.records.exclusive(name, "streams upgrade", PATIENCE_S):
        sight = streams.look(name)
        texts = streams.rendered(sight.job)
        mark, record = fingerprint_of(texts), sight.record
        running = sight.active[0].id if sight.active else None
        if mark == record.fingerprint and running:
            return Upgraded(name, "unchanged", running)
        if sight.unready:
            raise StreamError(f"Flink cannot run jobs: {sight.unready}", "start it with `c360 up flink`")
        if len(sight.active) > 1:
            guards.refuse_second(name, sight.active)
        guards.refuse_unaligned(name, texts, cluster_default=streams.flink.unaligned())
        old = (record.statements, record.fingerprint)
        if running:
            taken = streams.stop_job(record, running)
            state: State | None = read_state(taken, running)
        else:
            state = sight.states[0] if sight.states else None
        sight = streams.look(name)
        record = replace(sight.record, wanted="running", wanted_by="upgraded by a person")
        sight = replace(sight, record=streams.records.write(record))
        try:
            job_id = streams.launch(sight, state, sql=(texts, mark))
            streams.await_running(name, job_id, wait, checkpoints=1)
        except C360Error as error:
            if state is None or not old[0]:
                raise
            return _fall_back(streams, name, old, error)
        return Upgraded(name, "upgraded", job_id, state.path if state else None)


def _fall_back(streams: Streams, name: str, old: tuple[tuple[str, ...], str], error: C360Error) -> Upgraded:
    sight = _cleared(streams, name, old)
    states = find_states(streams.settings, sight.record)
    try:
        job_id = streams.launch(sight, states[0], sql=old)
        streams.await_running(name, job_id, PROVEN_S, checkpoints=1)
    except C360Error as second:
        raise StreamError(
            f"The new SQL of stream {name} failed ({error.problem}), and so did the old one ({second.problem})",
            f"correct the SQL, then run `c360 streams upgrade {name}` again",
        ) from second
    streams.records.write(streams.records.read(name).healthy())
    return Upgraded(name, "fell_back", job_id, states[0].path, error.problem)


def _cleared(streams: Streams, name: str, old: tuple[tuple[str, ...], str]) -> Sight:
    """The stream after the new job has gone, with the old SQL as the one to resume if this command dies here."""
    record = streams.records.read(name)
    newest = record.newest.job_id if record.newest else ""
    streams.records.write(replace(record, statements=old[0], fingerprint=old[1], ending=newest))
    for job in streams.look(name).active:
        streams.flink.cancel(job.id)
    return streams.look(name)
