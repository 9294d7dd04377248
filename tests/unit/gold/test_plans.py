"""Plans on frames alone: which keys a refresh names, given what changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from c360.contracts import get_contract, to_arrow
from c360_assets.gold import plan_dimensions, plan_facts, plan_marts
from c360_assets.gold.scope import RebuildNeededError, Scope, Slice, differences, distinct, moved

Row = dict[str, Any]
BEGIN = datetime(1900, 1, 1, tzinfo=UTC)
END = datetime(9999, 12, 31, tzinfo=UTC)
MOMENT = datetime(2025, 3, 1, 12, tzinfo=UTC)


def frame(table: str, rows: list[Row]) -> pl.DataFrame:
    """Rows in the columns and types of the table's contract; columns that are not given are null."""
    schema = pl.DataFrame(to_arrow(get_contract(table)).empty_table()).schema
    return pl.DataFrame([{**dict.fromkeys(schema), **row} for row in rows], schema=schema)


@dataclass
class Frames:
    """An upstream in memory: each table as it was consumed and as it is."""

    built: list[Row] = field(default_factory=list)
    name: str = ""
    before: dict[str, list[Row]] = field(default_factory=dict)
    after: dict[str, list[Row]] = field(default_factory=dict)
    as_of: datetime = MOMENT
    built_as_of: datetime | None = MOMENT

    def changed(self, table: str) -> bool:
        return table in self.after

    def added(self, table: str, *columns: str) -> pl.DataFrame:
        known = self.before.get(table, [])
        return frame(table, [r for r in self.after.get(table, known) if r not in known]).select(columns)

    def rewritten(self, table: str, *columns: str) -> tuple[pl.DataFrame, pl.DataFrame]:
        known = self.before.get(table, [])
        return frame(table, known).select(columns), frame(table, self.after.get(table, known)).select(columns)

    def scan(self, table: str) -> pl.LazyFrame:
        return frame(table, self.after.get(table, self.before.get(table, []))).lazy()

    def consumed_scan(self, table: str) -> pl.LazyFrame:
        return frame(table, self.before.get(table, [])).lazy()

    def target(self) -> pl.LazyFrame:
        return frame(self.name, self.built).lazy()


def version(customer_id: str, sk: int, start: datetime) -> Row:
    return {"customer_id": customer_id, "customer_sk": sk, "valid_from": start, "valid_to": END, "is_current": True}


def fact(item: str, order: str = "O0", **more: Any) -> Row:
    keys = {"customer_id": "C0", "product_id": "P0", "location_sk": 1, "ordered_at": MOMENT}
    return {"order_item_id": item, "order_id": order, **keys, **more}


def keys_of(scope: Scope) -> list[Any]:
    assert scope.keys is not None
    return distinct(scope.keys).to_list()


def test_differences_are_of_rows_and_not_of_files() -> None:
    same, gone, come = fact("I1"), fact("I2"), fact("I3")
    up = Frames(before={"gold.fact_sales": [same, same, gone]}, after={"gold.fact_sales": [come, same, same]})
    assert sorted(differences(up, "gold.fact_sales", ("order_item_id",))["order_item_id"]) == ["I2", "I3"]


def test_differences_count_how_often_a_row_occurs() -> None:
    up = Frames(before={"gold.fact_sales": [fact("I1")]}, after={"gold.fact_sales": [fact("I1"), fact("I1")]})
    assert differences(up, "gold.fact_sales", ("order_item_id",)).height == 1


def test_a_member_is_told_anew_from_its_earliest_changed_version() -> None:
    march, april = datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC)
    up = Frames(
        before={"gold.dim_customer": [version("C1", 1, BEGIN), version("C1", 3, april), version("C2", 9, BEGIN)]},
        after={"gold.dim_customer": [version("C1", 1, BEGIN), version("C1", 2, march), version("C2", 9, BEGIN)]},
    )
    assert moved(up, "gold.dim_customer", "customer_sk", "customer_id").rows() == [("C1", march)]


