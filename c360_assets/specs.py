"""Contract → Dagster: description, columns, owners, tags, kinds, freshness and group of one table's asset."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import dagster as dg

from c360.cdc.contracts import shop_contracts
from c360.contracts import load_contracts
from c360.contracts.loader import load_stream_contracts
from c360.contracts.model import Column, Contract
from c360.streams.job import load_jobs

AUDIT_CHECK = "contract"
CATALOG_POOL = "catalog"

_ENGINES = {"bronze": "python", "silver": "polars", "gold": "spark"}


def asset_key(name: str) -> dg.AssetKey:
    """``silver.orders`` → ``AssetKey(["silver", "orders"])``."""
    return dg.AssetKey(name.split("."))


def _column(column: Column) -> dg.TableColumn:
    other = [f"in {', '.join(column.enum)}"] if column.enum else []
    if column.minimum is not None or column.maximum is not None:
        other.append(f"{column.minimum or '-∞'} … {column.maximum or '∞'}")
    if column.pattern:
        other.append(f"matches {column.pattern}")
    if column.references:
        other.append(f"references {column.references}")
    return dg.TableColumn(
        name=column.name,
        type=column.type,
        description=column.description,
        constraints=dg.TableColumnConstraints(nullable=not column.required, unique=column.unique, other=other),
        tags={"pii": column.classification} if column.classification != "none" else {},
    )


def table_schema(contract: Contract) -> dg.TableSchema:
    """The contract's columns as Dagster shows them."""
    return dg.TableSchema(columns=[_column(c) for c in contract.columns])


def pii_level(contract: Contract) -> str:
    """The strongest classification of any column: ``direct``, ``quasi`` or ``none``."""
    found = {c.classification for c in contract.columns}
    return next(level for level in ("direct", "quasi", "none") if level in found or level == "none")


def owner(contract: Contract) -> str:
    """The contract's team as Dagster writes it."""
    return f"team:{contract.owner}"


def is_conformed(contract: Contract) -> bool:
    """True for a silver table that conforms one bronze table; false for the side tables that all of them feed."""
    return contract.layer == "silver" and len(contract.upstream) == 1


def is_streamed(name: str) -> bool:
    """True for a table that only streaming jobs write."""
    contract = known_contract(name)
    return any(name in job.outputs for job in load_jobs().values()) and (contract is None or contract.writer == "flink")


def known_contract(name: str) -> Contract | None:
    """The contract of a table of the batch, the streams or the shop, None if it has none."""
    return load_stream_contracts().get(name) or load_contracts().get(name) or shop_contracts().get(name)


def asset_arguments(contract: Contract) -> dict[str, Any]:
    """Keyword arguments of ``@dg.asset`` that follow from the contract alone."""
    arguments: dict[str, Any] = {
        "key": asset_key(contract.name),
        "description": contract.description,
        "group_name": contract.layer,
        "owners": [owner(contract)],
        "kinds": {"iceberg", _ENGINES[contract.layer]},
        "tags": {"layer": contract.layer, "domain": contract.domain, "pii": pii_level(contract)},
        "pool": CATALOG_POOL,
        "code_version": contract.version,
        "metadata": {
            "dagster/column_schema": table_schema(contract),
            "dagster/table_name": f"lake.{contract.name}",
            "contract_version": contract.version,
            "primary_key": ", ".join(contract.primary_key),
            "retention_days": contract.retention_days or 0,
        },
        "check_specs": [
            dg.AssetCheckSpec(
                AUDIT_CHECK,
                asset=asset_key(contract.name),
                blocking=True,
                description="Great Expectations suite of the contract, run on the staged rows before publication.",
            )
        ],
    }
    if contract.freshness_hours:
        arguments["freshness_policy"] = dg.FreshnessPolicy.time_window(
            fail_window=timedelta(hours=contract.freshness_hours)
        )
    return arguments


def when_upstream_changed() -> dg.AutomationCondition:  # type: ignore[type-arg]
    """Run when any upstream was updated and nothing upstream or here is running.

    Not ``eager()``: landing days without files stay unmaterialised for ever, and ``eager`` waits for them.
    """
    return (
        dg.AutomationCondition.any_deps_updated()
        & ~dg.AutomationCondition.any_deps_in_progress()
        & ~dg.AutomationCondition.in_progress()
    ).with_label("upstream changed")
