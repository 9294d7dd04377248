"""Supervision, on small real processes: what is started is known, is ended, and nothing else is touched."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from c360.engines.identity import TOKEN
from c360.engines.stack import Stack
from c360.engines.state import Entry, StackState
from c360.errors import EngineError
from c360.settings import Settings
from tests.conftest import free_port
from tests.unit.engines.engine_specs import SERVE, eventually, gone, pid_in, server, spec, tagged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from c360.engines.process import EngineSpec

IDLE = "import time; time.sleep(600)"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    settings = Settings(home=tmp_path / "home")
    yield settings
    for process in tagged(settings):
        process.kill()


def test_up_status_down(settings: Settings, port: int) -> None:
    stack = server(settings, port)
    (engine,) = stack.up("toy")
    assert (engine.name, engine.state, engine.port) == ("toy", "running", port)
    assert psutil.Process(engine.pid).cmdline()[-1] == str(port)
    assert engine.memory > 0
    assert Stack(settings).status()[0].pid == engine.pid
    assert len(tagged(settings)) == 2  # the engine and its guard
    assert stack.down() == ["toy"]
    assert gone(engine.pid)
    assert stack.status() == []
    assert stack.down() == []


def test_second_start_is_refused_and_names_the_pid(settings: Settings, port: int) -> None:
    (engine,) = server(settings, port).up("toy")
    with pytest.raises(EngineError, match=rf"pid {engine.pid}.*c360 down"):
        server(settings, port).up("toy")
    with pytest.raises(EngineError, match=f"pid {engine.pid}"), server(settings, port).running("toy"):
        pass
    assert [e.pid for e in server(settings, port).up("toy", exist_ok=True)] == [engine.pid]
    server(settings, port).down()


def test_another_command_at_work_is_named(settings: Settings, port: int) -> None:
    script = (
        "import sys, time; from pathlib import Path; from c360.engines.state import StackState\n"
        "with StackState(Path(sys.argv[1])).exclusive('up', 0): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(settings.home)], stdout=subprocess.PIPE)
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(EngineError, match=rf"Another 'up' \(pid {holder.pid}\) is at work"):
            server(settings, port).up("toy")
        holder.kill()
    server(settings, port).up("toy")  # the lock of a killed command is free
    server(settings, port).down()


def test_killed_engine_is_seen_and_healed(settings: Settings, port: int) -> None:
    stack = server(settings, port)
    (engine,) = stack.up("toy")
    os.kill(engine.pid, signal.SIGKILL)
    assert eventually(lambda: stack.status()[0].state == "dead")
    (healed,) = stack.up("toy")
    assert healed.state == "running"
    assert healed.pid != engine.pid
    stack.down()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_killed_guard_takes_the_engine_along(settings: Settings, port: int) -> None:
    stack = server(settings, port)
    (engine,) = stack.up("toy")
    psutil.Process(engine.pid).parent().kill()  # type: ignore[union-attr]
    assert eventually(lambda: gone(engine.pid))
    assert stack.status()[0].state == "dead"
    assert stack.down() == ["toy"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_engine_is_asked_to_end_by_its_own_signal(settings: Settings, port: int, number: int) -> None:
    code = (
        "import signal, socket, sys, pathlib\n"
        "def told(number, _):\n"
        "    pathlib.Path(sys.argv[2]).write_text(str(number))\n"
        "    sys.exit()\n"
        "for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, told)\n"
        "server = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "while True: server.accept()[0].close()"
    )
    note = settings.home / "signal"
    toy = spec(settings, "toy", code, str(port), str(note), port=port, stop_signal=number)
    stack = Stack(settings, {"toy": lambda _: (toy,)})
    stack.up("toy")
    stack.down()
    assert note.read_text() == str(int(number))


def test_stopped_engine_is_silent_not_running(settings: Settings, port: int) -> None:
    stack = server(settings, port)
    (engine,) = stack.up("toy")
    closed = dataclasses.replace(StackState(settings.home).entries()["toy"], port=free_port())
    StackState(settings.home).put(closed)
    assert stack.status()[0].state == "silent"
    stack.down()
    assert gone(engine.pid)


def test_port_of_a_stranger_names_the_setting(settings: Settings, port: int) -> None:
    refusal = pytest.raises(EngineError, match=rf"Port {port}.*pid {os.getpid()}.*C360_TOY_PORT")
    with socket.create_server(("127.0.0.1", port)), refusal:
        server(settings, port).up("toy")
    assert tagged(settings) == []


def test_stranger_that_takes_the_port_during_the_start_is_not_mistaken_for_the_engine(
    settings: Settings, port: int
) -> None:
    strangers: list[socket.socket] = []

    def engine(s: Settings) -> tuple[EngineSpec, ...]:
        def intrude() -> None:
            strangers.append(socket.create_server(("127.0.0.1", port)))

        return (spec(s, "toy", IDLE, port=port, prepare=intrude, start_timeout=1.0),)

    try:
        with pytest.raises(EngineError, match=rf"port {port} is answered by .*pid {os.getpid()}"):
            Stack(settings, {"toy": engine}).up("toy")
    finally:
        strangers[0].close()


def test_port_of_a_stranger_on_all_addresses(settings: Settings, port: int) -> None:
    with socket.create_server(("", port)), pytest.raises(EngineError, match="C360_TOY_PORT"):
        server(settings, port).up("toy")


def test_recycled_pid_is_not_mistaken_and_never_ended(settings: Settings, port: int) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", IDLE])
    try:
        settings.home.mkdir()
        created = psutil.Process(stranger.pid).create_time()
        StackState(settings.home).put(
            Entry("toy", "token-of-a-dead-start", stranger.pid, created - 100.0, stranger.pid, port, ready=True)
        )
        stack = server(settings, port)
        assert stack.status()[0].state == "dead"
        stack.up("toy")
        assert stranger.poll() is None
        StackState(settings.home).put(Entry("other", "token-of-a-dead-start", stranger.pid, created, stranger.pid))
        assert sorted(stack.down()) == ["other", "toy"]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_engine_that_ignores_the_request_is_killed(settings: Settings, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open(sys.argv[1], 'w').write(f'{os.getpid()}\\n'); time.sleep(600)"
    )
    stack = Stack(settings, {"stubborn": lambda s: (spec(s, "stubborn", code, str(note), grace=0.5),)})
    stack.up("stubborn")
    pid = pid_in(note)
    stack.down()
    assert gone(pid)


def test_descendants_in_other_sessions_are_ended_too(settings: Settings, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        "open(sys.argv[1], 'w').write(f'{child.pid}\\n'); time.sleep(600)"
    )
    stack = Stack(settings, {"parent": lambda s: (spec(s, "parent", code, str(note)),)})
    (engine,) = stack.up("parent")
    child = pid_in(note)
    os.kill(engine.pid, signal.SIGKILL)
    assert eventually(lambda: stack.status()[0].state == "dead")
    assert not gone(child)
    stack.down()
    assert eventually(lambda: gone(child))


def test_engine_starts_with_default_signals(settings: Settings, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    code = (
        "import signal, sys\n"
        "default = signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "open(sys.argv[1], 'w').write(f'{int(default)}\\n'); import time; time.sleep(600)"
    )
    stack = Stack(settings, {"toy": lambda s: (spec(s, "toy", code, str(note)),)})
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a shell's background job
    try:
        stack.up("toy")
    finally:
        signal.signal(signal.SIGINT, before)
    assert pid_in(note) == 1
    stack.down()


def test_end_while_starting_quotes_the_log(settings: Settings, port: int) -> None:
    code = "import sys; print('ValueError: the disk is upside down'); sys.exit(3)"
    stack = Stack(settings, {"toy": lambda s: (spec(s, "toy", code, port=port),)})
    with pytest.raises(EngineError, match=r"toy ended while starting: ValueError: the disk is upside down.*toy\.log"):
        stack.up("toy")
    assert stack.status() == []


def test_never_ready_is_given_up_without_orphans(settings: Settings, port: int) -> None:
    stack = Stack(settings, {"toy": lambda s: (spec(s, "toy", IDLE, port=port, start_timeout=1.0),)})
    with pytest.raises(EngineError, match=rf"not ready after 1 s \(port {port} does not answer\)"):
        stack.up("toy")
    assert stack.status() == []
    assert [
        p for p in psutil.process_iter() if IDLE in " ".join(_command(p)) and str(settings.home) in _command(p)
    ] == []


def test_failure_of_one_ends_the_others_of_the_same_start(settings: Settings, port: int, tmp_path: Path) -> None:
    def both(s: Settings) -> tuple[object, ...]:
        good = spec(s, "good", SERVE, str(port), port=port)
        return good, dataclasses.replace(spec(s, "bad", IDLE), command=(str(tmp_path / "missing"),))

    stack = Stack(settings, {"both": both})  # type: ignore[dict-item]
    with pytest.raises(EngineError, match="bad cannot be started"):
        stack.up("both")
    assert stack.status() == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_end_of_one_is_told_at_once_while_another_waits_for_it(settings: Settings, port: int) -> None:
    def both(s: Settings) -> tuple[EngineSpec, EngineSpec]:
        code = "import sys; print('Error: Unrecognized VM option'); sys.exit(1)"
        return spec(s, "waiting", IDLE, port=port, start_timeout=120.0), spec(s, "worker", code, start_timeout=120.0)

    stack, began = Stack(settings, {"both": both}), time.monotonic()
    with pytest.raises(EngineError, match=r"worker ended while starting: Error: Unrecognized VM option.*worker\.log"):
        stack.up("both")
    assert time.monotonic() - began < 20
    assert stack.status() == []


def test_unknown_engine(settings: Settings, port: int) -> None:
    with pytest.raises(EngineError, match=r"no engine 'kafka'.*toy"):
        server(settings, port).up("kafka")


def test_unreadable_state_is_refused(settings: Settings, port: int) -> None:
    settings.home.mkdir()
    (settings.home / "stack.json").write_text('{"engines": ')
    with pytest.raises(EngineError, match=r"stack\.json cannot be read.*delete it"):
        server(settings, port).up("toy")


def test_home_that_cannot_be_written(tmp_path: Path, port: int) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match="C360_HOME"):
        server(Settings(home=tmp_path / "file" / "home"), port).up("toy")


def test_running_ends_with_its_block(settings: Settings, port: int) -> None:
    stack, pids = server(settings, port), []

    def block() -> None:
        with stack.running("toy"):
            pids.append(stack.status()[0].pid)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        block()
    assert gone(pids[0])
    assert stack.status() == []


def test_previous_log_is_kept(settings: Settings, port: int) -> None:
    for _ in range(2):
        with server(settings, port).running("toy"):
            pass
    assert sorted(path.name for path in settings.log_dir.iterdir()) == ["toy.log", "toy.log.1"]


@contextmanager
def killed(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leaving a ``Popen`` waits for its process: a test that failed must not wait for ever."""
    try:
        yield
    finally:
        process.kill()


