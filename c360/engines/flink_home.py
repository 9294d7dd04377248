"""Flink itself, as the project ``streaming_jobs/`` locks it, apart from the main environment.

Of the ``apache-flink`` packages only the jars, plugins and scripts are used; jobs are SQL, so their Python dependencies
are locked away.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from c360.engines.dagster_server import project_root
from c360.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping

INSTALL_TIMEOUT = 1800.0
NEEDS_JDK = "jdk.compiler/"  # exported by Flink's own options for a class that only its tests use; a JRE refuses it


def project() -> Path:
    """Folder of the uv project that locks Flink; EngineError when the command runs outside of a clone."""
    folder = project_root() / "streaming_jobs"
    if not (folder / "uv.lock").is_file():
        raise EngineError(f"There is no {folder / 'uv.lock'}", "run the command in a clone of the project")
    return folder


def flink_home() -> Path:
    """Folder that holds Flink's ``lib``, ``plugins`` and ``conf``, as installed or as it will be."""
    environment = project() / ".venv"
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return environment / "lib" / python / "site-packages" / "pyflink"


def install() -> Path:
    """Install the locked Flink (330 MB) unless it is there, and return its home.

    Raises:
        EngineError: there is no uv, or it cannot install: no network, no space.
    """
    folder, home = project(), flink_home()
    stamp = folder / ".venv" / ".c360-installed"
    try:
        with FileLock(folder / ".install.lock"):
            wanted = hashlib.sha256((folder / "uv.lock").read_bytes()).hexdigest()
            if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and (home / "lib").is_dir():
                return home
            print("Installing Flink into streaming_jobs/.venv …", file=sys.stderr)
            _sync(folder)
            stamp.write_text(wanted, encoding="utf-8")
    except OSError as error:
        raise EngineError(
            f"{folder} cannot be written ({error.strerror or error})", "free space, or its rights"
        ) from error
    return home


def _sync(folder: Path) -> None:
    # A caller's environment may point uv at another environment, or at the main one.
    env = {k: v for k, v in os.environ.items() if k not in {"UV_PROJECT_ENVIRONMENT", "VIRTUAL_ENV", "UV_PROJECT"}}
    command = (find_uv(), "sync", "--frozen", "--quiet", "--project", str(folder), "--python", sys.executable)
    try:
        subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=INSTALL_TIMEOUT, env=env, cwd=folder
        )
    except subprocess.SubprocessError as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        raise EngineError(
            f"uv cannot install Flink ({said[-1].strip() if said else error})",
            "check the network (HTTPS_PROXY, SSL_CERT_FILE, UV_DEFAULT_INDEX) and the space, then run it again",
        ) from error


def find_uv() -> str:
    """The uv on PATH, else the one that make has put into the project; EngineError if there is none."""
    for place in (shutil.which("uv"), project_root() / ".tools" / "bin" / "uv", Path(sys.executable).with_name("uv")):
        if place is not None and Path(place).is_file():
            return str(place)
    raise EngineError("There is no uv, which installs Flink", "run `make setup-streaming` once; it brings its own")


def class_path(home: Path) -> list[Path]:
    """Flink's own jars in the order of its scripts: ``flink-dist`` last, so that a logging jar before it wins."""
    found = sorted((home / "lib").glob("*.jar"))
    return [jar for jar in found if "flink-dist" not in jar.name] + [jar for jar in found if "flink-dist" in jar.name]


def java_options(home: Path) -> tuple[str, ...]:
    """The module options that this version of Flink asks for, but those that only a JDK knows.

    Raises:
        EngineError: Flink's own configuration cannot be read.
    """
    import yaml

    path = home / "conf" / "config.yaml"
    try:
        conf: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        options = str(conf["env"]["java"]["opts"]["all"]).split()
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise EngineError(
            f"{path} cannot be read ({error})", f"delete {path.parents[5]}, then start Flink again"
        ) from error
    return tuple(option for option in options if NEEDS_JDK not in option)
