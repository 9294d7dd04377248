"""The gold tables: which SQL file builds each, what its named inputs are, and how its refresh is planned."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from c360_assets.gold import plans

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from c360_assets.gold.scope import Scope, Upstream

DEFS = Path(__file__).parent.parent / "defs"


@dataclass(frozen=True)
class GoldTable:
    """How one gold table is built.

    ``inputs`` maps each name of the SQL file to the table it stands for; names that begin with ``latest_`` show the
    latest version per business key only. ``carried`` names earlier results of the table itself, ``unknown_member`` says
    that the file adds the unknown member through ``with_unknown``: carried rows are empty, and the member is due, in a
    full build only. ``small`` results are collected and written without Spark, which saves a distributed commit.
    ``as_of_inputs`` must have been built as of the same moment.
    """

    name: str
    file: str
    inputs: Mapping[str, str]
    plan: Callable[[Upstream], Scope]
    carried: tuple[str, ...] = ()
    unknown_member: bool = False
    small: bool = False
    as_of_inputs: tuple[str, ...] = field(default=())

    @property
    def sql(self) -> str:
        """The text of its SQL file: one SELECT."""
        return (DEFS / self.file).read_text(encoding="utf-8")

    @property
    def uses_as_of(self) -> bool:
        """Whether the SELECT depends on ``:as_of``."""
        return ":as_of" in self.sql

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that it reads, each once."""
        return tuple(dict.fromkeys(self.inputs.values()))


def _same(*tables: str) -> dict[str, str]:
    """Inputs under their own names."""
    return {table.partition(".")[2]: table for table in tables}


def _latest(*tables: str) -> dict[str, str]:
    return {f"latest_{table.partition('.')[2]}": table for table in tables}


_TABLES = (
    GoldTable(
        "gold.dim_customer",
        "customers/dim_customer.sql",
        _same("silver.customers"),
        plans.dim_customer,
        unknown_member=True,
    ),
    GoldTable(
        "gold.dim_product", "products/dim_product.sql", _same("silver.products"), plans.dim_product, unknown_member=True
    ),
    GoldTable(
        "gold.dim_location",
        "sales/dim_location.sql",
        _latest("silver.locations"),
        plans.dim_location,
        unknown_member=True,
    ),
    GoldTable(
        "gold.dim_date", "sales/dim_date.sql", _same("silver.orders", "silver.shipments"), plans.dim_date, small=True
    ),
    GoldTable(
        "gold.fact_sales",
        "sales/fact_sales.sql",
        _latest("silver.order_items", "silver.orders")
        | _same("gold.dim_customer", "gold.dim_product", "gold.dim_location"),
        plans.fact_sales,
    ),
    GoldTable(
        "gold.fact_logistics",
        "logistics/fact_logistics.sql",
        _latest("silver.shipments", "silver.orders") | _same("gold.dim_customer", "gold.dim_location"),
        plans.fact_logistics,
    ),
    GoldTable(
        "gold.fact_orders",
        "sales/fact_orders.sql",
        _latest("silver.orders", "silver.transactions") | _same("gold.fact_sales", "gold.fact_logistics"),
        plans.fact_orders,
    ),
    GoldTable(
        "gold.sales_daily",
        "sales/sales_daily.sql",
        _same("gold.fact_orders", "gold.dim_location"),
        plans.sales_daily,
        small=True,
    ),
    GoldTable(
        "gold.product_performance",
        "products/product_performance.sql",
        _same("gold.dim_product", "gold.fact_sales", "silver.stock"),
        plans.everything,
        small=True,
    ),
    GoldTable(
        "gold.delivery_performance",
        "logistics/delivery_performance.sql",
        _same("gold.fact_logistics", "gold.dim_location"),
        plans.everything,
        small=True,
    ),
    GoldTable(
        "gold.customer_value",
        "customers/customer_value.sql",
        _same("gold.dim_customer", "gold.fact_orders"),
        plans.everything,
    ),
    GoldTable(
        "gold.customer_activity",
        "customer_360/customer_activity.sql",
        _same("silver.events"),
        plans.customer_activity,
        carried=("counted_activity",),
    ),
    GoldTable(
        "gold.customer_360",
        "customer_360/customer_360.sql",
        _same(
            "gold.dim_customer",
            "gold.dim_location",
            "gold.dim_product",
            "silver.consents",
            "gold.customer_value",
            "gold.customer_activity",
            "gold.fact_orders",
        )
        | {"purchases": "gold.fact_sales"},
        plans.customer_360,
        carried=("known_favourites",),
        as_of_inputs=("gold.customer_value", "gold.customer_activity"),
    ),
)

GOLD: Mapping[str, GoldTable] = {table.name: table for table in _TABLES}
"""All gold tables by name, in an order in which each comes after its inputs."""
