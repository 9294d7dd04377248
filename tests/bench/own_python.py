"""A Python for a peer whose libraries stay out of this project's lock: made by uv in a folder of the measurement."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


def own_python(folder: Path, lock: Path) -> Path:
    """Make ``folder/python`` with what ``lock`` names and nothing else; its ``bin``. Raises SystemExit without uv."""
    uv = os.environ.get("UV") or shutil.which("uv") or str(lock.parents[2] / ".tools" / "bin" / "uv")
    if not Path(uv).exists():
        raise SystemExit("--peers needs uv on PATH, or in .tools/ by `make setup`, to install a peer beside us")
    home = folder / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", "3.11", str(home)], check=True)
    install = [uv, "pip", "install", "--quiet", "--require-hashes", "-r", str(lock)]
    subprocess.run([*install, "--python", str(home / "bin" / "python")], check=True)
    return home / "bin"
