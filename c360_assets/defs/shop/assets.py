"""The shop's tables in silver, from its change messages: for each its history, and its rows as they are now."""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from c360.cdc.contracts import current_name, history_name
from c360.cdc.schema import NAMES
from c360.contracts import get_contract
from c360.errors import C360Error
from c360_assets.factory import Events, Refresh, failure, published, refused, unchanged
from c360_assets.resources.lake import LakehouseResource
from c360_assets.specs import asset_arguments, asset_key, when_upstream_changed

Decorator = Callable[[Callable[..., Any]], dg.AssetsDefinition]


def _decorator(name: str) -> Decorator:
    contract = get_contract(name)
    # Not in the group of its layer: the nightly build is made of landing files, and has no messages.
    arguments = {**asset_arguments(contract), "group_name": "shop"}
    decorate: Decorator = dg.asset(
        **arguments,
        deps=[asset_key(upstream) for upstream in contract.upstream],
        automation_condition=when_upstream_changed(),
    )
    return decorate


def history_asset(name: str) -> dg.AssetsDefinition:
    """The asset that decodes what bronze gained of the table ``name``."""

    @_decorator(history_name(name))
    def shop_history(context: dg.AssetExecutionContext, config: Refresh, lakehouse: LakehouseResource) -> Events:
        from c360_assets.pipeline import shop

        with lakehouse.open() as lake:
            yield from _run(
                lambda: shop.refine_history(lake, name, run_id=context.run.run_id, full_refresh=config.full_refresh),
                history_name(name),
                lambda: lake.snapshot(history_name(name)),
                lambda: lake.row_count(history_name(name)),
            )

    return shop_history


def rows_asset(name: str) -> dg.AssetsDefinition:
    """The asset that brings the rows of the table ``name`` up to its history."""

    @_decorator(current_name(name))
    def shop_rows(context: dg.AssetExecutionContext, config: Refresh, lakehouse: LakehouseResource) -> Events:
        from c360_assets.pipeline import shop_rows

        with lakehouse.open() as lake:
            yield from _run(
                lambda: shop_rows.refine_rows(lake, name, run_id=context.run.run_id, full_refresh=config.full_refresh),
                current_name(name),
                lambda: lake.snapshot(current_name(name)),
                lambda: lake.row_count(current_name(name)),
            )

    return shop_rows


def _run(
    refine: Callable[[], Any], name: str, snapshot: Callable[[], int | None], rows: Callable[[], int]
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    """What a run of the pipeline did as Dagster's events."""
    from c360_assets.pipeline.publication import RefusedByAudit

    try:
        run = refine()
    except RefusedByAudit as error:
        yield from refused(error)
        return
    except C360Error as error:
        raise failure(error) from error
    if run.publication is None:
        yield from unchanged(name, run.mode, snapshot())
        return
    counted = {word: value for word, value in vars(run).items() if word != "publication"}
    yield from published(run.publication, **{"dagster/row_count": rows(), **counted})


@dg.definitions
def shop_tables_of_silver() -> dg.Definitions:
    """Both assets of every table."""
    return dg.Definitions(assets=[make(name) for name in NAMES for make in (history_asset, rows_asset)])
