"""Refusals before a start, and what the files of a stream tell when its record is lost."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from c360.errors import StreamError
from c360.streams import guards
from c360.streams.decide import decide
from c360.streams.flink import FlinkJob
from c360.streams.job import StreamJob
from c360.streams.record import Launch, Record, Records, Savepoint, chosen_at, id_prefix, new_job_id
from c360.streams.sight import Sight
from c360.streams.sinks import SinkCommit
from c360.streams.states import State, find_states, read_state

if TYPE_CHECKING:
    from c360.settings import Settings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FIRST, SECOND = new_job_id("orders", NOON), new_job_id("orders", NOON + timedelta(hours=1))
STRANGER = "0" * 12 + "f" * 20


def commit(job_id: str, checkpoint: int, *, hours: float = 0.5, known: bool = True) -> SinkCommit:
    return SinkCommit("silver.orders", job_id, checkpoint, NOON + timedelta(hours=hours), 1, known)


def state(job_id: str | None, checkpoint: int, hours: float = 0.5) -> State:
    return State("/chk", checkpoint, NOON + timedelta(hours=hours), job_id)


@pytest.mark.parametrize(
    ("statements", "default", "refused"),
    [
        ([], False, False),
        ([], True, True),
        (["SET 'execution.checkpointing.unaligned.enabled' = 'true'"], False, True),
        (["set 'execution.checkpointing.unaligned'='TRUE'"], False, True),
        (["SET 'execution.checkpointing.unaligned.enabled' = 'false'"], True, False),
        (["SET 'execution.checkpointing.mode' = 'EXACTLY_ONCE'"], False, False),
    ],
)
def test_unaligned_checkpoints(statements: list[str], default: bool, refused: bool) -> None:
    if refused:
        with pytest.raises(
            StreamError, match=r"unaligned.*Mend: set execution.checkpointing.unaligned.enabled to false"
        ):
            guards.refuse_unaligned("orders", statements, cluster_default=default)
    else:
        guards.refuse_unaligned("orders", statements, cluster_default=default)


@pytest.mark.parametrize(
    ("taken", "committed", "older"),
    [
        (state(FIRST, 7), commit(FIRST, 7), False),
        (state(FIRST, 8), commit(FIRST, 7), False),
        (state(FIRST, 6), commit(FIRST, 7), True),
        (state(FIRST, 99), commit(SECOND, 7, hours=1.1), True),  # a fresh launch counts from one again
        (state(SECOND, 1), commit(FIRST, 7), False),
        (state(None, 7), commit(FIRST, 7), False),
        (state(None, 6), commit(FIRST, 7), True),
        (state(None, 99, hours=0.9), commit(SECOND, 7, hours=1.1), True),
        (state(FIRST, 7), commit(STRANGER, 3, hours=2.0, known=False), True),
        (state(SECOND, 7, hours=1.5), commit(STRANGER, 3, hours=0.2, known=False), False),
    ],
)
def test_state_older_than_the_tables(taken: State, committed: SinkCommit, older: bool) -> None:
    if older:
        with pytest.raises(StreamError, match=r"older than what stream orders has committed to silver.orders.*roll"):
            guards.refuse_older("orders", taken, [committed])
    else:
        guards.refuse_older("orders", taken, [committed])


def test_start_without_state() -> None:
    guards.refuse_stateless("orders", [])
    with pytest.raises(StreamError, match=r"it has committed to silver.orders.*--from PATH.*--fresh"):
        guards.refuse_stateless("orders", [commit(FIRST, 7)])
    with pytest.raises(StreamError, match="a Flink job of unknown origin has committed"):
        guards.refuse_stateless("orders", [commit(STRANGER, 7, known=False)])
    guards.refuse_stateless("orders", [commit(FIRST, 7)], fresh_since=SECOND)
    with pytest.raises(StreamError):
        guards.refuse_stateless("orders", [commit(SECOND, 7)], fresh_since=SECOND)


def test_second_job_and_unwritable_storage(tmp_path: Path) -> None:
    guards.refuse_second("orders", [])
    with pytest.raises(StreamError, match=r"runs already: a \(RUNNING\).*stop it first"):
        guards.refuse_second("orders", [FlinkJob("a", "orders", "RUNNING", NOON)])
    guards.refuse_unwritable("orders", [tmp_path / "checkpoints"])
    assert list((tmp_path / "checkpoints").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(StreamError, match=r"cannot keep its state: .*file/checkpoints.*Mend: free space"):
        guards.refuse_unwritable("orders", [tmp_path / "file" / "checkpoints"])


def test_job_id_tells_its_stream_and_moment() -> None:
    assert len(FIRST) == 32
    assert int(FIRST, 16)
    assert FIRST.startswith(id_prefix("orders"))
    assert id_prefix("orders") != id_prefix("events")
    assert (chosen_at(FIRST), chosen_at(STRANGER)) == (NOON, None)


def checkpoint(folder: Path, number: int, *, whole: bool = True) -> Path:
    """A checkpoint's folder as Flink leaves it: magic, version, id of the checkpoint, then the rest."""
    folder.mkdir(parents=True)
    head = struct.pack(">IIQ", 0x4960672D, 6, number)
    (folder / "_metadata").write_bytes(head + b"rest" if whole else head[:9])
    return folder


