"""Which members of the dimensions a refresh has to tell anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from c360_assets.gold.scope import NOTHING, Scope, Slice, distinct

if TYPE_CHECKING:
    from c360_assets.gold.scope import Upstream

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


def _by_key(up: Upstream, view: str, table: str, key: str, columns: tuple[str, ...]) -> Scope:
    keys = distinct(up.added(table, key).get_column(key))
    return NOTHING if keys.is_empty() else Scope(views={view: Slice(up, table, key, keys, columns)}, on=key, keys=keys)