# The suite may run where signals are ignored, in the background of a shell, and its children inherit that.
HEEDING = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
"""
FOREGROUND = """
import sys, time
from pathlib import Path
from c360.settings import Settings
from tests.unit.engines.engine_specs import server, spec
with server(Settings(home=Path(sys.argv[1])), int(sys.argv[2])).running("toy"):
    print("ready", flush=True)
    time.sleep(600)
"""
STARTING = """
import sys
from pathlib import Path
from c360.settings import Settings
from tests.unit.engines.engine_specs import server
server(Settings(home=Path(sys.argv[1])), int(sys.argv[2]), ready=lambda: "never").up("toy")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
@pytest.mark.parametrize("script", [FOREGROUND, STARTING], ids=["foreground", "while starting"])
def test_no_orphan_however_the_command_ends(settings: Settings, port: int, script: str, number: signal.Signals) -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", HEEDING + script, str(settings.home), str(port)]
    null = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=root, stderr=null, stdout=null) as parent, killed(parent):
        state = StackState(settings.home)
        assert eventually(lambda: "toy" in state.entries() and state.entries()["toy"].engine_pid > 0, 30)
        if script is FOREGROUND:
            assert eventually(lambda: state.entries()["toy"].ready, 30)
        entry = state.entries()["toy"]
        assert not gone(entry.engine_pid)
        parent.send_signal(number)
        assert parent.wait(15) != 0
    assert eventually(lambda: gone(entry.engine_pid) and gone(entry.pid))
    (engine,) = server(settings, port).up("toy")
    assert engine.state == "running"
    server(settings, port).down()


