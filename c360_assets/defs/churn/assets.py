"""The churn model: what it learns from, the model, and whether the stream's scores are those of batch."""

from datetime import UTC, datetime

import dagster as dg

from c360.contracts import get_contract
from c360.errors import C360Error, LakehouseError
from c360_assets.factory import Decorator, Events, failure, published, refused
from c360_assets.models.scores import SCORES
from c360_assets.models.training_set import ORDER_COLUMNS, ORDERS, SEGMENT_COLUMNS, SEGMENTS, TABLE
from c360_assets.quality.parity import parity_result
from c360_assets.resources.lake import LakehouseResource
from c360_assets.specs import asset_arguments, asset_key

MODEL_KEY = dg.AssetKey(["models", "churn"])
SOUND, SCORES_CHECK = "sound", "scores_equal_batch"


class TrainingSet(dg.Config):
    """``until``: ISO 8601 moment up to which orders are known; empty means the newest change of an order."""

    until: str = ""


def _table() -> Decorator:
    arguments = {**asset_arguments(get_contract(TABLE)), "group_name": "churn", "kinds": {"duckdb", "iceberg"}}
    decorate: Decorator = dg.asset(**arguments, deps=[asset_key(ORDERS), asset_key(SEGMENTS)])
    return decorate


@_table()
def churn_training_set(context: dg.AssetExecutionContext, config: TrainingSet, lakehouse: LakehouseResource) -> Events:
    """Labels of past moments, each with what was known of the customer then and nothing from later."""
    from c360.lakehouse.ledger import Commit
    from c360_assets.models.training_set import training_set
    from c360_assets.pipeline.publication import RefusedByAudit, audit_and_publish

    contract, lake = get_contract(TABLE), lakehouse.open()
    try:
        for name in (ORDERS, SEGMENTS):
            if not lake.exists(name):
                raise LakehouseError(f"{TABLE} cannot be made: there is no {name}", f"let {name} be written first")
        sources = {name: snapshot for name in (ORDERS, SEGMENTS) if (snapshot := lake.snapshot(name)) is not None}
        orders = lake.read(ORDERS, columns=ORDER_COLUMNS, snapshot_id=sources.get(ORDERS))
        segments = lake.read(SEGMENTS, columns=SEGMENT_COLUMNS, snapshot_id=sources.get(SEGMENTS))
        until = _until(config.until, orders.column("committed_at").to_pylist())
        rows = training_set(orders, segments, until)
        lake.ensure(contract)
        commit = Commit(context.run.run_id, sources, contract.version, until.date().isoformat())
        with lake.stage(TABLE, commit) as staged:
            staged.overwrite(rows)
            publication = audit_and_publish(staged, contract)
    except RefusedByAudit as error:
        yield from refused(error)
        return
    except C360Error as error:
        raise failure(error) from error
    yield from published(
        publication,
        **{
            "dagster/row_count": rows.num_rows,
            "until": until.isoformat(),
            "read_snapshots": dg.MetadataValue.json({name: str(number) for name, number in sources.items()}),
        },
    )


def _until(stated: str, committed: list[datetime | None]) -> datetime:
    if stated:
        moment = datetime.fromisoformat(stated)
        if moment.tzinfo is None:
            raise LakehouseError(f"until '{stated}' has no time zone", "write it as 2025-12-31T00:00:00+00:00")
        return moment.astimezone(UTC)
    newest = max((each for each in committed if each is not None), default=None)
    if newest is None:
        raise LakehouseError(f"{ORDERS} holds no order yet", "let orders come in first")
    return newest


@dg.asset(
    key=MODEL_KEY,
    deps=[asset_key(TABLE)],
    group_name="churn",
    kinds={"scikitlearn"},
    description="A logistic regression of churn as a JSON document; it becomes current only if its audit passes.",
    check_specs=[
        dg.AssetCheckSpec(
            SOUND, asset=MODEL_KEY, blocking=True, description="Finite numbers, and better than knowing nothing."
        )
    ],
)
def churn_model(lakehouse: LakehouseResource) -> Events:
    """Train on the current training set; the same rows give the same version."""
    import polars as pl

    from c360.models.churn import register, save
    from c360_assets.models.churn import train

    lake, home = lakehouse.open(), lakehouse.settings().home
    try:
        snapshot = lake.snapshot(TABLE) if lake.exists(TABLE) else None
        if snapshot is None:
            raise LakehouseError(f"There is no {TABLE} yet", f"materialise {TABLE} first")
        trained = train(pl.DataFrame(pl.from_arrow(lake.read(TABLE, snapshot_id=snapshot))))
        info = lake.last_commit(TABLE)
        read = {TABLE: snapshot, **(info.sources if info else {})}
        metrics = {**trained.metrics, "snapshots": {name: str(number) for name, number in read.items()}}
        save(home, trained.model, {**metrics, "refusal": trained.refusal})
        if trained.refusal is None:
            register(home, trained.model.version)
    except C360Error as error:
        raise failure(error) from error
    yield dg.AssetCheckResult(
        asset_key=MODEL_KEY,
        check_name=SOUND,
        passed=trained.refusal is None,
        description=trained.refusal or f"area under the curve {trained.metrics['auc']:.3f}",
    )
    if trained.refusal is not None:
        raise dg.Failure(
            f"Version {trained.model.version} is not registered: {trained.refusal}",
            metadata={"mend": "look into the training set; the version before it stays current"},
            allow_retries=False,
        )
    yield dg.MaterializeResult(
        asset_key=MODEL_KEY,
        metadata={"version": trained.model.version, **trained.metrics, "snapshots": dg.MetadataValue.json(read)},
        data_version=dg.DataVersion(trained.model.version),
    )


@dg.asset_check(
    asset=asset_key(SCORES),
    name=SCORES_CHECK,
    description="Each score is scikit-learn's for the same row and model, and each customer's newest row is scored.",
)
def scores_equal_batch(lakehouse: LakehouseResource) -> dg.AssetCheckResult:
    """Compare what the stream wrote with batch."""
    from c360_assets.models.scores import score_parity

    try:
        with lakehouse.open() as lake:
            return parity_result(score_parity(lake, lakehouse.settings().home))
    except C360Error as error:
        raise failure(error) from error


@dg.definitions
def churn() -> dg.Definitions:
    """The assets and the check."""
    return dg.Definitions(assets=[churn_training_set, churn_model], asset_checks=[scores_equal_batch])
