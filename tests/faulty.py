"""Storage that refuses, for child processes: ``[*files_up_to(20_000), sys.executable, "-m", …]``.

Run as a script, it limits itself and becomes the command. (A function run between fork and exec would be shorter, but
forking a process with threads is a warning from Python 3.12 on.)
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys

PR_CAPBSET_DROP = 24
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
NO_LIMIT = 0


def files_up_to(size: int) -> list[str]:
    """No file grows beyond ``size`` bytes: what a full disk is to a process."""
    return [sys.executable, __file__, str(size)]


def bound_by_permissions() -> list[str]:
    """Permissions bind the command even if it runs as root."""
    return files_up_to(NO_LIMIT)


def main(size: int, command: list[str]) -> None:
    if size:
        # Python does not notice that a file of bytecode is cut short, and whoever imports it next fails.
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    elif sys.platform == "linux":
        libc = ctypes.CDLL(None)
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails for others than root, who have nothing to drop
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