def test_a_first_version_that_is_no_longer_first_moves_everything() -> None:
    april = datetime(2025, 4, 1, tzinfo=UTC)
    up = Frames(
        before={"gold.dim_customer": [version("C1", 2, BEGIN)]},
        after={"gold.dim_customer": [version("C1", 1, BEGIN), version("C1", 2, april)]},
    )
    assert moved(up, "gold.dim_customer", "customer_sk", "customer_id").rows() == [("C1", BEGIN)]


def test_facts_follow_items_orders_and_histories_but_no_others() -> None:
    april = MOMENT + timedelta(days=31)
    up = Frames(
        name="gold.fact_sales",
        built=[
            fact("I1", "O1"),
            fact("I2", "O1"),
            fact("before the new version", "O2", customer_id="C1"),
            fact("at the new version", "O3", customer_id="C1", ordered_at=april),
            fact("unknown order", "O9", customer_id=None, product_id="P1", ordered_at=None),
            fact("far away", "O4"),
        ],
        before={
            "gold.dim_customer": [version("C1", 1, BEGIN)],
            "gold.dim_product": [{"product_id": "P1", "product_sk": 1, "valid_from": BEGIN}],
        },
        after={
            "gold.dim_customer": [version("C1", 1, BEGIN), version("C1", 2, april)],
            "gold.dim_product": [
                {"product_id": "P1", "product_sk": 1, "valid_from": BEGIN},
                {"product_id": "P1", "product_sk": 2, "valid_from": april},
            ],
            "silver.orders": [{"order_id": "O1", "customer_id": "C0", "ordered_at": MOMENT, "updated_at": MOMENT}],
            "silver.order_items": [{"order_item_id": "new", "order_id": "O8"}],
        },
    )
    scope = plan_facts.fact_sales(up)
    assert scope.keys is not None
    assert scope.keys.to_list() == ["I1", "I2", "at the new version", "new", "unknown order"]
    assert scope.on == "order_item_id"


def test_only_facts_whose_location_was_unknown_look_for_new_locations() -> None:
    place = {"location_id": "L1", "location_sk": 7}
    orders = [
        {"order_id": order, "customer_id": "C0", "ordered_at": MOMENT, "updated_at": MOMENT, "location_id": location}
        for order, location in (("O1", "L1"), ("O2", "L1"), ("O3", "L3"))
    ]
    up = Frames(
        name="gold.fact_sales",
        built=[fact("I1", "O1", location_sk=-1), fact("I2", "O2"), fact("I3", "O3", location_sk=-1)],
        before={"silver.orders": orders},
        after={"gold.dim_location": [place]},
    )
    assert keys_of(plan_facts.fact_sales(up)) == ["I1"]


def test_an_item_that_changed_its_order_brings_in_both_orders() -> None:
    items = [{"order_item_id": "I1", "order_id": order, "updated_at": MOMENT} for order in ("O1", "O2")]
    up = Frames(
        name="gold.fact_sales",
        built=[fact("I1", "O1")],
        before={"silver.order_items": items[:1]},
        after={"silver.order_items": items},
    )
    orders = plan_facts.fact_sales(up).views["latest_orders"]
    assert isinstance(orders, Slice)
    assert sorted(orders.keys) == ["O1", "O2"]


@pytest.mark.parametrize(
    "plan",
    [
        plan_facts.fact_sales,
        plan_facts.fact_logistics,
        plan_facts.fact_orders,
        plan_marts.sales_daily,
        plan_marts.product_performance,
        plan_marts.anomaly_alerts,
        plan_marts.customer_activity,
    ],
)
def test_nothing_changed_is_no_scope(plan: Any) -> None:
    assert plan(Frames(name=f"gold.{plan.__name__}")).affected == 0


