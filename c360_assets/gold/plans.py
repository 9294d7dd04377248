"""Per table: which keys a refresh has to compute anew, given what changed upstream. Pure functions over frames."""

from __future__ import annotations

import polars as pl

from c360_assets.gold.scope import (
    TARGET,
    RebuildNeededError,
    Scope,
    Slice,
    Upstream,
    differences,
    distinct,
    moved,
)

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

NOTHING = Scope(on="", keys=pl.Series("key", [], pl.String))


def everything(_: Upstream) -> Scope:
    """Small enough, or changed everywhere by ``as_of``: compute it whole."""
    return Scope()


def dim_customer(up: Upstream) -> Scope:
    """Customers with new versions, in their whole history: a late version may shift or merge the others."""
    return _by_key(up, "customers", "silver.customers", "customer_id", _CUSTOMER_COLUMNS)


def dim_product(up: Upstream) -> Scope:
    """Products with new versions, in their whole history."""
    return _by_key(up, "products", "silver.products", "product_id", _PRODUCT_COLUMNS)


def dim_location(up: Upstream) -> Scope:
    """Locations with new versions."""
    return _by_key(up, "latest_locations", "silver.locations", "location_id", _LOCATION_COLUMNS)


def dim_date(up: Upstream) -> Scope:
    """Nothing, as long as what is new falls into the years that the calendar has."""
    shipped = up.added("silver.shipments", "shipped_at", "promised_at", "delivered_at")
    placed = up.added("silver.orders", "ordered_at")
    moments = [*placed.get_columns(), *shipped.get_columns()]
    known = up.target().select(pl.col("year").drop_nulls().unique()).collect().get_column("year")
    years = distinct(*moments).dt.year().unique()
    return NOTHING if years.is_in(known.implode()).all() else Scope()


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
    """Shipments that changed, those of orders that changed, and those whose customer or location is told anew."""
    shipments = up.added("silver.shipments", "shipment_id").get_column("shipment_id")
    orders = distinct(up.added("silver.orders", "order_id").get_column("order_id"))
    customers = moved(up, "gold.dim_customer", "customer_sk", "customer_id").get_column("customer_id")
    facts = up.target()
    places = _new_places(up)
    lost = facts.filter(pl.col("location_sk") == -1).select("shipment_id")
    stale = facts.filter(
        pl.col("order_id").is_in(orders.implode()) | pl.col("customer_id").is_in(customers.implode())
    ).select("shipment_id")
    found = pl.Series("shipment_id", [], pl.String)
    if not places.is_empty() and not (missing := lost.collect().get_column("shipment_id")).is_empty():
        found = _values(
            up.scan("silver.shipments").filter(
                pl.col("shipment_id").is_in(missing.implode()) & pl.col("location_id").is_in(places.implode())
            ),
            "shipment_id",
        )
    keys = distinct(shipments, _values(stale, "shipment_id"), found)
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
        _values(payments.filter(pl.col("transaction_id").is_in(paid.implode())), "order_id"),
    )
    if keys.is_empty():
        return NOTHING
    settled = _values(payments.filter(pl.col("order_id").is_in(keys.implode())), "transaction_id")
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


def sales_daily(up: Upstream) -> Scope:
    """Days of which an order changed, or the country that an order is shipped to."""
    days = [differences(up, "gold.fact_orders", DAILY_MEASURES).get_column("ordered_at").dt.date()]
    places = differences(up, "gold.dim_location", ("location_id", "country_code")).get_column("location_id").unique()
    if not places.is_empty():
        sent = up.scan("gold.fact_orders").filter(pl.col("location_id").is_in(places.implode()))
        days.append(_values(sent, "ordered_at").dt.date())
    keys = distinct(*days)
    if keys.is_empty():
        return NOTHING
    placed = Slice(up, "gold.fact_orders", "ordered_at", keys, DAILY_MEASURES, by_day=True)
    return Scope(views={"fact_orders": placed}, on="order_date", keys=keys)


