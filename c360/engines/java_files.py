"""Files that engines on the JVM read: Java properties, and how to log to standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CONSOLE = """\
rootLogger.level = {level}
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_OUT
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{{yyyy-MM-dd'T'HH:mm:ss.SSS}} %p %c{{1}}: %m%n%ex
"""


def console_logging(level: str, loggers: Mapping[str, str]) -> str:
    """Log4j 2 properties: one line per event on standard output, which an engine's guard appends to its log file."""
    lines = [CONSOLE.format(level=level)]
    for number, (logger, its_level) in enumerate(loggers.items()):
        lines += [f"logger.l{number}.name = {logger}", f"logger.l{number}.level = {its_level}"]
    return "\n".join(lines) + "\n"


def properties(values: Mapping[str, str]) -> str:
    """A Java properties file in ASCII: such a file is Latin-1 to many readers, whatever the machine's locale."""
    return "".join(f"{key}={_escape(value)}\n" for key, value in values.items())


def _escape(value: str) -> str:
    text = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    units = text.encode("utf-16-be")
    codes = [int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2)]
    text = "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)
    return f"\\{text}" if text.startswith(" ") else text
