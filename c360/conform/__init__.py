"""From bronze to silver: standardise, type, check and deduplicate by the contract alone; pure functions over Polars.

``received = accepted + deduplicated + rejected (+ skipped on a rerun)`` holds by position, always.
"""

from __future__ import annotations

from c360.conform.core import conform
from c360.conform.outcome import (
    Existing,
    Outcome,
    Summary,
    accepted_schema,
    key_text,
)

__all__ = [
    "Existing",
    "Outcome",
    "Summary",
    "accepted_schema",
    "conform",
    "key_text",
]
