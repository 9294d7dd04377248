"""The shop's tables in silver, from its change messages: for each its history, and its rows as they are now."""

import dagster as dg

from c360.cdc.contracts import current_name, history_name
from c360.cdc.schema import NAMES
from c360.contracts import get_contract
from c360.errors import C360Error
from c360_assets.factory import Decorator, Events, Refresh, failure, published, refused, unchanged
from c360_assets.resources.lake import LakehouseResource
from c360_assets.specs import asset_arguments, asset_key, when_upstream_changed


def shop_asset(table: str, name: str) -> dg.AssetsDefinition:
    """The asset of a table of the shop: its history, which bronze is decoded into, or its rows, made of the history.

    ``name`` is that of the contract: ``silver.shop_orders_history`` or ``silver.shop_orders`` of the table ``orders``.
    """
    contract = get_contract(name)
    # Not in the group of its layer: the nightly build is made of landing files, and has no messages.
    arguments = {**asset_arguments(contract), "group_name": "shop"}

    decorate: Decorator = dg.asset(
        **arguments,
        deps=[asset_key(upstream) for upstream in contract.upstream],
        automation_condition=when_upstream_changed(),
    )

    @decorate
    def shop_table(context: dg.AssetExecutionContext, config: Refresh, lakehouse: LakehouseResource) -> Events:
        from c360_assets.pipeline.publication import RefusedByAudit
        from c360_assets.pipeline.shop import refine_history
        from c360_assets.pipeline.shop_rows import refine_rows

        refine = refine_history if name == history_name(table) else refine_rows
        with lakehouse.open() as lake:
            try:
                run = refine(lake, table, run_id=context.run.run_id, full_refresh=config.full_refresh)
            except RefusedByAudit as error:
                yield from refused(error)
                return
            except C360Error as error:
                raise failure(error) from error
            if run.publication is None:
                yield from unchanged(name, run.mode, lake.snapshot(name))
                return
            counted = {word: value for word, value in vars(run).items() if word != "publication"}
            yield from published(run.publication, **{"dagster/row_count": lake.row_count(name), **counted})

    return shop_table


@dg.definitions
def shop_tables_of_silver() -> dg.Definitions:
    """Both assets of every table."""
    return dg.Definitions(
        assets=[shop_asset(table, of(table)) for table in NAMES for of in (history_name, current_name)]
    )
