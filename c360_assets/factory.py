"""One asset per contract: the three shapes (bronze, silver, gold) that every table of the graph has.

An asset here only joins the contract's metadata, the pipeline's pure functions and Dagster's events; what a table holds
is said in its contract, its SQL file, or :mod:`c360.conform`.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from c360.contracts import get_contract, load_contracts
from c360.errors import C360Error, SettingsError
from c360_assets.partitions import days_of, landing_days
from c360_assets.quality.checks import check_result
from c360_assets.resources.lake import LakehouseResource
from c360_assets.resources.spark import SparkResource
from c360_assets.specs import asset_arguments, asset_key, is_conformed, is_streamed, when_upstream_changed

if TYPE_CHECKING:
    from c360.lakehouse import Lakehouse
    from c360_assets.pipeline.publication import Publication, RefusedByAudit

# PyIceberg, Polars and the gold builder are imported where a step runs: every Dagster process loads this module, and
# most of them (webserver, daemon, CLI) never touch a table.
Decorator = Callable[[Callable[..., Any]], dg.AssetsDefinition]
Events = Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]


class Refresh(dg.Config):
    """How far back a run goes."""

    full_refresh: bool = False


class GoldRefresh(Refresh):
    """``as_of``: ISO 8601 moment that decides recency and segments; empty means midnight after the last landing day."""

    as_of: str = ""


def failure(error: C360Error) -> dg.Failure:
    """A refusal as Dagster shows it, with its mend."""
    return dg.Failure(description=error.problem, metadata={"mend": error.mend}, allow_retries=False)


def published(publication: "Publication", **metadata: Any) -> Events:
    """A published commit and the audit that it passed."""
    yield dg.MaterializeResult(
        asset_key=asset_key(publication.table),
        metadata={"snapshot_id": dg.MetadataValue.text(str(publication.snapshot_id)), **metadata},
        data_version=dg.DataVersion(str(publication.snapshot_id)),
        check_results=[check_result(publication.report)],
    )


def unchanged(name: str, note: str, snapshot_id: int | None) -> Events:
    """The table stands as it was audited: say so without a new data version, so that nothing downstream wakes."""
    yield dg.MaterializeResult(
        asset_key=asset_key(name),
        metadata={"note": note, "snapshot_id": dg.MetadataValue.text(str(snapshot_id))},
        data_version=dg.DataVersion(str(snapshot_id)),
        check_results=[
            dg.AssetCheckResult(
                asset_key=asset_key(name), check_name="contract", passed=True, description=f"{note}; audited before"
            )
        ],
    )


def _current(lake: "Lakehouse", name: str) -> int | None:
    return lake.snapshot(name) if lake.exists(name) else None


def refused(error: "RefusedByAudit") -> Events:
    """A failed audit: the check, and the end of the step."""
    yield check_result(error.report)
    raise dg.Failure(
        description=str(error.problem),
        metadata={"mend": error.mend, "branch": error.branch},
        allow_retries=False,
    )


def bronze_asset(name: str) -> dg.AssetsDefinition:
    """The asset that takes in the landing files of its partitions' days."""
    contract = get_contract(name)
    arguments = asset_arguments(contract)
    arguments["kinds"] = {"iceberg", "python", contract.source.format if contract.source else "file"}

    decorate: Decorator = dg.asset(
        **arguments,
        partitions_def=landing_days,
        backfill_policy=dg.BackfillPolicy.single_run(),
        automation_condition=dg.AutomationCondition.on_cron("0 2 * * *"),
    )

    @decorate
    def bronze_table(context: dg.AssetExecutionContext, lakehouse: LakehouseResource) -> Events:
        from c360_assets.pipeline import bronze
        from c360_assets.pipeline.publication import RefusedByAudit

        lake = lakehouse.open()
        try:
            run = bronze.ingest(
                lake,
                name,
                lakehouse.settings().landing_dir,
                days_of(list(context.partition_keys)),
                run_id=context.run.run_id,
                ingested_at=datetime.now(UTC),
            )
        except RefusedByAudit as error:
            yield from refused(error)
            return
        except C360Error as error:
            raise failure(error) from error
        if run.publication is None:
            yield from unchanged(name, "no new landing files", _current(lake, name))
            return
        yield from published(
            run.publication,
            **{"dagster/partition_row_count": run.rows, "files": run.files, "malformed_records": run.malformed},
        )

    return bronze_table


