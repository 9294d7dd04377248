"""The log: one JSON object per line on standard error, written in blocks."""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from datetime import UTC, datetime
from typing import TextIO

import orjson

from api.spans import IDS

BLOCK = 64 * 1024
LATEST_S = 0.2


class JsonLines(logging.Formatter):
    """Time, level, logger, message, what the record brings of a request, and the span within which it was written."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        found = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        more = record.__dict__
        for name in ("request_id", "ms"):
            if name in more:
                found[name] = more[name]
        span = IDS.get()
        if span is not None:
            found["trace_id"], found["span_id"] = f"{span.trace_id:032x}", f"{span.span_id:016x}"
        if record.exc_info:
            found["error"] = without_text(record.exc_info[1])
        try:
            return orjson.dumps(found).decode()
        except TypeError:
            # What is no text in UTF-8, as a path of bytes: never a reason to lose the line.
            return orjson.dumps(
                {**found, "message": ascii(found["message"]), "error": ascii(found.get("error"))}
            ).decode()


def without_text(error: BaseException | None) -> str:
    """Where an exception and its causes came from, and their types. What they say may quote a customer's row."""
    parts = []
    while error is not None:
        parts.append("".join(traceback.format_tb(error.__traceback__)) + type(error).__qualname__)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n\nafter\n\n".join(parts)


class BlockHandler(logging.Handler):
    """Lines leave together, after at most ``LATEST_S`` seconds; warnings and worse, and all before them, at once.

    A killed process loses the last lines. What must survive is in the audit log, which is not written here.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self._stream = stream or sys.stderr
        self._lines: list[str] = []
        self._size = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._often, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line, or write all."""
        try:
            line = self.format(record)
        except (TypeError, ValueError):
            self.handleError(record)
            return
        self._lines.append(line)
        self._size += len(line)
        if self._size > BLOCK or record.levelno >= logging.WARNING:
            self.flush()

    def flush(self) -> None:
        """Write what is kept."""
        with self.lock or threading.RLock():
            if self._lines:
                text = "\n".join(self._lines) + "\n"
                self._lines, self._size = [], 0
                try:
                    self._stream.write(text)
                    self._stream.flush()
                except (OSError, ValueError):
                    # Nobody reads the log any more; requests do not fail for that.
                    return

    def close(self) -> None:
        """Write what is kept and stop."""
        self._over.set()
        self.flush()
        super().close()

    def _often(self) -> None:
        while not self._over.wait(LATEST_S):
            self.flush()
