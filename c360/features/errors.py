"""What the store can refuse."""

from __future__ import annotations

from c360.errors import C360Error


class StoreError(C360Error):
    """The feature store cannot be reached, is not made as it should be, or refuses its reader or writer."""


class StoreStopped(StoreError):
    """Asked to end before everything was written: what was not is read again after the next start."""