def silver_asset(name: str) -> dg.AssetsDefinition:
    """The asset that conforms what its bronze table gained."""
    contract = get_contract(name)

    decorate: Decorator = dg.asset(
        **asset_arguments(contract),
        deps=[asset_key(upstream) for upstream in contract.upstream],
        automation_condition=when_upstream_changed(),
    )

    @decorate
    def silver_table(context: dg.AssetExecutionContext, config: Refresh, lakehouse: LakehouseResource) -> Events:
        from c360_assets.pipeline import silver
        from c360_assets.pipeline.publication import RefusedByAudit

        lake = lakehouse.open()
        try:
            run = silver.refine(lake, name, run_id=context.run.run_id, full_refresh=config.full_refresh)
        except RefusedByAudit as error:
            yield from refused(error)
            return
        except C360Error as error:
            raise failure(error) from error
        if run.publication is None:
            yield from unchanged(name, run.mode, _current(lake, name))
            return
        rejected = sum(run.rejected.values())
        for side, added in (("silver.rejected", rejected), ("silver.deduplicated", run.deduplicated)):
            if added:
                context.log_event(
                    dg.AssetMaterialization(
                        asset_key(side),
                        metadata={"dagster/row_count": lake.row_count(side), "rows": added, "from": name},
                    )
                )
        yield from published(
            run.publication,
            **{
                "dagster/row_count": lake.row_count(name),
                "mode": run.mode,
                "received": run.received,
                "accepted": run.accepted,
                "deduplicated": run.deduplicated,
                "rejected": rejected,
                "rejected_by_reason": dg.MetadataValue.json(run.rejected),
                "repaired_by_column": dg.MetadataValue.json(run.repaired),
                "kept_of_forgotten_files": run.kept,
            },
        )

    return silver_table


def gold_asset(name: str) -> dg.AssetsDefinition:
    """The asset that builds its table by its SQL file in Spark."""
    contract = get_contract(name)

    decorate: Decorator = dg.asset(
        **asset_arguments(contract),
        deps=[asset_key(upstream) for upstream in contract.upstream],
        automation_condition=when_upstream_changed(),
    )

    @decorate
    def gold_table(
        context: dg.AssetExecutionContext, config: GoldRefresh, lakehouse: LakehouseResource, spark: SparkResource
    ) -> Events:
        from c360_assets.gold import build_gold
        from c360_assets.pipeline.publication import RefusedByAudit, audit_and_publish

        lake = lakehouse.open()
        try:
            with (
                spark.session() as session,
                build_gold(
                    lake,
                    session,
                    name,
                    as_of=resolve_as_of(lake, config.as_of),
                    full_refresh=config.full_refresh,
                    commit_run_id=context.run.run_id,
                ) as build,
            ):
                publication = None if build.staged is None else audit_and_publish(build.staged, contract)
        except RefusedByAudit as error:
            yield from refused(error)
            return
        except C360Error as error:
            raise failure(error) from error
        if publication is None:
            yield from unchanged(name, "nothing new upstream", _current(lake, name))
            return
        yield from published(
            publication,
            **{"dagster/row_count": lake.row_count(name), "mode": build.mode, "rows_written": build.rows},
        )

    return gold_table


def resolve_as_of(lake: "Lakehouse", stated: str) -> datetime:
    """The stated moment (aware; naive is refused), or midnight UTC after the newest ingested landing day."""
    if stated:
        moment = datetime.fromisoformat(stated)
        if moment.tzinfo is None:
            raise SettingsError(f"as_of '{stated}' has no time zone", "write it as 2025-12-31T00:00:00+00:00")
        return moment.astimezone(UTC)
    from c360_assets.pipeline import bronze

    newest = bronze.newest_day(lake, [c for c in load_contracts().values() if c.layer == "bronze"])
    if newest is None:
        raise SettingsError("Bronze is empty, so there is no newest landing day", "materialise it first, or set as_of")
    return datetime.combine(newest + timedelta(days=1), time(), UTC)


def domain_assets(domain: str) -> dg.Definitions:
    """Every asset whose contract belongs to ``domain``."""
    make = {"bronze": bronze_asset, "silver": silver_asset, "gold": gold_asset}
    return dg.Definitions(
        assets=[
            make[contract.layer](name)
            for name, contract in load_contracts().items()
            if contract.domain == domain
            and not is_streamed(name)
            and (contract.layer != "silver" or is_conformed(contract))
        ]
    )