def test_a_day_is_computed_anew_when_an_order_leaves_it() -> None:
    def order(day: int) -> Row:
        return {"order_id": "O1", "customer_id": "C1", "ordered_at": datetime(2025, 3, day, 23, 59, tzinfo=UTC)}

    up = Frames(
        name="gold.sales_daily", before={"gold.fact_orders": [order(1)]}, after={"gold.fact_orders": [order(3)]}
    )
    scope = plan_marts.sales_daily(up)
    assert scope.keys is not None
    assert scope.keys.to_list() == [date(2025, 3, 1), date(2025, 3, 3)]
    placed = scope.views["fact_orders"]
    assert isinstance(placed, Slice)
    assert placed.frame["ordered_at"].dt.day().to_list() == [3]


def event(customer_id: str | None, moment: datetime) -> Row:
    return {
        "event_id": f"{customer_id}{moment}",
        "event_type": "search",
        "event_timestamp": moment,
        "customer_id": customer_id,
    }


def test_each_event_is_counted_once_whenever_it_arrives() -> None:
    tick = timedelta(microseconds=1)
    later = MOMENT + timedelta(days=1)
    counted = [event("counted", MOMENT), event("too early then", MOMENT + tick)]
    arrived = [event("late", MOMENT), event("new", later), event("too early now", later + tick), event(None, later)]
    up = Frames(
        name="gold.customer_activity",
        before={"silver.events": counted},
        after={"silver.events": counted + arrived},
        as_of=later,
    )
    assert keys_of(plan_marts.customer_activity(up)) == ["late", "new", "too early then"]


@pytest.mark.parametrize("plan", [plan_marts.customer_activity, plan_marts.anomaly_alerts])
def test_counts_cannot_go_back_in_time(plan: Any) -> None:
    up = Frames(name=f"gold.{plan.__name__}", as_of=MOMENT - timedelta(days=1))
    with pytest.raises(RebuildNeededError):
        plan(up)


def test_all_orders_of_a_customer_are_judged_again_when_one_changes_or_comes_due() -> None:
    later, tick = MOMENT + timedelta(days=1), timedelta(microseconds=1)

    def order(identifier: str, customer: str, moment: datetime, net: int = 1, status: str = "placed") -> Row:
        keys = {"order_id": identifier, "customer_id": customer, "ordered_at": moment}
        return {**keys, "net_amount": Decimal(net), "order_status": status}

    same = [
        order("O1", "due", later), order("O2", "judged", MOMENT), order("O3", "not yet", later + tick),
        order("O4", "dearer", BEGIN),
    ]  # fmt: skip
    up = Frames(
        name="gold.anomaly_alerts",
        before={"gold.fact_orders": [*same, order("O5", "dearer", MOMENT), order("O6", "shipped", MOMENT)]},
        after={
            "gold.fact_orders": [
                *same, order("O5", "dearer", MOMENT, 2), order("O6", "shipped", MOMENT, status="shipped"),
                order("O7", "late", BEGIN),
            ]
        },
        as_of=later,
    )  # fmt: skip
    scope = plan_marts.anomaly_alerts(up)
    assert keys_of(scope) == ["dearer", "due", "late"]
    orders = scope.views["fact_orders"]
    assert isinstance(orders, Slice)
    assert sorted(orders.frame["order_id"]) == ["O1", "O4", "O5", "O7"]


def test_the_calendar_stays_while_its_years_suffice() -> None:
    order = {"order_id": "O1", "customer_id": "C1", "updated_at": MOMENT}
    up = Frames(name="gold.dim_date", built=[{"date_sk": 20250101, "year": 2025}, {"date_sk": -1}])
    up.after = {"silver.orders": [{**order, "ordered_at": datetime(2025, 12, 31, 23, tzinfo=UTC)}]}
    assert plan_dimensions.dim_date(up).affected == 0
    up.after = {"silver.shipments": [{"shipment_id": "S1", "promised_at": datetime(2026, 1, 1, tzinfo=UTC)}]}
    assert plan_dimensions.dim_date(up).affected is None
