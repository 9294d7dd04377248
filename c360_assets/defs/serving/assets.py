"""The index that the API serves from: built from one release of the gold tables, verified, then switched to."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from c360.errors import C360Error
from c360.serving.model import TABLES
from c360_assets.factory import failure
from c360_assets.resources.lake import LakehouseResource
from c360_assets.specs import asset_key, when_upstream_changed

KEEP = 5
CHECK = "index_holds_its_tables"


class IndexBuild(dg.Config):
    """``full``: make every document again instead of only what has changed. ``keep``: how many indexes stay."""

    full: bool = False
    keep: int = KEEP


@dg.asset(
    key=["serving", "customer_index"],
    description="Ready answers of the API, one immutable index for each release of the gold tables.",
    group_name="serving",
    owners=["team:customer-360"],
    kinds={"sqlite", "polars"},
    tags={"layer": "serving", "domain": "customer_360", "pii": "direct"},
    deps=[asset_key(name) for name in TABLES],
    check_specs=[dg.AssetCheckSpec(CHECK, asset=dg.AssetKey(["serving", "customer_index"]), blocking=True)],
    automation_condition=when_upstream_changed(),
    pool="serving_index",
)
def customer_index(config: IndexBuild, lakehouse: LakehouseResource) -> Iterator[dg.MaterializeResult[Any]]:
    """Build, verify, switch, and remove what is old."""
    from c360.privacy.keyed import hash_key
    from c360.serving.release import release
    from c360.serving.store import Store

    settings = lakehouse.settings()
    store = Store(settings.serving_dir)
    try:
        with lakehouse.open() as lake:
            found = release(lake, TABLES)
            manifest = store.build(lake, found, hash_key(settings), full=config.full)
    except C360Error as error:
        raise failure(error) from error
    store.serve(manifest.release)
    removed = store.prune(config.keep)
    made = {kind: counted["made"] for kind, counted in manifest.kinds.items()}
    documents = sum(counted["documents"] for counted in manifest.kinds.values())
    yield dg.MaterializeResult(
        metadata={
            "release": dg.MetadataValue.text(manifest.release),
            "as_of": manifest.as_of,
            "published_at": manifest.published_at,
            "snapshots": dg.MetadataValue.json(dict(manifest.snapshots)),
            "documents": documents,
            "made_anew": dg.MetadataValue.json(made),
            "without_customer": sum(counted["without_key"] for counted in manifest.kinds.values()),
            "bytes": manifest.bytes,
            "removed": dg.MetadataValue.json(removed),
        },
        data_version=dg.DataVersion(manifest.release),
        check_results=[
            dg.AssetCheckResult(
                check_name=CHECK,
                passed=True,
                description="as many documents and the same digests as the tables' rows; the file reads back whole",
                metadata={"sha256": manifest.sha256, "documents": documents},
            )
        ],
    )
