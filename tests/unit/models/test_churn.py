"""The churn model without engines: nothing from later is learnt, and what is not fit does not become current."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c360.models.churn import ChurnModel, ModelError, current, folder, load, register, save
from c360_assets.models.churn import Trained, inputs, predict, train
from c360_assets.models.training_set import EVERY, HORIZON, training_set

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2025, 1, 1, tzinfo=UTC)
DAY, TICK = timedelta(days=1), timedelta(microseconds=1)
UNTIL = START + 200 * DAY
LAST = UNTIL - HORIZON
MOMENT = pa.timestamp("us", "UTC")
ORDERS: dict[str, pa.DataType] = {
    "order_id": pa.string(), "customer_id": pa.string(), "ordered_at": MOMENT, "lsn": pa.int64(),
    "committed_at": MOMENT,
}  # fmt: skip
SEGMENTS: dict[str, pa.DataType] = {
    "customer_id": pa.string(), "segment": pa.string(), "orders": pa.int64(), "spend": pa.decimal128(18, 2),
    "last_order_at": MOMENT, "effective_at": MOMENT, "version": pa.int64(),
}  # fmt: skip
Row = dict[str, Any]


def order(customer: str, at: datetime, number: int, lsn: int = 0) -> Row:
    return {
        "order_id": f"O{number}",
        "customer_id": customer,
        "ordered_at": at,
        "lsn": lsn or number,
        "committed_at": at,
    }


def known(customer: str, effective: datetime, version: int, last: datetime | None = None) -> Row:
    return {
        "customer_id": customer, "segment": "New", "orders": version, "spend": Decimal(10 * version),
        "last_order_at": last or effective, "effective_at": effective, "version": version,
    }  # fmt: skip


def made(orders: list[Row], segments: list[Row], until: datetime = UNTIL) -> list[Row]:
    tables = (
        pa.Table.from_pylist(orders, schema=pa.schema(ORDERS)),
        pa.Table.from_pylist(segments, schema=pa.schema(SEGMENTS)),
    )
    return training_set(*tables, until).to_pylist()


@pytest.mark.parametrize(("effective", "seen"), [(LAST - TICK, 2), (LAST, 2), (LAST + TICK, 1)])
def test_a_row_that_comes_into_effect_after_the_label_is_not_seen(effective: datetime, seen: int) -> None:
    rows = made([order("C1", START, 1), order("C1", LAST - DAY, 2)], [known("C1", START, 1), known("C1", effective, 2)])
    [newest] = [row for row in rows if row["label_time"] == LAST]
    assert newest["version"] == seen


@pytest.mark.parametrize(
    ("later", "churned"), [(LAST, True), (LAST + TICK, False), (LAST + HORIZON, False), (UNTIL + TICK, True)]
)
def test_an_order_in_the_sixty_days_after_is_no_churn(later: datetime, churned: bool) -> None:
    rows = made([order("C1", START, 1), order("C1", later, 2)], [known("C1", START, 1)])
    assert [row["churned"] for row in rows if row["label_time"] == LAST] == [churned]


def test_only_the_first_content_of_an_order_counts() -> None:
    moved = order("C1", LAST + DAY, 1, lsn=99)
    rows = made([order("C1", START, 1), moved], [known("C1", START, 1)])
    assert [row["churned"] for row in rows if row["label_time"] == LAST] == [True]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_training_set_is_what_could_be_known(seed: int) -> None:
    rng = random.Random(seed)
    grid = [START + DAY * rng.randint(0, 199) + rng.choice([-TICK, 0 * TICK, TICK]) for _ in range(20)]
    grid += [UNTIL - HORIZON - k * EVERY + off for k in range(3) for off in (-TICK, 0 * TICK, TICK)]
    orders = [order(rng.choice("AB"), rng.choice(grid), number) for number in range(1, 12)]
    segments = [known(rng.choice("AB"), rng.choice(grid), rng.randint(1, 5), START) for _ in range(15)]
    wanted = set()
    first = min(each["ordered_at"] for each in orders)
    label = LAST
    while label >= first:
        for customer in "AB":
            mine = [each["ordered_at"] for each in orders if each["customer_id"] == customer]
            seen = [each for each in segments if each["customer_id"] == customer and each["effective_at"] <= label]
            if seen and any(at <= label for at in mine):
                best = max(seen, key=lambda each: (each["version"], each["effective_at"]))
                churned = not any(label < at <= label + HORIZON for at in mine)
                wanted.add((customer, label, churned, best["version"], best["effective_at"]))
        label -= EVERY
    found = [
        (row["customer_id"], row["label_time"], row["churned"], row["version"], row["effective_at"])
        for row in made(orders, segments)
    ]
    assert len(found) == len(set(found))
    assert set(found) == wanted
    # What comes into effect after the newest label changes nothing.
    assert made(orders, [*segments, known("A", LAST + TICK, 99), known("B", UNTIL, 98)]) == made(orders, segments)


def learnable(size: int = 600, *, sense: bool = True) -> pl.DataFrame:
    """Customers who churn after long silences, or at random."""
    rng = random.Random(7)
    rows = []
    for number in range(size):
        silence = rng.choice([0, 30, 90])
        chance = {0: 0.1, 30: 0.5, 90: 0.95}[silence] if sense else 0.5
        label = START + EVERY * (number % 8)
        row = known(f"C{number}", label, rng.randint(1, 9), label - silence * DAY)
        rows.append({**row, "label_time": label, "churned": rng.random() < chance})
    return pl.DataFrame(rows)


def test_training_is_repeatable_and_its_document_scores_as_the_formula_says(tmp_path: Path) -> None:
    trained = train(learnable())
    assert trained.refusal is None
    assert 0.7 < trained.metrics["auc"] < 1
    assert (trained.metrics["trained_rows"], trained.metrics["held_out_rows"]) == (450, 150)
    assert train(learnable().sample(fraction=1, shuffle=True, seed=1).sort("label_time", "customer_id")).metrics["auc"]
    assert train(learnable()).model == trained.model
    save(tmp_path, trained.model, trained.metrics)
    register(tmp_path, trained.model.version)
    read = current(tmp_path)
    assert read == trained.model
    rows = learnable(50)
    by_hand = []
    for row in rows.to_dicts():
        silence = (row["effective_at"] - row["last_order_at"]) / DAY
        values = (math.log1p(row["orders"]), math.log1p(float(row["spend"])), silence)
        numbers = zip(read.coefficients, values, read.mean, read.scale, strict=True)
        by_hand.append(1 / (1 + math.exp(-read.intercept - sum(c * (x - m) / s for c, x, m, s in numbers))))
    assert predict(read, rows).tolist() == pytest.approx(by_hand, abs=1e-12)
    assert inputs(rows).shape == (50, 3)


def test_one_kind_of_customers_teaches_nothing() -> None:
    with pytest.raises(ModelError, match="none has churned, or all have"):
        train(learnable().with_columns(churned=pl.lit(value=True)))


@pytest.mark.parametrize(
    ("change", "auc", "reason"),
    [({"intercept": math.nan}, 0.9, "finite"), ({"scale": (1.0, 0.0, 1.0)}, 0.9, "finite"), ({}, 0.5, "not above 0.5")],
)
def test_a_model_that_is_not_fit_is_refused(change: dict[str, Any], auc: float, reason: str) -> None:
    model = ChurnModel((0.0,) * 3, (1.0,) * 3, (0.1,) * 3, 0.0)
    assert Trained(model, {"auc": 0.9}).refusal is None
    refusal = Trained(replace(model, **change), {"auc": auc}).refusal
    assert refusal is not None
    assert reason in refusal


def test_a_missing_or_damaged_model_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model of churn yet.*materialise models/churn"):
        current(tmp_path)
    model = ChurnModel((0.0,) * 3, (1.0,) * 3, (0.1,) * 3, 0.0)
    save(tmp_path, model, {})
    with pytest.raises(ModelError, match="no model of churn yet"):
        current(tmp_path)
    register(tmp_path, model.version)
    path = folder(tmp_path) / model.version / "model.json"
    path.write_text(path.read_text().replace("0.1", "0.2", 1))
    with pytest.raises(ModelError, match="holds version"):
        load(tmp_path, model.version)
    path.write_text(json.dumps({"inputs": []}))
    with pytest.raises(ModelError, match="cannot be read"):
        current(tmp_path)
    with pytest.raises(ModelError, match="cannot be read"):
        register(tmp_path, "none")
