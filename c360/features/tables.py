"""Which features there are, and where each lies: all of it follows from the contracts of the tables ``features.*``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from c360.streams.features import key_of, load_features, topic_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from c360.contracts.model import Column, Contract

CUSTOMER = "customer_id"
OTHER_NAMES: Mapping[str, str] = MappingProxyType({"sales_metrics": "realtime-sales-metrics"})


@dataclass(frozen=True)
class FeatureTable:
    """One feature: its compacted topic, its table in the store without the prefix, and the column that is the key.

    ``index`` is a column by which items are found besides the key, newest first; None where there is no such index.
    """

    name: str
    topic: str
    store: str
    key: str
    columns: tuple[Column, ...]
    contract_version: str
    index: str | None = None


def feature_table(contract: Contract) -> FeatureTable:
    """The feature that a contract describes."""
    key = key_of(contract)
    return FeatureTable(
        name=contract.table,
        topic=topic_of(contract),
        store=OTHER_NAMES.get(contract.table, contract.table.replace("_", "-")),
        key=key,
        columns=contract.columns,
        contract_version=contract.version,
        index=CUSTOMER if CUSTOMER in contract.names and key != CUSTOMER else None,
    )


@cache
def feature_tables() -> Mapping[str, FeatureTable]:
    """The product's features, by name; read once."""
    return MappingProxyType({table.name: table for table in map(feature_table, load_features().values())})
