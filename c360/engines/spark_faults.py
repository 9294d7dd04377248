"""What Spark reports when disk, permissions, memory or the catalog fail it, said as one sentence with its mend."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from c360.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

# Spark wraps the cause in a stack of its own, over which only these words of system and libraries are stable.
_MENDS = {
    "No space left on device": "free disk space and rerun",
    "Disk quota exceeded": "free disk space and rerun",
    "File too large": "free disk space, or raise the limit of file sizes, and rerun",
    "Permission denied": "make the warehouse and the folder of C360_HOME writable for Spark, then rerun",
    "Read-only file system": "make the warehouse and the folder of C360_HOME writable for Spark, then rerun",
    "database is locked": "let the process that keeps the catalog locked finish, or end it, and rerun",
    "Java heap space": "raise C360_SPARK_MEMORY, restart Spark (`c360 down spark`, `c360 up spark`) and rerun",
}


@contextmanager
def faults_named() -> Iterator[None]:
    """Raise EngineError for a failure of the machine that Spark reports; other failures of Spark pass unchanged."""
    from pyspark.errors import PySparkException

    try:
        yield
    except PySparkException as error:
        text = str(error)
        for words, mend in _MENDS.items():
            if words in text:
                line = next(line.strip() for line in text.splitlines() if words in line)
                raise EngineError(f"Spark failed: {line[:300]}", mend) from error
        raise
