"""One snapshot of the whole asset graph: any change of keys, deps, groups, owners, kinds, checks or jobs is seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

SNAPSHOT = Path(__file__).with_name("graph.json")


@pytest.fixture(scope="module")
def definitions() -> dg.Definitions:
    from c360_assets.definitions import defs

    return defs()


def picture(definitions: dg.Definitions) -> dict[str, object]:
    graph = definitions.resolve_asset_graph()
    assets = {}
    for key in sorted(graph.get_all_asset_keys(), key=str):
        node = graph.get(key)
        assets[key.to_user_string()] = {
            "deps": sorted(parent.to_user_string() for parent in node.parent_keys),
            "group": node.group_name,
            "owners": sorted(str(owner) for owner in node.owners),
            "kinds": sorted(node.kinds),
            "tags": {k: v for k, v in sorted(node.tags.items()) if not k.startswith("dagster/kind")},
            "partitioned": node.partitions_def is not None,
            "columns": len(schema.columns) if (schema := node.metadata.get("dagster/column_schema")) else 0,
            "checks": sorted(check.name for check in node.check_keys),
            "freshness": node.freshness_policy is not None,
        }
    repository = definitions.get_repository_def()
    return {
        "assets": assets,
        "jobs": sorted(job.name for job in repository.get_all_jobs() if not job.name.startswith("__")),
        "schedules": {s.name: s.cron_schedule for s in repository.schedule_defs},
        "sensors": sorted(s.name for s in repository.sensor_defs),
    }


def test_graph_equals_its_snapshot(definitions: dg.Definitions) -> None:
    found = picture(definitions)
    if os.environ.get("C360_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    assert found == json.loads(SNAPSHOT.read_text()), "run with C360_UPDATE_SNAPSHOTS=1 if the change is meant"


def test_every_contract_is_an_asset_and_every_dependency_exists(definitions: dg.Definitions) -> None:
    from c360.cdc.contracts import shop_contracts
    from c360.contracts import load_contracts
    from c360.streams.job import load_jobs

    graph = definitions.resolve_asset_graph()
    keys = {key.to_user_string().replace("/", ".") for key in graph.get_all_asset_keys()}
    beside = {key for key in keys if key.startswith(("topics.", "streams.", "recomputed.", "serving.", "models."))}
    streamed = {table for job in load_jobs().values() for table in job.outputs}
    beside_files = {"silver.replayed_letters", "gold.churn_training_set"}
    assert keys - beside - streamed == {*load_contracts(), *shop_contracts(), *beside_files} - streamed
    assert streamed <= keys


def test_every_fact_of_a_stream_is_compared_with_that_of_batch(definitions: dg.Definitions) -> None:
    from c360.streams.features import load_features

    found = {
        key.asset_key.to_user_string()
        for key in definitions.resolve_asset_graph().asset_check_keys
        if key.name in {"features_equal_batch", "equals_batch", "scores_equal_batch"}
    }
    assert found >= {name.replace(".", "/") for name in load_features()}


def test_every_table_is_audited_before_it_is_published(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for key in graph.materializable_asset_keys:
        # No tables: one only compares, the others verify their own files.
        if key.path[0] in ("recomputed", "serving", "models"):
            continue
        checks = {check.name for check in graph.get(key).check_keys}
        assert "contract" in checks, key


def test_loading_the_graph_imports_no_engine() -> None:
    heavy = "{'pyspark', 'great_expectations', 'duckdb', 'pandas', 'sklearn'}"
    code = f"import sys; import c360_assets.definitions as d; d.defs(); print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert found.stdout.strip() == "[]"


def test_what_a_gold_table_reads_is_what_its_contract_names() -> None:
    from c360.contracts import get_contract
    from c360_assets.gold import GOLD

    unnamed = {name: set(plan.tables) - set(get_contract(name).upstream) for name, plan in GOLD.items()}
    assert {name: tables for name, tables in unnamed.items() if tables} == {}
