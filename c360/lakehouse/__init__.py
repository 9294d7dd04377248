"""The Iceberg lakehouse: tables from contracts, audited before they are published, readable at any point in time."""

from __future__ import annotations

from c360.lakehouse.changes import Changes
from c360.lakehouse.lake import Lakehouse
from c360.lakehouse.ledger import Commit, CommitInfo
from c360.lakehouse.merge import MergeResult
from c360.lakehouse.staged import Staged

__all__ = ["Changes", "Commit", "CommitInfo", "Lakehouse", "MergeResult", "Staged"]
