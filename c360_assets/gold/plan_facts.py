"""Which rows of the facts a refresh has to compute anew: a fact follows its source, its order and its dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from c360_assets.gold.scope import NOTHING, Scope, Slice, differences, distinct, moved, values

if TYPE_CHECKING:
    from c360_assets.gold.scope import Upstream

ITEM_COLUMNS = (
    "order_item_id", "order_id", "line_number", "product_id", "quantity", "unit_price", "discount_amount",
    "returned_quantity", "updated_at",
)  # fmt: skip
ORDER_COLUMNS = (
    "order_id", "customer_id", "ordered_at", "status", "channel", "location_id", "currency", "updated_at",
)  # fmt: skip
SHIPMENT_COLUMNS = (
    "shipment_id", "order_id", "carrier", "service_level", "warehouse", "location_id", "status", "shipped_at",
    "promised_at", "delivered_at", "shipping_cost", "weight_kg", "updated_at",
)  # fmt: skip
TRANSACTION_COLUMNS = ("transaction_id", "order_id", "transaction_type", "amount", "status", "occurred_at")
CUSTOMER_KEYS = ("customer_id", "customer_sk", "valid_from", "valid_to")
PRODUCT_KEYS = ("product_id", "product_sk", "valid_from", "valid_to", "unit_cost")
LOCATION_KEYS = ("location_id", "location_sk")
ITEM_MEASURES = (
    "quantity", "gross_amount", "discount_amount", "net_amount", "returned_amount", "revenue_amount",
)  # fmt: skip
SHIPMENT_MEASURES = ("status", "delivered_at", "is_delivered", "is_on_time")


def fact_sales(up: Upstream) -> Scope:
    """Items that changed, items of orders that changed, and items whose customer, product or location is told anew."""
    items = up.added("silver.order_items", "order_item_id").get_column("order_item_id")
    orders = distinct(up.added("silver.orders", "order_id").get_column("order_id"))
    customers = moved(up, "gold.dim_customer", "customer_sk", "customer_id")
    products = moved(up, "gold.dim_product", "product_sk", "product_id")
    facts = up.target().select("order_item_id", "order_id", "customer_id", "product_id", "ordered_at", "location_sk")
    relocated = _orders_to(up, facts.filter(pl.col("location_sk") == -1).select("order_id"))
    touched = distinct(orders, relocated)
    near = facts.filter(
        pl.col("order_id").is_in(touched.implode())
        | pl.col("customer_id").is_in(customers.get_column("customer_id").implode())
        | pl.col("product_id").is_in(products.get_column("product_id").implode())
    ).collect()
    stale = (
        near.join(customers.rename({"since": "customer_since"}), on="customer_id", how="left")
        .join(products.rename({"since": "product_since"}), on="product_id", how="left")
        .filter(
            pl.col("order_id").is_in(touched.implode())
            | (pl.col("ordered_at") >= pl.col("customer_since"))
            | (pl.col("ordered_at") >= pl.col("product_since"))
            # without its order an item takes the product's current version, which has just changed
            | (pl.col("ordered_at").is_null() & pl.col("product_since").is_not_null())
        )
    )
    keys = distinct(items, stale.get_column("order_item_id"))
    if keys.is_empty():
        return NOTHING
    item_rows = Slice(up, "silver.order_items", "order_item_id", keys, ITEM_COLUMNS)
    order_rows = Slice(up, "silver.orders", "order_id", item_rows.values("order_id"), ORDER_COLUMNS)
    return Scope(
        views={
            "latest_order_items": item_rows,
            "latest_orders": order_rows,
            "dim_customer": Slice(
                up, "gold.dim_customer", "customer_id", order_rows.values("customer_id"), CUSTOMER_KEYS
            ),
            "dim_product": Slice(up, "gold.dim_product", "product_id", item_rows.values("product_id"), PRODUCT_KEYS),
            "dim_location": Slice(
                up, "gold.dim_location", "location_id", order_rows.values("location_id"), LOCATION_KEYS
            ),
        },
        on="order_item_id",
        keys=keys,
    )


def fact_logistics(up: Upstream) -> Scope:
    """Shipments that changed, and those whose order, customer or location is told anew."""
    shipments = up.added("silver.shipments", "shipment_id").get_column("shipment_id")
    orders = distinct(_retold_orders(up), _orders_of(up, moved(up, "gold.dim_customer", "customer_sk", "customer_id")))
    facts = up.target()
    stale = facts.filter(pl.col("order_id").is_in(orders.implode()))
    found = pl.Series("shipment_id", [], pl.String)
    places = _new_places(up)
    if not places.is_empty():
        lost = values(facts.filter(pl.col("location_sk") == -1), "shipment_id")
        to_places = pl.col("shipment_id").is_in(lost.implode()) & pl.col("location_id").is_in(places.implode())
        found = values(up.scan("silver.shipments").filter(to_places), "shipment_id")
    keys = distinct(shipments, values(stale, "shipment_id"), found)
    if keys.is_empty():
        return NOTHING
    shipment_rows = Slice(up, "silver.shipments", "shipment_id", keys, SHIPMENT_COLUMNS)
    order_rows = Slice(up, "silver.orders", "order_id", shipment_rows.values("order_id"), ORDER_COLUMNS)
    places_of = shipment_rows.values("location_id")
    return Scope(
        views={
            "latest_shipments": shipment_rows,
            "latest_orders": order_rows,
            "dim_customer": Slice(
                up, "gold.dim_customer", "customer_id", order_rows.values("customer_id"), CUSTOMER_KEYS
            ),
            "dim_location": Slice(up, "gold.dim_location", "location_id", places_of, LOCATION_KEYS),
        },
        on="shipment_id",
        keys=keys,
    )


def fact_orders(up: Upstream) -> Scope:
    """Orders that changed, or whose items, shipments or transactions did, under any order they ever named."""
    paid = distinct(up.added("silver.transactions", "transaction_id").get_column("transaction_id"))
    payments = up.scan("silver.transactions")
    keys = distinct(
        up.added("silver.orders", "order_id").get_column("order_id"),
        differences(up, "gold.fact_sales", ("order_id", *ITEM_MEASURES)).get_column("order_id"),
        differences(up, "gold.fact_logistics", ("order_id", *SHIPMENT_MEASURES)).get_column("order_id"),
        values(payments.filter(pl.col("transaction_id").is_in(paid.implode())), "order_id"),
    )
    if keys.is_empty():
        return NOTHING
    settled = values(payments.filter(pl.col("order_id").is_in(keys.implode())), "transaction_id")
    return Scope(
        views={
            "latest_orders": Slice(up, "silver.orders", "order_id", keys, ORDER_COLUMNS),
            "latest_transactions": Slice(up, "silver.transactions", "transaction_id", settled, TRANSACTION_COLUMNS),
            "fact_sales": Slice(up, "gold.fact_sales", "order_id", keys, ("order_id", *ITEM_MEASURES)),
            "fact_logistics": Slice(up, "gold.fact_logistics", "order_id", keys, ("order_id", *SHIPMENT_MEASURES)),
        },
        on="order_id",
        keys=keys,
    )


def _new_places(up: Upstream) -> pl.Series:
    return differences(up, "gold.dim_location", ("location_sk", "location_id")).get_column("location_id").unique()


def _orders_to(up: Upstream, lost: pl.LazyFrame) -> pl.Series:
    """Of orders whose location was unknown, those that name (in any version) a location known now."""
    places = _new_places(up)
    none = pl.Series("order_id", [], pl.String)
    if places.is_empty():
        return none
    missing = values(lost, "order_id")
    if missing.is_empty():
        return none
    to_places = pl.col("order_id").is_in(missing.implode()) & pl.col("location_id").is_in(places.implode())
    return values(up.scan("silver.orders").filter(to_places), "order_id")


def _retold_orders(up: Upstream) -> pl.Series:
    """Orders that came, or changed their customer or moment: all that a shipment takes from its order."""
    added = up.added("silver.orders", "order_id", "updated_at")
    known = pl.col("order_id").is_in(added.get_column("order_id").implode())
    versions = up.scan("silver.orders").filter(known).select("order_id", "customer_id", "ordered_at", "updated_at")
    newest = added.group_by("order_id").agg(pl.len().alias("new"))
    told = (
        versions.collect()
        .group_by("order_id")
        .agg(pl.len().alias("all"), pl.struct("customer_id", "ordered_at").n_unique().alias("tellings"))
    )
    return (
        told.join(newest, on="order_id")
        .filter((pl.col("tellings") > 1) | (pl.col("all") == pl.col("new")))
        .get_column("order_id")
    )


def _orders_of(up: Upstream, customers: pl.DataFrame) -> pl.Series:
    """Orders (in any version) of the customers whose history changed, placed where it did."""
    theirs = pl.col("customer_id").is_in(customers.get_column("customer_id").implode())
    orders = up.scan("silver.orders").filter(theirs).select("order_id", "customer_id", "ordered_at").collect()
    placed = orders.join(customers, on="customer_id").filter(pl.col("ordered_at") >= pl.col("since"))
    return placed.get_column("order_id")
