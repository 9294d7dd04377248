"""API10 of our own making: what was read is on file before the answer, and nobody changes the file unseen."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from api.security import audit as module
from api.security.audit import AuditLog
from api.security.audit_check import Verified, records, tail, verify
from api.security.audit_files import log_files
from api.security.errors import AuditError
from tests.faulty import files_up_to
from tests.unit.api_security.audit_writer import KEY, access

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def written(folder: Path, count: int = 10) -> Path:
    log = AuditLog(folder, KEY)
    for n in range(count):
        log.write(access(n))
    log.close()
    return log_files(folder)[-1]


def problems(folder: Path) -> tuple[str, ...]:
    return verify(folder, KEY).problems


def writer(folder: Path, count: int, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [*prefix, sys.executable, "-m", "tests.unit.api_security.audit_writer", str(folder), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_a_record_says_who_read_whom_and_how(folder: Path) -> None:
    path = written(folder, 1)
    first, record = (json.loads(line) for line in path.read_text().splitlines())
    assert first["start"] == 1
    at, client, mac = record.pop("at"), record.pop("client"), record.pop("mac")
    assert record == {
        "seq": 1, "prev": first["mac"], "request": "r0", "principal": "anna", "key": "k1", "roles": ["support"],
        "action": "customer:read", "resource": "customer", "outcome": "permitted", "subjects": ["C0"],
        "view": "direct=clear", "fields": [],
    }  # fmt: skip
    assert at.endswith("Z")
    assert len(mac) == 64
    assert client
    assert "10.0.0.7" not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert verify(folder, KEY) == Verified(1, 2, ())


def test_nothing_personal_that_was_asked_for_in_vain_is_written(folder: Path) -> None:
    log = AuditLog(folder, KEY)
    for outcome in ("not_found", "denied", "refused", "failed"):
        log.write(access(1, outcome=outcome, subjects=("zoe@example.com", "+4930123456"), request_id="zoe@example.com"))
    log.write(access(2, principal=None, request_id="a\nb", client=""))
    log.close()
    text = log_files(folder)[0].read_text()
    assert "zoe" not in text
    assert "123456" not in text
    assert len(text.splitlines()) == 6
    assert not problems(folder)


def changes(path: Path) -> dict[str, Callable[[list[bytes]], list[bytes]]]:
    return {
        "edited": lambda lines: [*lines[:4], lines[4].replace(b'"C3"', b'"C4"'), *lines[5:]],
        "last one edited": lambda lines: [*lines[:-1], lines[-1].replace(b"anna", b"bert")],
        "removed": lambda lines: lines[:4] + lines[5:],
        "first removed": lambda lines: lines[1:],
        "swapped": lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]],
        "repeated": lambda lines: [*lines[:4], lines[4], *lines[4:]],
        "spaced": lambda lines: [*lines[:4], lines[4].replace(b'","', b'", "', 1), *lines[5:]],
        "no record": lambda lines: [*lines[:4], b"nonsense", *lines[4:]],
        "torn": lambda lines: [*lines[:-1], lines[-1][:-20]],
    }


@pytest.mark.parametrize("how", list(changes(Path())))
def test_a_changed_line_is_found(folder: Path, how: str) -> None:
    path = written(folder)
    lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    assert not problems(folder)
    end = b"" if how == "torn" else b"\n"
    path.write_bytes(b"\n".join(changes(path)[how](lines)) + end)
    assert problems(folder)


def test_a_log_forged_without_the_key_is_found(folder: Path) -> None:
    log = AuditLog(folder, b"another key")
    log.write(access(1))
    log.close()
    assert problems(folder)


def test_a_file_cut_short_or_removed_is_found_by_those_begun_later(folder: Path) -> None:
    first = written(folder)
    written(folder, 1)
    lines = first.read_bytes().splitlines(keepends=True)
    first.write_bytes(b"".join(lines[:-1]))
    assert any("seen" in problem for problem in problems(folder))
    first.write_bytes(b"".join(lines))
    assert not problems(folder)
    first.unlink()
    assert any("gone" in problem for problem in problems(folder))


def test_a_torn_last_line_is_set_aside_at_the_next_start(folder: Path) -> None:
    path = written(folder)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    log = AuditLog(folder, KEY)
    assert log.set_aside == [path.name]
    log.close()
    assert path.read_bytes() == whole[: whole[:-1].rindex(b"\n") + 1]
    assert path.with_name(path.name + ".torn").read_bytes() == whole[whole[:-1].rindex(b"\n") + 1 : -9]
    assert not problems(folder)


def test_the_last_line_of_a_living_process_is_left_alone(folder: Path) -> None:
    log = AuditLog(folder, KEY)
    path = log_files(folder)[0]
    with path.open("ab") as file:
        file.write(b'{"half')
    other = AuditLog(folder, KEY)
    assert other.set_aside == []
    assert not problems(folder)
    other.close()
    log.close()
    assert any("torn" in problem for problem in problems(folder))


@pytest.mark.faults
def test_every_answered_request_is_on_file_after_kill_9(folder: Path) -> None:
    process = writer(folder, 1_000_000)
    assert process.stdout is not None
    answered = [process.stdout.readline() for _ in range(300)]
    os.kill(process.pid, signal.SIGKILL)
    answered += process.stdout.readlines()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    whole = {line.split()[1] for line in answered if line.endswith("\n")}
    AuditLog(folder, KEY).close()
    assert whole <= {record["request"] for record in records(folder)}
    assert not problems(folder)


@pytest.mark.faults
def test_a_full_disk_refuses_the_answer(folder: Path) -> None:
    process = writer(folder, 300, tuple(files_up_to(20_000)))
    output = process.communicate()[0].splitlines()
    assert process.returncode == 0
    assert sum("cannot be written" in line for line in output) == 1
    answered = [line.split()[1] for line in output if line.startswith("answered")]
    assert 0 < len(answered) < 300
    assert answered == [record["request"] for record in records(folder)], "neither more nor less than was answered"
    assert not problems(folder), "what did not fit whole was taken back"


def test_after_space_was_freed_the_log_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, real, room = AuditLog(folder, KEY), os.write, [60]

    def write(fd: int, line: bytes) -> int:
        return real(fd, line[: room[0]])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(AuditError, match="part"):
        log.write(access(1))
    room[0] = 100_000
    log.write(access(2))
    log.close()
    assert [record["request"] for record in records(folder)] == ["r2"]
    assert not problems(folder)


def test_a_disk_that_refuses_to_sync_ends_the_log(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = AuditLog(folder, KEY, fsync_s=0.02)
    failed = threading.Event()

    def refuse(_: int) -> None:
        failed.set()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", refuse)
    log.write(access(1))
    assert failed.wait(5)
    log._syncing.join(5)
    with pytest.raises(AuditError, match="Input/output error"):
        log.write(access(2))
    assert log.broken
    always = AuditLog(folder, KEY, fsync="always")
    with pytest.raises(AuditError):
        always.write(access(3))


def test_a_folder_that_cannot_be_written_refuses_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditError):
        AuditLog(tmp_path / "file", KEY)


def test_two_processes_and_many_threads_write_whole_chains(folder: Path) -> None:
    processes = [writer(folder, 200) for _ in range(2)]
    log = AuditLog(folder, KEY)

    def write() -> None:
        for n in range(100):
            log.write(access(n))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert len(log_files(folder)) == 3
    assert sum(1 for _ in records(folder)) == 2 * 200 + 4 * 100
    assert not problems(folder)


def test_a_new_day_and_a_large_file_begin_another_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock: dict[str, Any] = {"now": 1_800_000_000.0}
    monkeypatch.setattr(time, "time", lambda: clock["now"])
    log = AuditLog(folder, KEY, fsync="none")
    log.write(access(1))
    clock["now"] += 86_400
    log.write(access(2))
    monkeypatch.setattr(module, "ROTATED_AT", 100)
    log.write(access(3))
    log.close()
    assert [path.name[:16] for path in log_files(folder)] == [
        "audit-2027-01-15",
        "audit-2027-01-16",
        "audit-2027-01-16",
    ]
    assert [record["request"] for record in records(folder)] == ["r1", "r2", "r3"]
    assert [record["request"] for record in tail(folder, 2)] == ["r2", "r3"]
    assert not problems(folder)


def test_a_new_day_that_cannot_begin_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock: dict[str, Any] = {"now": 1_800_000_000.0}
    monkeypatch.setattr(time, "time", lambda: clock["now"])
    log, real = AuditLog(folder, KEY, fsync="none"), os.write
    log.write(access(1))
    clock["now"] += 86_400
    monkeypatch.setattr(os, "write", lambda fd, line: real(fd, line[:10]))
    for n in (2, 3):
        with pytest.raises(AuditError):
            log.write(access(n))
    assert len(log_files(folder)) == 1
    monkeypatch.setattr(os, "write", real)
    log.write(access(4))
    log.close()
    assert [record["request"] for record in records(folder)] == ["r1", "r4"]
    assert len(log_files(folder)) == 2
    assert not problems(folder)


def test_too_many_subjects_and_what_json_cannot_hold_are_refused(folder: Path) -> None:
    log = AuditLog(folder, KEY)
    with pytest.raises(AuditError):
        log.write(access(1, subjects=("C1",) * 1001))
    with pytest.raises(AuditError):
        log.write(access(1, resource="\ud800"))
    log.write(access(1))
    log.close()
    assert not problems(folder)