def test_newest_state_is_of_the_last_launch_that_has_any(settings: Settings) -> None:
    checkpoints, savepoints = settings.checkpoint_dir, settings.savepoint_dir
    old = checkpoint(checkpoints / FIRST / "chk-9", 9)
    new = checkpoint(checkpoints / SECOND / "chk-2", 2)
    checkpoint(checkpoints / SECOND / "chk-3", 3, whole=False)
    (checkpoints / SECOND / "chk-4").mkdir()
    checkpoint(checkpoints / new_job_id("events", NOON + timedelta(hours=5)) / "chk-50", 50)
    assert [found.path for found in find_states(settings, Record("orders"))] == [str(new), str(old)]
    saved = checkpoint(savepoints / f"savepoint-{SECOND[:6]}-abc", 3)
    record = Record("orders", savepoint=Savepoint(f"file:{saved}", SECOND), launches=(Launch(SECOND, "f"),))
    assert [found.path for found in find_states(settings, record)] == [str(saved), str(new), str(old)]
    begun = new_job_id("orders", NOON + timedelta(hours=2))
    fresh = Record("orders", savepoint=record.savepoint, launches=(Launch(begun, "f"),), fresh_since=begun)
    assert find_states(settings, fresh) == []
    with pytest.raises(StreamError, match="is not whole"):
        read_state(str(checkpoints / SECOND / "chk-3"))
    with pytest.raises(StreamError, match="holds no checkpoint or savepoint"):
        read_state(f"file://{checkpoints / SECOND / 'chk-4'}")


def test_record_comes_back_as_written_and_is_its_owners(tmp_path: Path) -> None:
    records = Records(tmp_path)
    assert records.read("orders") == Record("orders")
    written = Record(
        "orders",
        "stopped",
        "by hand",
        (Launch(FIRST, "f", "/chk", confirmed=True),),
        Savepoint("/s", FIRST),
        "f",
        ("a",),
    ).failed(FIRST, "no slot", NOON)
    records.write(written)
    assert records.read("orders") == written
    assert records.path("orders").stat().st_mode & 0o077 == 0
    assert written.failed(FIRST, "again", NOON).failures == 1
    assert written.failed(SECOND, "again", NOON).failures == 2
    records.path("orders").write_text("{")
    with pytest.raises(StreamError, match=r"cannot be read.*delete it"):
        records.read("orders")


def test_job_that_this_product_ended_itself_is_resumed_and_not_held() -> None:
    job = StreamJob("orders", "", Path(), ("t",), ("silver.orders",))
    gone = FlinkJob(FIRST, "orders", "FINISHED", NOON)
    record = Record("orders", "running", launches=(Launch(FIRST, "f", confirmed=True),))
    taken = (state(FIRST, 7),)
    by_person = Sight(job, record, (gone,), taken, (), None)
    assert decide("running", by_person.observed(NOON)).kind == "hold"
    by_upgrade = replace(by_person, record=replace(record, ending=FIRST))
    assert decide("running", by_upgrade.observed(NOON)).kind == "resume"
