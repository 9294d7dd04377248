"""The sink over the tables of the tests: ``python -m tests.integration.features.sink_process``."""

from __future__ import annotations

import signal
import sys
import threading

from c360.features.__main__ import run
from c360.settings import Settings
from tests.unit.features.feature_tables import TABLES


def main() -> None:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    sys.exit(run(Settings(), TABLES, ended))


if __name__ == "__main__":
    main()
