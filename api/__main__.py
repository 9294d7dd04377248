"""``python -m api``: answer requests until interrupted, with one JSON object per line in the log."""

from __future__ import annotations

import gc
import logging
import sys
import warnings

from api.loglines import BlockHandler
from c360.errors import C360Error
from c360.settings import LOOPBACK, Settings


def serve(host: str = LOOPBACK, port: int | None = None) -> None:
    """Listen. Raises SettingsError for settings that may not be used."""
    import uvicorn
    from pydantic.warnings import UnsupportedFieldAttributeWarning

    from api.main import create_app

    logging.basicConfig(level=logging.INFO, handlers=[BlockHandler()])
    logging.captureWarnings(capture=True)
    # FastAPI silences this one while it makes its fields; that fails when another thread silences another meanwhile.
    warnings.simplefilter("ignore", UnsupportedFieldAttributeWarning)
    # What no line of this log shows need not be found out for each (see the how-to of Python's logging).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    settings = Settings()
    port = port or settings.api_port
    # The app's own line per request has the route, and not the path, in which an id may stand.
    options = {"log_config": None, "access_log": False, "server_header": False, "timeout_graceful_shutdown": 20}
    app = create_app(settings)
    # What is there by now stays: no collection of garbage needs to walk through it again, while requests wait.
    gc.collect()
    gc.freeze()
    uvicorn.run(app, host=host, port=port, **options)  # type: ignore[arg-type]


def main() -> int:
    """Exit code 1 with the mend for settings that may not be used."""
    try:
        serve()
    except C360Error as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