def customer_activity(up: Upstream) -> Scope:
    """Events not counted yet: new ones up to the earlier moment, and all between the two moments."""
    before, now = up.built_as_of, up.as_of
    if before is None or now < before:
        raise RebuildNeededError("events that were counted already lie after as_of")
    columns = ("customer_id", "event_type", "event_timestamp")
    moment = pl.col("event_timestamp")
    late = up.added("silver.events", *columns).filter(moment <= before)
    since = up.scan("silver.events").filter((moment > before) & (moment <= now)).select(columns).collect()
    events = pl.concat([late, since]).drop_nulls("customer_id")
    keys = distinct(events.get_column("customer_id"))
    if keys.is_empty():
        return NOTHING
    counted = Slice(up, TARGET, "customer_id", keys, ACTIVITY_COLUMNS)
    return Scope(views={"events": events, "counted_activity": counted}, on="customer_id", keys=keys)


def customer_360(up: Upstream) -> Scope:
    """Every customer, because recency moves with ``as_of``; the favourite category only where purchases changed."""
    assert up.built_as_of is not None
    first, last = sorted((up.built_as_of, up.as_of))
    bought = differences(up, "gold.fact_sales", PURCHASE_COLUMNS).get_column("customer_id")
    between = up.scan("gold.fact_sales").filter((pl.col("ordered_at") > first) & (pl.col("ordered_at") <= last))
    known = up.target().select("customer_id").collect().get_column("customer_id")
    members = _values(up.scan("gold.dim_customer").filter("is_current"), "customer_id")
    new = members.filter(~members.is_in(known.implode()))
    keys = distinct(bought, _values(between, "customer_id"), new)
    return Scope(
        views={
            "purchases": Slice(up, "gold.fact_sales", "customer_id", keys, PURCHASE_COLUMNS),
            "known_favourites": Slice(
                up, TARGET, "customer_id", keys, ("customer_id", "favourite_category"), negated=True
            ),
        }
    )


ITEM_MEASURES = (
    "quantity", "gross_amount", "discount_amount", "net_amount", "returned_amount", "revenue_amount",
)  # fmt: skip
SHIPMENT_MEASURES = ("status", "delivered_at", "is_delivered", "is_on_time")
DAILY_MEASURES = (
    "ordered_at", "sales_channel", "location_id", "customer_id", "is_cancelled", "order_items", "units", "gross_amount",
    "discount_amount", "net_amount", "returned_amount", "revenue_amount",
)  # fmt: skip
ACTIVITY_COLUMNS = (
    "customer_id", "web_events", "web_sessions", "product_views", "carts", "support_tickets", "first_seen_at",
    "last_seen_at",
)  # fmt: skip
PURCHASE_COLUMNS = ("customer_id", "product_sk", "ordered_at", "is_cancelled", "revenue_amount")
_CUSTOMER_COLUMNS = (
    "customer_id", "first_name", "last_name", "email", "phone", "birth_date", "location_id", "language", "loyalty_tier",
    "acquisition_channel", "registered_at", "updated_at",
)  # fmt: skip
_PRODUCT_COLUMNS = (
    "product_id", "product_name", "category", "subcategory", "brand", "unit_price", "unit_cost", "weight_kg", "status",
    "introduced_at", "updated_at",
)  # fmt: skip
_LOCATION_COLUMNS = (
    "location_id", "street", "city", "postal_code", "region", "country_code", "latitude", "longitude", "updated_at",
)  # fmt: skip


def _by_key(up: Upstream, view: str, table: str, key: str, columns: tuple[str, ...]) -> Scope:
    keys = distinct(up.added(table, key).get_column(key))
    return NOTHING if keys.is_empty() else Scope(views={view: Slice(up, table, key, keys, columns)}, on=key, keys=keys)


def _values(rows: pl.LazyFrame, column: str) -> pl.Series:
    return rows.select(pl.col(column).drop_nulls().unique()).collect().get_column(column)


def _new_places(up: Upstream) -> pl.Series:
    return differences(up, "gold.dim_location", ("location_sk", "location_id")).get_column("location_id").unique()


def _orders_to(up: Upstream, lost: pl.LazyFrame) -> pl.Series:
    """Of orders whose location was unknown, those that name (in any version) a location known now."""
    places = _new_places(up)
    none = pl.Series("order_id", [], pl.String)
    if places.is_empty():
        return none
    missing = _values(lost, "order_id")
    if missing.is_empty():
        return none
    to_places = pl.col("order_id").is_in(missing.implode()) & pl.col("location_id").is_in(places.implode())
    return _values(up.scan("silver.orders").filter(to_places), "order_id")
