"""The graph as Dagster runs it: a red audit stops downstream, the CLI works as CI would use it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from c360.conform import conform
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from c360_assets.pipeline import silver

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning"),
]

LANDED = {
    "crm/locations/2025-03-01/l.csv": (
        "location_id,street,city,postal_code,region,country_code,latitude,longitude,updated_at\n"
        "L1,1 Main St,Bern,3000,BE,CH,46.9,7.4,2025-01-01T00:00:00Z\n"
    ),
    "shop/orders/2025-03-01/o.csv": (
        "order_id,customer_id,ordered_at,status,channel,location_id,currency,shipping_amount,updated_at\n"
        "O1,C1,2025-03-01T10:00:00Z,placed,web,L1,USD,4.50,2025-03-01T10:00:00Z\n"
    ),
}
WORKSPACE = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in LANDED.items():
        file = tmp_path / "landing" / name
        file.parent.mkdir(parents=True)
        file.write_text(text)
    monkeypatch.setenv("C360_HOME", str(tmp_path))
    return tmp_path


def test_refused_audit_is_a_red_check_with_the_failing_rows_and_stops_downstream(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from c360_assets.definitions import defs

    definitions = defs()
    real = conform

    def lets_a_bad_row_through(*arguments: object, **options: object) -> object:
        outcome = real(*arguments, **options)  # type: ignore[arg-type]
        import pyarrow as pa

        position = outcome.accepted.schema.get_field_index("status")
        wrong = pa.array(["nonsense"] * outcome.accepted.num_rows)
        accepted = outcome.accepted.set_column(position, outcome.accepted.schema.field("status"), wrong)
        return type(outcome)(**{**outcome.__dict__, "accepted": accepted})

    monkeypatch.setattr(silver, "conform", lets_a_bad_row_through)

    @dg.asset(deps=[dg.AssetKey(["silver", "orders"])])
    def downstream() -> None:
        raise AssertionError("must not run")

    graph = definitions.resolve_asset_graph()
    chosen = [graph.assets_def_for_key(dg.AssetKey(path)) for path in (["bronze", "orders"], ["silver", "orders"])]
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [*chosen, downstream],
            partition_key="2025-03-01",
            instance=instance,
            raise_on_error=False,
        )
    assert not result.success
    checks = {(c.asset_key.to_user_string(), c.check_name): c for c in result.get_asset_check_evaluations()}
    assert checks["bronze/orders", "contract"].passed
    red = checks["silver/orders", "contract"]
    assert (red.passed, red.severity, red.blocking) == (False, dg.AssetCheckSeverity.ERROR, True)
    failures, findings = red.metadata["failing_rows"], red.metadata["suite"]
    assert isinstance(failures, dg.TableMetadataValue)
    assert isinstance(findings, dg.TableMetadataValue)
    [failing] = failures.records
    assert failing.data["column"] == "status"
    assert (failing.data["order_id"], failing.data["status"]) == ("O1", "nonsense")
    assert findings.records[0].data["passed"] is False
    assert [event.step_key for event in result.get_step_failure_events()] == ["silver__orders"]
    assert [e for e in result.all_events if e.step_key == "downstream" and e.is_step_start] == []
    assert Lakehouse(Settings(home=home)).row_count("silver.orders") == 0


def dagster_cli(home: Path, *arguments: str) -> str:
    instance = home / "dagster"
    instance.mkdir(exist_ok=True)
    (instance / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    environment = {**os.environ, "DAGSTER_HOME": str(instance), "C360_HOME": str(home)}
    command = [sys.executable, "-m", "dagster", *arguments]
    done = subprocess.run(command, env=environment, cwd=WORKSPACE, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_definitions_validate_through_the_workspace(home: Path) -> None:
    assert "Validation successful for code location customer_360" in dagster_cli(home, "definitions", "validate")


def test_assets_are_listed_and_materialised_by_the_cli(home: Path) -> None:
    with (home / "landing/shop/orders/2025-03-01/o.csv").open("a") as file:
        file.write("O2,C1,2025-03-01T10:00:00Z,nonsense,web,L1,USD,4.50,2025-03-01T10:00:00Z\n")
    listed = dagster_cli(home, "asset", "list", "-m", "c360_assets.definitions", "--select", "group:silver")
    assert "silver/orders" in listed
    assert "bronze/orders" not in listed
    dagster_cli(
        home,
        *("asset", "materialize", "-m", "c360_assets.definitions", "--select", "key:bronze/orders"),
        *("--partition-range", "2025-03-01...2025-03-02"),
    )
    dagster_cli(home, "asset", "materialize", "-m", "c360_assets.definitions", "--select", "key:silver/orders")
    lake = Lakehouse(Settings(home=home))
    assert lake.read("silver.orders", columns=["order_id", "status"]).to_pylist() == [
        {"order_id": "O1", "status": "placed"}
    ]
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        fed = instance.get_latest_materialization_event(dg.AssetKey(["silver", "rejected"]))
        assert fed is not None
        assert fed.asset_materialization is not None
        metadata = {name: value.value for name, value in fed.asset_materialization.metadata.items()}
        assert (metadata["rows"], metadata["from"], metadata["dagster/row_count"]) == (1, "silver.orders", 1)
