"""The churn model in the stream: orders of a company to segments, a training set, a model, scores, and a new model."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg
import polars as pl
import pytest
from confluent_kafka import Producer

from c360.cdc.manage import install_topics
from c360.lakehouse import Lakehouse
from c360.models.churn import ModelError, current, register, save
from c360.streams.features import load_features, topic_of
from c360.streams.job import load_jobs
from c360.streams.runner import Streams
from c360.streams.status import status
from c360.streams.upgrade import upgrade
from c360_assets.defs.churn.assets import churn_model, churn_training_set, scores_equal_batch
from c360_assets.models.scores import SCORES, SEGMENTS, score_parity
from c360_assets.models.training_set import ORDERS, TABLE
from c360_assets.pipeline.shop import refine_history
from c360_assets.resources.lake import LakehouseResource
from mock_data.company import company_of
from mock_data.shop_changes import transactions
from mock_data.shop_ledger import ShopLedger
from mock_data.shop_light import send
from tests.integration.streams.conftest import World, started

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.integration

CAPTURE, SEGMENTATION, SCORING = "shop", "customer-segmentation", "churn-scoring"
LATER, LAST = 400, 60
"""Transactions that are kept back for the second model, and for what goes wrong then."""

_ROW = {
    "customer_id": "G1", "segment": "New", "orders": 1, "spend": "1.00", "version": 1,
    "last_order_at": "2025-03-01T00:00:00.000000Z", "effective_at": "2025-03-01T00:00:00.000000Z",
}  # fmt: skip
_ODD: tuple[dict[str, Any], ...] = (
    {"spend": "much"}, {"orders": "many"}, {"orders": 10**30}, {"effective_at": "yesterday"}, {"version": None},
    {"last_order_at": 17}, {"spend": {}},
)  # fmt: skip
NO_SEGMENTS = (
    *(b"", b"{", b"\xff\xfe", b"null", b"[1]", b'"C1"', b"{}", None, b'{"customer_id": "C0000001"}', b"[" * 3000),
    *(json.dumps({**_ROW, **odd}).encode() for odd in _ODD),
)

WAIT_S = 120.0


class Shop:
    """A company's orders, what was sent of them, and what the streams wrote."""

    def __init__(self, engines: World) -> None:
        self.engines, self.settings = engines, engines.settings
        jobs = {name: replace(load_jobs()[name], checkpoint_seconds=1.0) for name in (CAPTURE, SEGMENTATION, SCORING)}
        self.streams = Streams(self.settings, jobs)
        made = list(transactions(company_of(0.02, 11, date(2025, 1, 1), 365), None, None))
        self._parts = (made[:-LATER], made[-LATER : -2 * LAST], made[-2 * LAST : -LAST], made[-LAST:])
        self._folders: list[Path] = []

    def send(self, part: int) -> None:
        folder = self.settings.home / f"shop-{part}"
        self._folders.append(folder)
        ledger = ShopLedger(folder)
        send(self._parts[part], self.settings, ledger)
        ledger.close()

    def placed(self) -> pl.DataFrame:
        """Order and customer of all that was sent, by the ledger."""
        told = pl.concat([pl.read_parquet(folder / "part-*.parquet") for folder in self._folders])
        rows = told.filter(pl.col("table") == "orders", pl.col("op") == "c")["after"].map_elements(
            lambda text: "|".join(json.loads(text)[name] for name in ("order_id", "customer_id")),
            return_dtype=pl.String,
        )
        return rows.str.split_exact("|", 1).struct.rename_fields(["order_id", "customer_id"]).struct.unnest()

    def refined(self) -> bool:
        """Brings the history of orders up to bronze; whether all that was sent is there."""
        with Lakehouse(self.settings) as lake:
            refine_history(lake, "orders", run_id="test")
            known = lake.read(ORDERS, columns=["order_id"]) if lake.exists(ORDERS) else None
        return known is not None and set(known["order_id"].to_pylist()) == set(self.placed()["order_id"])

    def read(self, table: str) -> pl.DataFrame:
        with Lakehouse(self.settings) as lake:
            return pl.DataFrame(pl.from_arrow(lake.read(table)))

    def until(self, done: Any) -> None:
        deadline = time.monotonic() + WAIT_S
        while not done():
            assert time.monotonic() < deadline
            time.sleep(1)

    def counted(self) -> bool:
        """Whether each customer's newest segment is made of all orders that were sent."""
        wanted = self.placed().unique("order_id").group_by("customer_id").len("version")
        newest = self.read(SEGMENTS).group_by("customer_id").agg(pl.col("version").max())
        return set(wanted.iter_rows()) == set(newest.iter_rows())

    def scored(self) -> bool:
        row = ("customer_id", "version", "effective_at")
        newest = self.read(SEGMENTS).sort("version", "effective_at").unique("customer_id", keep="last")
        return newest.join(self.read(SCORES), on=row, how="anti").is_empty()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with started(tmp_path_factory.mktemp("churn")) as engines:
        shop = Shop(engines)
        install_topics(engines.settings)
        for name in (CAPTURE, SEGMENTATION):
            shop.streams.start(name, wait=120)
        yield shop
        shop.streams.close()


