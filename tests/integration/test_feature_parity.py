"""Features against batch on real Iceberg and Spark: the oracle plays the stream; every kind of difference is found."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dagster as dg
import pyarrow as pa
import pytest

from c360.errors import LakehouseError
from c360.lakehouse import Lakehouse
from c360.settings import Settings
from c360.streams import parity as settling
from c360_assets.defs.features.checks import parity_check
from c360_assets.features.catalogue import FEATURES
from c360_assets.features.parity import feature_parity
from c360_assets.resources.lake import LakehouseResource
from c360_assets.resources.spark import SparkResource
from tests.oracle.features.anything import anything
from tests.oracle.features.cases import KEYS
from tests.oracle.features.history import histories
from tests.oracle.features.shop import FEATURES as TABLES
from tests.oracle.features.shop import features_of
from tests.oracle.features.told import DAY, NOW, changed, line, placed, product, stock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import SparkSession

    from c360.streams.parity import Difference
    from tests.oracle.features.changes import Change

pytestmark = pytest.mark.integration

Row = dict[str, Any]
TEXT, LONG, FLAG, MOMENT = pa.string(), pa.int64(), pa.bool_(), pa.timestamp("us", "UTC")
MONEY = pa.decimal128(18, 2)
NEWER = {"effective_at": MOMENT, "version": LONG}
COLUMNS: dict[str, dict[str, pa.DataType]] = {
    "sales_metrics": {
        "metric_id": TEXT, "window_start": MOMENT, "window_end": MOMENT, "orders": LONG, "cancellations": LONG,
        "revenue": MONEY, "average_order_value": pa.float64(), "unique_customers": LONG,
    },
    "customer_segments": {
        "customer_id": TEXT, "segment": TEXT, "orders": LONG, "spend": MONEY, "last_order_at": MOMENT,
    },
    "anomaly_alerts": {
        "alert_id": TEXT, "customer_id": TEXT, "order_id": TEXT, "rule": TEXT, "severity": TEXT, "raised_at": MOMENT,
        "amount": MONEY, "threshold": MONEY, "orders_counted": LONG, "is_active": FLAG,
    },
    "inventory_insights": {
        "product_id": TEXT, "category": TEXT, "product_status": TEXT, "stock_on_hand": LONG, "units_sold_7d": LONG,
        "units_per_day": pa.decimal128(18, 4), "days_until_stock_out": MONEY, "status": TEXT, "dead_stock": FLAG,
        "last_sold_at": MOMENT, "restock_quantity": LONG, "restock_urgency": TEXT,
    },
}  # fmt: skip


class World:
    """A lake with the history of a shop, and with what a stream made of it."""

    def __init__(self, home: Path, spark: SparkSession, changes: list[Change]) -> None:
        self.lake, self.spark, self.changes = Lakehouse(Settings(home=home)), spark, changes
        for space in ("silver", "features"):
            self.lake.catalog.create_namespace_if_not_exists(space)
        for name, rows in histories(changes).items():
            self.lake.catalog.create_table(f"silver.{name}", schema=rows.schema).append(rows)
        for table, told in self.told(changes).items():
            self.lake.catalog.create_table(f"features.{table}", schema=self._schema(table))
            self.write(table, told)

    def told(self, changes: list[Change]) -> dict[str, list[Row]]:
        """What holds now, each with an older row that does not."""
        rows = features_of(changes, NOW)
        return {
            table: [*told, *({**row, "version": row["version"] - 1} for row in told if row["version"] > 1)]
            for table, told in rows.items()
        }

    def later(self, change: list[Change]) -> None:
        """More changes, in history only."""
        self.changes = [*self.changes, *change]
        for name, rows in histories(self.changes).items():
            self.lake.table(f"silver.{name}").overwrite(rows)

    def write(self, table: str, rows: list[Row]) -> None:
        """Instead of the rows that the stream wrote."""
        target = self.lake.table(f"features.{table}")
        if target.scan().count():
            target.delete()
        target.append(pa.Table.from_pylist(rows, schema=self._schema(table)))

    def compared(self, table: str) -> Difference:
        found = feature_parity(self.lake, self.spark, f"features.{table}", NOW)
        assert found.table == f"features.{table}"
        return found

    def _schema(self, table: str) -> pa.Schema:
        return pa.schema({**COLUMNS[table], **NEWER})


@pytest.fixture(scope="module")
def shop() -> list[Change]:
    """Changes told in any order, and one order and one line that nobody else has a part in."""
    order = placed("last", "somebody", NOW - DAY, "1000.01")
    own = [product("own"), stock("own", "own", 9), order, line("last", "last", "own", 1)]
    return [*anything(5, orders=90), *(replace(change, lsn=10_000 + n) for n, change in enumerate(own))]


@pytest.fixture(scope="module")
def session(spark_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, SparkSession]]:
    """A session on the shared server whose catalog ``lake`` is one of its own."""
    from c360.engines.spark import connect
    from c360.engines.spark_conf import spark_conf

    home, spark = tmp_path_factory.mktemp("parity") / "home", connect(spark_settings)
    for key, value in spark_conf(Settings(home=home)).items():
        if key.startswith("spark.sql.catalog."):
            spark.conf.set(key, value)
    yield home, spark
    spark.stop()


@pytest.fixture(scope="module")
def world(session: tuple[Path, SparkSession], shop: list[Change]) -> World:
    return World(*session, shop)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "TRIES", 1)


@pytest.fixture
def rows(world: World, table: str) -> Iterator[list[Row]]:
    """What the stream wrote, and will have written again after the test."""
    told = world.told(world.changes)[table]
    yield [dict(row) for row in told]
    world.write(table, told)


OWN = {
    "sales_metrics": f"{NOW - DAY:%Y-%m-%dT%H:%M:%SZ}",
    "customer_segments": "somebody",
    "anomaly_alerts": "last-large_order",
    "inventory_insights": "own",
}
WRONG: dict[str, Row] = {
    "sales_metrics": {"revenue": Decimal("0.01")},
    "customer_segments": {"segment": "VIP"},
    "anomaly_alerts": {"severity": "high"},
    "inventory_insights": {"dead_stock": True},
}


@pytest.mark.parametrize("table", TABLES)
def test_a_stream_that_is_right_differs_in_nothing(world: World, table: str) -> None:
    found = world.compared(table)
    assert (found.total, found.examples()) == (0, [])
    assert found.compared == len(features_of(world.changes, NOW)[table]) > 10


@pytest.mark.parametrize("table", TABLES)
def test_a_changed_a_missing_and_a_surplus_row_make_the_check_red(world: World, table: str, rows: list[Row]) -> None:
    key = KEYS[table]
    lost = min(row[key] for row in rows if row[key] != OWN[table])
    wrong = [{**row, **WRONG[table]} if row[key] == OWN[table] else row for row in rows if row[key] != lost]
    world.write(table, [*wrong, {**rows[0], key: "nobody"}])
    found = world.compared(table)
    assert found.examples() == [
        {"kind": "missing", key: lost}, {"kind": "surplus", key: "nobody"}, {"kind": "changed", key: OWN[table]},
    ]  # fmt: skip
    assert found.unexplained == 3


@pytest.mark.parametrize("table", ["customer_segments"])
def test_an_order_that_is_counted_twice_makes_the_check_red(world: World, table: str, rows: list[Row]) -> None:
    twice = [{**row, "version": row["version"] + 1} for row in rows if row["customer_id"] == "somebody"]
    world.write(table, [*twice, *rows])
    assert world.compared(table).examples() == [{"kind": "changed", "customer_id": "somebody"}]


@pytest.mark.parametrize("table", ["sales_metrics"])
def test_a_difference_that_goes_away_is_none(
    world: World, table: str, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(table, rows[1:])
    monkeypatch.setattr(settling, "TRIES", 3)
    monkeypatch.setattr("c360.streams.parity.time", SimpleNamespace(sleep=lambda _: world.write(table, rows)))
    assert world.compared(table).total == 0


@pytest.mark.parametrize("table", ["customer_segments"])
def test_the_check_in_dagster_is_green_and_turns_red(world: World, table: str, rows: list[Row]) -> None:
    class Given(SparkResource):
        @contextmanager
        def session(self) -> Iterator[SparkSession]:
            yield world.spark

    def checked() -> dg.AssetCheckEvaluation:
        resources = {"spark": Given(), "lakehouse": LakehouseResource(home=str(world.lake.settings.home))}
        checks = dg.Definitions(asset_checks=[parity_check(FEATURES[f"features.{table}"])], resources=resources)
        [found] = checks.resolve_implicit_global_asset_job_def().execute_in_process().get_asset_check_evaluations()
        return found

    assert checked().passed
    [first, *others] = rows
    world.write(table, [{**first, "spend": first["spend"] + 1}, *others])
    red = checked()
    assert (red.passed, red.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert red.metadata["examples"].value == [{"kind": "changed", "customer_id": first["customer_id"]}]
    assert red.metadata["changed"].value == 1


def test_a_late_change_makes_both_sides_change(world: World) -> None:
    before = {table: {row[KEYS[table]]: row for row in told} for table, told in features_of(world.changes, NOW).items()}
    late = placed("late", "somebody", NOW - 2 * DAY, "1500.00")
    off = changed(late, NOW - DAY + timedelta(minutes=1), status="cancelled")
    world.later(
        [replace(each, at=NOW, lsn=20_000 + n) for n, each in enumerate((late, line("late", "late", "own", 2), off))]
    )
    after = world.told(world.changes)
    for table in TABLES:
        assert world.compared(table).unexplained > 0, table  # batch has seen it, and the stream has not
        world.write(table, after[table])
        assert world.compared(table).total == 0, table
    assert after["customer_segments"] != [*before["customer_segments"].values()]
    assert before["customer_segments"]["somebody"]["orders"] == 1
    [now] = [row for row in features_of(world.changes, NOW)["customer_segments"] if row["customer_id"] == "somebody"]
    assert (now["orders"], now["version"], now["spend"]) == (2, 2, Decimal("2500.01"))


def test_what_both_have_reached_decides_unless_a_moment_is_given(world: World) -> None:
    table = "features.customer_segments"
    reached = max(
        change.content["updated_at"] for change in world.changes if change.table == "orders" and change.content
    )
    written = max(row["effective_at"] for row in world.lake.read(table).to_pylist())
    found = feature_parity(world.lake, world.spark, table)
    assert found.as_of == min(reached, written)
    assert found.unexplained == 0
    assert found.compared > 20


def test_a_table_that_is_not_there_is_named(tmp_path: Path, world: World) -> None:
    with pytest.raises(LakehouseError, match=r"features\.sales_metrics cannot be compared"):
        feature_parity(Lakehouse(Settings(home=tmp_path)), world.spark, "features.sales_metrics")


@pytest.mark.parametrize("table", ["sales_metrics"])
def test_nothing_written_yet_is_no_difference(world: World, table: str, rows: list[Row]) -> None:
    assert rows
    world.write(table, [])
    found = feature_parity(world.lake, world.spark, f"features.{table}")
    assert (found.as_of, found.total) == (None, 0)


def test_every_table_of_the_oracle_is_one_of_batch() -> None:
    assert {f"features.{table}": KEYS[table] for table in TABLES} == {t.name: t.key for t in FEATURES.values()}
