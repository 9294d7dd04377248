"""The index as an asset: built after gold, switched to, told in its metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from c360.lakehouse import Lakehouse
from c360.serving.store import Store
from c360_assets.defs.serving.assets import customer_index
from c360_assets.resources.lake import LakehouseResource
from tests.unit.serving.company import Company

if TYPE_CHECKING:
    from c360.settings import Settings


def build(settings: Settings, **config: Any) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [customer_index],
        resources={"lakehouse": LakehouseResource(home=str(settings.home))},
        run_config={"ops": {"serving__customer_index": {"config": config}}},
        raise_on_error=False,
    )


def test_each_release_is_built_once_and_then_served(settings: Settings) -> None:
    store = Store(settings.serving_dir)
    with Lakehouse(settings) as lake:
        company = Company(lake, customers=10)
        releases = []
        for number in range(3):
            company.rows["gold.customer_360"][0]["full_name"] = f"Name {number}"
            company.publish()
            done = build(settings, keep=2)
            assert done.success
            [told] = done.asset_materializations_for_node("serving__customer_index")
            [check] = done.get_asset_check_evaluations()
            assert check.passed
            assert told.metadata["release"].value == store.current
            assert told.metadata["made_anew"].value["customer"] == (1 if number else 10)  # type: ignore[index, call-overload]
            releases.append(store.current)
        assert [each.release for each in store.manifests()] == releases[:0:-1]
        before = {path: path.stat().st_mtime_ns for path in store.folder.rglob("index.sqlite")}
        assert build(settings).success
        assert {path: path.stat().st_mtime_ns for path in store.folder.rglob("index.sqlite")} == before


def test_without_gold_it_fails_with_the_mend(settings: Settings) -> None:
    done = build(settings)
    assert not done.success
    failure = done.failure_data_for_node("serving__customer_index")
    assert failure is not None
    assert failure.user_failure_data is not None
    assert failure.user_failure_data.metadata["mend"].value == "materialise the gold tables first"
    assert Store(settings.serving_dir).current is None


@pytest.mark.parametrize("left", [".123.456", ".123.456/index.sqlite"])
def test_what_a_killed_build_left_is_swept(settings: Settings, left: str) -> None:
    path = settings.serving_dir / left
    if path.name.endswith("sqlite"):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"half")
    else:
        path.mkdir(parents=True)
    with Lakehouse(settings) as lake:
        Company(lake, customers=3).publish()
    assert build(settings).success
    assert not (settings.serving_dir / ".123.456").exists()
