"""Errors a person can act on: what is wrong, and the one thing that mends it."""

from __future__ import annotations


class C360Error(Exception):
    """A refusal with its mend.

    Every refusal of the product derives from this, so that the command line prints one sentence instead of a
    traceback, and Dagster shows the mend in the run's failure.
    """

    def __init__(self, problem: str, mend: str) -> None:
        super().__init__(f"{problem.rstrip('.')}. Mend: {mend.rstrip('.')}.")
        self.problem = problem
        self.mend = mend


class SettingsError(C360Error):
    """A setting is wrong or contradicts another."""


class ContractError(C360Error):
    """A data contract cannot be parsed, is incomplete, or breaks its readers."""


class EngineError(C360Error):
    """An engine (Java, Spark, …) cannot be fetched, started or reached."""


class LandingError(C360Error):
    """A landing file cannot be taken in as it is."""


class LakehouseError(C360Error):
    """A table cannot be read, written or published."""


class AuditFailed(LakehouseError):
    """The audit of a staged write failed; the published table is unchanged."""


class PublishConflict(LakehouseError):
    """The published table moved while a write was staged; the staged write was not published."""


class StreamError(C360Error):
    """A streaming job is described wrongly, may not be started as asked, or cannot be managed."""
