"""One way to commit to a table: build the change on fresh metadata, swap it in, begin again if someone was faster.

PyIceberg's own retry replays only parts of a transaction (a branch created in it would be lost), so each attempt here
is built anew from the data files that were written once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.table.update import AssertTableUUID

from c360.lakehouse.faults import named, retry_contention

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile
    from pyiceberg.table import Table, Transaction

Change = Callable[["Table"], "Transaction | None"]
"""Builds the change on the table as loaded; None when there is nothing left to do."""


def commit(catalog: Catalog, name: str, change: Change, timeout_s: float, action: str) -> Table:
    """Commit what ``change`` builds and return the table after it. Raises LakehouseError naming the mend."""

    def attempt() -> Table:
        table = catalog.load_table(name)
        transaction = change(table)
        if transaction is None or not transaction._updates:
            return table
        requirements = (*transaction._requirements, AssertTableUUID(uuid=table.metadata.table_uuid))
        loaded = table.metadata_location
        try:
            table._do_commit(transaction._updates, requirements)
        except CommitFailedException:
            _clean(transaction)
            raise
        except ValueError as error:
            # A commit to another branch takes the sequence number, which PyIceberg calls an invalid value.
            if catalog.load_table(name).metadata_location == loaded:
                raise
            _clean(transaction)
            raise CommitFailedException(f"{name} was changed meanwhile") from error
        return table

    with named(action):
        return retry_contention(attempt, timeout_s)


def _clean(transaction: Transaction) -> None:
    """Delete the manifests of a commit that certainly did not land."""
    for producer in transaction._snapshot_producers:
        producer._clean_all_uncommitted()


def add_snapshot(
    transaction: Transaction,
    branch: str,
    properties: Mapping[str, str],
    added: Iterable[DataFile] = (),
    removed: Iterable[DataFile] = (),
) -> None:
    """Stage one snapshot that adds and removes data files; with neither, an empty one that only carries the ledger."""
    removed = list(removed)
    update = transaction.update_snapshot(snapshot_properties=dict(properties), branch=branch)
    producer = update.overwrite() if removed else update.fast_append()
    if removed:
        # Without a predicate an unpartitioned table's manifests would not be searched for the removed files.
        producer.delete_by_predicate(AlwaysTrue())
    for file in removed:
        producer.delete_data_file(file)
    for file in added:
        producer.append_data_file(file)
    producer.commit()