def test_background_engine_outlives_its_command(settings: Settings, port: int) -> None:
    script = FOREGROUND.replace("with server", "server").replace('.running("toy"):', '.up("toy")').split("    print")[0]
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", script, str(settings.home), str(port)]
    # Read to their end, the command's streams must not be kept open by the engine that lives on.
    subprocess.run(command, cwd=root, check=True, timeout=60, capture_output=True)
    stack = server(settings, port)
    assert not eventually(lambda: stack.status()[0].state != "running", 1.0)
    assert stack.down() == ["toy"]
    assert stack.status() == []


def test_state_file_holds_no_more_than_the_processes(settings: Settings, port: int) -> None:
    server(settings, port).up("toy")
    document = json.loads((settings.home / "stack.json").read_text())
    assert set(document["engines"]) == {"toy"}
    assert not list(settings.home.glob("*.part"))
    server(settings, port).down()
    assert json.loads((settings.home / "stack.json").read_text())["engines"] == {}


def test_down_inside_an_engine_spares_the_caller(
    settings: Settings, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (engine,) = server(settings, port).up("toy")
    token = StackState(settings.home).entries()["toy"].token
    root = Path(__file__).parents[3]
    script = (
        "import sys; from pathlib import Path\n"
        "from c360.settings import Settings; from c360.engines.stack import Stack\n"
        "print(Stack(Settings(home=Path(sys.argv[1]))).down())"
    )
    command = [sys.executable, "-c", script, str(settings.home)]
    env = os.environ | {TOKEN: token}
    answer = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.strip() == "['toy']"
    assert gone(engine.pid)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
