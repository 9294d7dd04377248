"""All contracts of a folder, valid each by itself and together."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from c360.contracts.compile import compile_contract
from c360.contracts.standard import parse_contract, parse_shared
from c360.contracts.topic_columns import topic_columns
from c360.contracts.vocabulary import KINDS
from c360.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from open_data_contract_standard.model import SchemaProperty

    from c360.contracts.model import Contract

TABLES = Path(__file__).parent / "tables"
STREAMS = Path(__file__).parent / "streams"
SHARED = "shared.yaml"


def load_contracts(root: Path | None = None) -> Mapping[str, Contract]:
    """Contracts by name (``silver.orders``), bronze first, by name within a layer.

    ``root`` holds ``<layer>/<table>.yaml`` and ``shared.yaml``; without it, the product's own contracts, read once per
    process. Raises ContractError for the first contract that cannot be kept.
    """
    return _packaged() if root is None else _load(root)


def load_stream_contracts(root: Path | None = None, topics: Path | None = None) -> Mapping[str, Contract]:
    """Contracts of the tables that streaming jobs fill, as ``load_contracts``; events have their topic's columns.

    ``topics`` is the folder of the topics' contracts, without it the product's own.
    """
    return _packaged_streams() if root is None else _load(root, topic_columns(topics))


def get_contract(name: str) -> Contract:
    """The product's contract of that name, of the batch, the streams or the shop; ContractError if there is none."""
    contracts = load_contracts()
    if name not in contracts:
        # Derived from those above, by a package that stands on this one.
        from c360.cdc.contracts import shop_contracts

        contracts = {**contracts, **load_stream_contracts(), **shop_contracts()}
    if name not in contracts:
        raise ContractError(f"There is no contract {name}", f"use one of {', '.join(contracts)}")
    return contracts[name]


@cache
def _packaged() -> Mapping[str, Contract]:
    return _load(TABLES)


@cache
def _packaged_streams() -> Mapping[str, Contract]:
    return _load(STREAMS, topic_columns())


def _load(root: Path, columns: Mapping[str, tuple[SchemaProperty, ...]] | None = None) -> Mapping[str, Contract]:
    shared = {**parse_shared(root / SHARED), **(columns or {})}
    paths = [path for layer in KINDS for path in sorted((root / layer).glob("*.yaml"))]
    if not paths:
        raise ContractError(
            f"{root} holds no contracts", f"add <layer>/<table>.yaml with a layer of {', '.join(KINDS)}"
        )
    contracts = {c.name: c for c in (compile_contract(parse_contract(path), shared, path) for path in paths)}
    for contract in contracts.values():
        _refuse_dangling(contract, contracts)
    return MappingProxyType(contracts)


def _refuse_dangling(contract: Contract, contracts: Mapping[str, Contract]) -> None:
    for upstream in contract.upstream:
        if upstream not in contracts:
            raise ContractError(f"{contract.name}: upstream {upstream} has no contract", "name a table with a contract")
    for column in contract.columns:
        if column.references is None:
            continue
        table, _, target = column.references.rpartition(".")
        if table not in contracts:
            problem = f"{contract.name}: column {column.name} refers to the unknown table '{table}'"
            raise ContractError(problem, "name a table with a contract, as <layer>.<table>.<column>")
        if target not in contracts[table].names:
            problem = f"{contract.name}: column {column.name} refers to the unknown column '{column.references}'"
            raise ContractError(problem, f"name a column of {table}")
        if contracts[table].column(target).type != column.type:
            problem = f"{contract.name}: column {column.name} is {column.type}, but {column.references} is not"
            raise ContractError(problem, "give both the same type")
