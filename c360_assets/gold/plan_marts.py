"""Which groups of the marts a refresh has to add up anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from c360_assets.gold.scope import NOTHING, RebuildNeededError, Scope, Slice, around, differences, distinct, values

if TYPE_CHECKING:
    from datetime import datetime

    from c360_assets.gold.scope import Upstream

DAILY_MEASURES = (
    "ordered_at", "sales_channel", "location_id", "customer_id", "is_cancelled", "order_items", "units", "gross_amount",
    "discount_amount", "net_amount", "returned_amount", "revenue_amount",
)  # fmt: skip
SHIPMENT_COLUMNS = (
    "shipped_at", "carrier", "service_level", "location_sk", "status", "is_delivered", "is_on_time", "transit_hours",
    "shipping_cost",
)  # fmt: skip
PLACE_COLUMNS = ("location_sk", "location_id", "country_code")
EVENT_COUNTS = (
    "customer_id", "web_events", "web_sessions", "product_views", "carts", "support_tickets", "first_seen_at",
    "last_seen_at",
)  # fmt: skip
ORDER_MEASURES = (
    "order_id", "customer_id", "ordered_at", "order_status", "is_cancelled", "order_items", "units", "net_amount",
    "returned_amount", "revenue_amount", "shipments", "delivered_shipments", "on_time_shipments", "late_shipments",
    "open_shipments", "last_delivered_at", "payments", "failed_payments", "captured_amount", "refunded_amount",
)  # fmt: skip
PLACED_COLUMNS = ("order_id", "customer_id", "ordered_at", "net_amount")
PURCHASE_COLUMNS = ("customer_id", "product_sk", "ordered_at", "is_cancelled", "revenue_amount")
LINE_COLUMNS = (
    "product_id", "order_id", "ordered_at", "is_cancelled", "quantity", "returned_quantity", "gross_amount",
    "discount_amount", "revenue_amount", "cost_amount", "margin_amount",
)  # fmt: skip
COUNTED_AFTER = "what was counted already may lie after as_of"
DESCRIBED = ("product_id", "product_name", "category", "brand", "status")


def everything(_: Upstream) -> Scope:
    """Small enough, or changed everywhere by ``as_of``: compute it whole."""
    return Scope()


def sales_daily(up: Upstream) -> Scope:
    """Days of which an order changed, or the country that an order is shipped to."""
    changed = differences(up, "gold.fact_orders", DAILY_MEASURES).get_column("ordered_at")
    moments = (changed, *_sent_to_other_countries(up, "gold.fact_orders", "location_id", "ordered_at"))
    keys = distinct(*(moment.dt.date() for moment in moments))
    if keys.is_empty():
        return NOTHING
    placed = Slice(up, "gold.fact_orders", "ordered_at", keys, DAILY_MEASURES, per="day")
    countries = Slice(up, "gold.dim_location", "location_id", placed.values("location_id"), PLACE_COLUMNS)
    return Scope(views={"fact_orders": placed, "dim_location": countries}, on="order_date", keys=keys)


def delivery_performance(up: Upstream) -> Scope:
    """Months of which a shipment changed, or the country that a parcel is shipped to."""
    changed = differences(up, "gold.fact_logistics", SHIPMENT_COLUMNS).get_column("shipped_at")
    moments = (changed, *_sent_to_other_countries(up, "gold.fact_logistics", "location_sk", "shipped_at"))
    keys = distinct(*(moment.dt.date().dt.month_start() for moment in moments))
    if keys.is_empty():
        return NOTHING
    shipped = Slice(up, "gold.fact_logistics", "shipped_at", keys, SHIPMENT_COLUMNS, per="month")
    countries = Slice(up, "gold.dim_location", "location_sk", shipped.values("location_sk"), PLACE_COLUMNS)
    return Scope(views={"fact_logistics": shipped, "dim_location": countries}, on="ship_month", keys=keys)


def _sent_to_other_countries(up: Upstream, facts: str, place: str, moment: str) -> list[pl.Series]:
    """Moments of the facts whose place is in another country than before; the facts are read only if there is one."""
    places = differences(up, "gold.dim_location", (place, "country_code")).get_column(place).unique()
    if places.is_empty():
        return []
    return [values(up.scan(facts).filter(pl.col(place).is_in(places.implode())), moment)]


def anomaly_alerts(up: Upstream) -> Scope:
    """Customers of whom an order changed or was placed since the earlier moment: each is compared with the others."""
    before = up.built_as_of
    if before is None or up.as_of < before:
        raise RebuildNeededError(COUNTED_AFTER)
    placed = pl.col("ordered_at")
    due = up.scan("gold.fact_orders").filter((placed > before) & (placed <= up.as_of))
    keys = distinct(differences(up, "gold.fact_orders", PLACED_COLUMNS)["customer_id"], values(due, "customer_id"))
    if keys.is_empty():
        return NOTHING
    orders = Slice(up, "gold.fact_orders", "customer_id", keys, PLACED_COLUMNS)
    return Scope(views={"fact_orders": orders}, on="customer_id", keys=keys)


def customer_activity(up: Upstream) -> Scope:
    """Customers of events not counted yet, and of orders that changed or were placed since the earlier moment.

    Events not counted yet are new ones up to the earlier moment, and all between the two. Changed orders are taken back
    as they were and counted as they are; where a first or a last one may be gone, and where an order lay in the future,
    all orders of the customer are counted again.
    """
    before, now = up.built_as_of, up.as_of
    if before is None or now < before:
        raise RebuildNeededError(COUNTED_AFTER)
    events = _uncounted_events(up, before)
    placed = pl.col("ordered_at")
    orders = up.scan("gold.fact_orders").select(ORDER_MEASURES)
    due = orders.filter((placed > before) & (placed <= now)).collect()
    changed = differences(up, "gold.fact_orders", ORDER_MEASURES)
    moments = pl.concat([changed["ordered_at"], due["ordered_at"]])
    touched = around(moments) & pl.col("order_id").is_in(distinct(changed["order_id"], due["order_id"]).implode())
    old = up.consumed_scan("gold.fact_orders").select(ORDER_MEASURES).filter(touched).collect()
    new = orders.filter(touched).collect()
    bought = distinct(differences(up, "gold.fact_sales", PURCHASE_COLUMNS)["customer_id"], due["customer_id"])
    keys = distinct(events["customer_id"], old["customer_id"], new["customer_id"], bought)
    if keys.is_empty():
        return NOTHING
    counted = up.target().filter(pl.col("customer_id").is_in(keys.implode())).collect()
    again = distinct(
        _without_extremes(counted, "customer_id", _order_extremes(old), _order_extremes(new)),
        _without_last_order(counted, old, new.filter(placed <= now)),
        old.filter(placed > before).get_column("customer_id"),
    )
    afresh = pl.col("customer_id").is_in(again.implode())
    others = counted.filter(~pl.col("customer_id").is_in(bought.implode()))
    purchases = Slice(up, "gold.fact_sales", "customer_id", bought, PURCHASE_COLUMNS)
    products = purchases.values("product_sk")
    return Scope(
        views={
            "events": events,
            "counted_events": counted.select(EVENT_COUNTS),
            "order_lines": _signed(old, new, orders, afresh, again),
            "counted_orders": counted.filter(~afresh),
            "purchases": purchases,
            "dim_product": Slice(up, "gold.dim_product", "product_sk", products, ("product_sk", "category")),
            "counted_favourites": others.select("customer_id", "favourite_category"),
        },
        on="customer_id",
        keys=keys,
    )


def _uncounted_events(up: Upstream, before: datetime) -> pl.DataFrame:
    columns = ("customer_id", "event_type", "event_timestamp")
    moment = pl.col("event_timestamp")
    late = up.added("silver.events", *columns).filter(moment <= before)
    since = up.scan("silver.events").filter((moment > before) & (moment <= up.as_of)).select(columns).collect()
    return pl.concat([late, since]).drop_nulls("customer_id")


def _order_extremes(orders: pl.DataFrame) -> pl.DataFrame:
    sold = pl.when((pl.col("order_items") > 0) & ~pl.col("is_cancelled")).then("ordered_at")
    return orders.group_by("customer_id").agg(
        sold.min().alias("first_order_at"),
        sold.max().alias("last_order_at"),
        pl.col("ordered_at").max().alias("last_placed_at"),
        pl.col("last_delivered_at").max(),
    )


def _without_last_order(counted: pl.DataFrame, old: pl.DataFrame, new: pl.DataFrame) -> pl.Series:
    """Customers whose last order is among the ``old`` ones, with none as late among the ``new``."""
    last = counted.select("customer_id", pl.col("last_order_id").alias("order_id"), "last_placed_at")
    taken = last.join(old, on=["customer_id", "order_id"], how="semi")
    rank = [pl.col("ordered_at"), pl.col("order_id")]
    newest = new.sort(rank).group_by("customer_id", maintain_order=True).agg(pl.col("ordered_at", "order_id").last())
    both = taken.join(newest, on="customer_id", how="left", suffix="_new")
    later = (pl.col("ordered_at") > pl.col("last_placed_at")) | (
        (pl.col("ordered_at") == pl.col("last_placed_at")) & (pl.col("order_id_new") >= pl.col("order_id"))
    )
    return both.filter(~later.fill_null(value=False)).get_column("customer_id")


def product_performance(up: Upstream) -> Scope:
    """Products whose lines, stock or description changed.

    Changed lines are taken back as they were and counted as they are; where the first or the last sale may be gone, and
    for new products, everything is counted again.
    """
    moves = up.added("silver.stock", "product_id", "quantity")
    described = differences(up, "gold.dim_product", ("is_current", *DESCRIBED)).get_column("product_id")
    changed = differences(up, "gold.fact_sales", LINE_COLUMNS)
    pairs = changed.select("product_id", "order_id").unique()
    keys = distinct(pairs.get_column("product_id"), moves.get_column("product_id"), described)
    if keys.is_empty():
        return NOTHING
    orders = pairs.get_column("order_id").unique().implode()
    near = around(changed.get_column("ordered_at"))  # all lines of an order are of one moment
    now = up.scan("gold.fact_sales").select(LINE_COLUMNS)
    old, new = (
        lines.select(LINE_COLUMNS)
        .filter(near & pl.col("order_id").is_in(orders))
        .collect()
        .join(pairs, on=pairs.columns, how="semi")
        for lines in (up.consumed_scan("gold.fact_sales"), now)
    )
    counted = up.target().filter(pl.col("product_id").is_in(keys.implode())).collect()
    again = distinct(
        _without_extremes(counted, "product_id", _line_extremes(old), _line_extremes(new)),
        keys.filter(~keys.is_in(counted.get_column("product_id").implode())),
    )
    afresh = pl.col("product_id").is_in(again.implode())
    stock = moves.clear()
    if not again.is_empty():
        stock = up.scan("silver.stock").filter(afresh).select(moves.columns).collect()
    return Scope(
        views={
            "dim_product": Slice(up, "gold.dim_product", "product_id", keys, ("product_sk", "is_current", *DESCRIBED)),
            "sales_lines": _signed(old, new, now, afresh, again),
            "stock": pl.concat([moves.filter(~afresh), stock]),
            "counted_performance": counted.filter(~afresh),
        },
        on="product_id",
        keys=keys,
    )


def _signed(
    old: pl.DataFrame, new: pl.DataFrame, every: pl.LazyFrame, afresh: pl.Expr, again: pl.Series
) -> pl.DataFrame:
    """``old`` rows to take back (sign -1) and ``new`` ones to count (1); of the keys ``again``, all there are (1)."""
    rows = [old.filter(~afresh).with_columns(sign=pl.lit(-1)), new.filter(~afresh).with_columns(sign=pl.lit(1))]
    if not again.is_empty():
        rows.append(every.filter(afresh).collect().with_columns(sign=pl.lit(1)))
    return pl.concat(rows)


def _line_extremes(lines: pl.DataFrame) -> pl.DataFrame:
    sold = pl.when(~pl.col("is_cancelled")).then("ordered_at")
    return lines.group_by("product_id").agg(sold.min().alias("first_sold_at"), sold.max().alias("last_sold_at"))


def _without_extremes(counted: pl.DataFrame, key: str, old: pl.DataFrame, new: pl.DataFrame) -> pl.Series:
    """Keys of which an extreme, a column ``first_…`` or ``last_…``, ``old`` rows reached and ``new`` ones do not."""
    both = counted.join(old, on=key, suffix="_old").join(new, on=key, how="left", suffix="_new")
    gone = pl.lit(value=False)
    for name in old.columns:
        if name == key:
            continue
        counts, was, now = pl.col(name), pl.col(f"{name}_old"), pl.col(f"{name}_new")
        first = name.startswith("first_")
        reached = was <= counts if first else was >= counts
        kept = now <= counts if first else now >= counts
        gone |= reached.fill_null(value=False) & ~kept.fill_null(value=False)
    return both.filter(gone).get_column(key)