def materialize(shop: Shop, *assets: Any) -> dg.ExecuteInProcessResult:
    resources = {"lakehouse": LakehouseResource(home=str(shop.settings.home))}
    with dg.DagsterInstance.ephemeral() as instance:
        return dg.materialize(list(assets), resources=resources, instance=instance, raise_on_error=False)


def test_without_a_model_nothing_is_scored(shop: Shop) -> None:
    with pytest.raises(ModelError, match="no model of churn yet"):
        shop.streams.start(SCORING)
    found = status(shop.streams, SCORING)
    assert (found.state, found.changed) == ("not running", False)
    assert load_jobs()[SCORING].wanted == "stopped"
    assert not materialize(shop, churn_model).success


def test_a_model_is_trained_and_its_scores_are_those_of_batch(shop: Shop) -> None:
    shop.send(0)
    shop.until(shop.counted)
    shop.until(shop.refined)
    made = materialize(shop, churn_training_set, churn_model)
    assert made.success
    learnt = shop.read(TABLE)
    assert learnt.height > 200
    assert learnt.filter(pl.col("effective_at") > pl.col("label_time")).is_empty()
    assert current(shop.settings.home).finite
    # The same rows give the same version.
    version = current(shop.settings.home).version
    assert materialize(shop, churn_model).success
    assert current(shop.settings.home).version == version

    shop.streams.start(SCORING, wait=120)
    shop.until(shop.scored)
    scores = shop.read(SCORES)
    assert scores["score"].is_between(0, 1).all()
    assert scores["score"].n_unique() > 50
    assert scores["model_version"].unique().to_list() == [version]
    with Lakehouse(shop.settings) as lake:
        found = score_parity(lake, shop.settings.home)
    assert (found.total, found.compared) == (0, scores.unique().height)


def test_a_new_model_is_an_upgrade_with_the_state(shop: Shop) -> None:
    before = current(shop.settings.home)
    other = replace(before, intercept=before.intercept + 0.5)
    save(shop.settings.home, other, {})
    register(shop.settings.home, other.version)
    assert status(shop.streams, SCORING).changed
    assert upgrade(shop.streams, SCORING).result == "upgraded"
    rows = shop.read(SCORES).height
    shop.send(1)
    shop.until(shop.counted)
    shop.until(shop.scored)
    scores = shop.read(SCORES)
    assert set(scores["model_version"]) == {before.version, other.version}
    # Nothing was read again: what the old model scored has one score.
    assert scores.filter(pl.col("model_version") == before.version).height == rows
    assert scores.unique(("customer_id", "version", "effective_at")).height == scores.height
    with Lakehouse(shop.settings) as lake:
        assert score_parity(lake, shop.settings.home).total == 0


def test_a_message_that_is_no_segment_stops_nothing_nor_does_a_killed_task_manager(shop: Shop) -> None:
    producer = Producer({"bootstrap.servers": shop.settings.kafka_servers})
    for number, value in enumerate(NO_SEGMENTS):
        producer.produce(topic_of(load_features()[SEGMENTS]), value, b"C0000001", partition=number % 2)
    assert producer.flush(30) == 0
    del producer
    [job] = shop.streams.look(SCORING).active
    shop.send(2)
    shop.until(shop.counted)
    shop.until(shop.scored)
    # It went on: not even a restart.
    shop.until(lambda: shop.streams.flink.restarts(job.id) is not None)
    assert [(each.id, each.state) for each in shop.streams.look(SCORING).active] == [(job.id, "RUNNING")]
    assert shop.streams.flink.restarts(job.id) == 0
    assert shop.read(SCORES).filter(pl.col("customer_id").str.starts_with("G")).is_empty()

    before = shop.read(SCORES).height
    shop.engines.kill("flink-taskmanager")
    shop.send(3)
    shop.engines.tick()
    shop.until(shop.counted)
    shop.until(shop.scored)
    scores = shop.read(SCORES)
    assert scores.height > before
    # A segment may be told again, to the same score.
    assert scores.unique(("customer_id", "version", "effective_at")).height == scores.unique().height
    with Lakehouse(shop.settings) as lake:
        assert score_parity(lake, shop.settings.home).total == 0


def test_the_check_sees_a_wrong_score_and_one_that_is_missing(shop: Shop) -> None:
    shop.streams.stop(SCORING)
    assert checked(shop).passed
    with Lakehouse(shop.settings) as lake:
        rows = lake.read(SCORES)
        wrong = pl.DataFrame(pl.from_arrow(rows)).sort("version").tail(1).with_columns(pl.col("score") + 1e-6)
        lake.table(SCORES).append(wrong.to_arrow().cast(rows.schema))
    found = checked(shop)
    assert (found.passed, found.metadata["changed"].value) == (False, 1)
    with Lakehouse(shop.settings) as lake:
        lake.table(SCORES).delete(f"customer_id = '{wrong['customer_id'][0]}'")
    found = checked(shop)
    assert (found.passed, found.metadata["missing"].value) == (False, 1)


def checked(shop: Shop) -> dg.AssetCheckResult:
    found = scores_equal_batch(lakehouse=LakehouseResource(home=str(shop.settings.home)))
    assert isinstance(found, dg.AssetCheckResult)
    return found
