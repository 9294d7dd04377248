"""The gold tables: which SQL file builds each, what its named inputs are, and how its refresh is planned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from c360_assets.gold import plan_dimensions, plan_facts, plan_marts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from c360_assets.gold.scope import Scope, Upstream

DEFS = Path(__file__).parent.parent / "defs"


@dataclass(frozen=True)
class GoldTable:
    """How one gold table is built.

    Attributes:
        name: ``gold.<table>``, as in the catalog ``lake``.
        file: its SQL file below ``defs/``.
        inputs: each name of the SQL file and the table it stands for; names that begin with ``latest_`` show the latest
            version per business key only.
        plan: names what a refresh has to look at.
        carried: names of the SQL file for earlier rows of the table itself; empty in a full build.
        signed: inputs with a column ``sign``, which is 1 in a full build.
        unknown_member: the SQL file adds the unknown member through ``with_unknown``, due in a full build only.
        small: the result is collected and written without Spark, which saves a distributed commit.
        as_of_inputs: inputs that must have been built as of the same moment.
        cluster_by: files of a full build hold neighbouring values of it. Of facts a time, because a refresh changes the
            rows of a short time and so rewrites few files; of customers their id, by which one is looked up as of a
            past moment.
        rebuild_share: a refresh of more than this share of the rows is dearer than building in full; None: never.
    """

    name: str
    file: str
    inputs: Mapping[str, str]
    plan: Callable[[Upstream], Scope]
    carried: tuple[str, ...] = ()
    signed: tuple[str, ...] = ()
    unknown_member: bool = False
    small: bool = False
    as_of_inputs: tuple[str, ...] = ()
    cluster_by: str | None = None
    rebuild_share: float | None = None

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
        plan_dimensions.dim_customer,
        unknown_member=True,
    ),
    GoldTable(
        "gold.dim_product",
        "products/dim_product.sql",
        _same("silver.products"),
        plan_dimensions.dim_product,
        unknown_member=True,
    ),
    GoldTable(
        "gold.dim_location",
        "sales/dim_location.sql",
        _latest("silver.locations"),
        plan_dimensions.dim_location,
        unknown_member=True,
    ),
    GoldTable(
        "gold.dim_date",
        "sales/dim_date.sql",
        _same("silver.orders", "silver.shipments"),
        plan_dimensions.dim_date,
        small=True,
    ),
    GoldTable(
        "gold.fact_sales",
        "sales/fact_sales.sql",
        _latest("silver.order_items", "silver.orders")
        | _same("gold.dim_customer", "gold.dim_product", "gold.dim_location"),
        plan_facts.fact_sales,
        cluster_by="ordered_at",
        rebuild_share=0.2,
    ),
    GoldTable(
        "gold.fact_logistics",
        "logistics/fact_logistics.sql",
        _latest("silver.shipments", "silver.orders") | _same("gold.dim_customer", "gold.dim_location"),
        plan_facts.fact_logistics,
        cluster_by="shipped_at",
        rebuild_share=0.2,
    ),
    GoldTable(
        "gold.fact_orders",
        "sales/fact_orders.sql",
        _latest("silver.orders", "silver.transactions") | _same("gold.fact_sales", "gold.fact_logistics"),
        plan_facts.fact_orders,
        cluster_by="ordered_at",
        rebuild_share=0.2,
    ),
    GoldTable(
        "gold.sales_daily",
        "sales/sales_daily.sql",
        _same("gold.fact_orders", "gold.dim_location"),
        plan_marts.sales_daily,
        small=True,
    ),
    GoldTable(
        "gold.product_performance",
        "products/product_performance.sql",
        _same("gold.dim_product", "silver.stock") | {"sales_lines": "gold.fact_sales"},
        plan_marts.product_performance,
        carried=("counted_performance",),
        signed=("sales_lines",),
        small=True,
    ),
    GoldTable(
        "gold.inventory_insights",
        "products/inventory_insights.sql",
        _same("gold.dim_product", "gold.fact_sales", "silver.stock"),
        plan_marts.everything,
        small=True,
    ),
    GoldTable(
        "gold.anomaly_alerts",
        "sales/anomaly_alerts.sql",
        _same("gold.fact_orders"),
        plan_marts.anomaly_alerts,
    ),
    GoldTable(
        "gold.delivery_performance",
        "logistics/delivery_performance.sql",
        _same("gold.fact_logistics", "gold.dim_location"),
        plan_marts.delivery_performance,
        small=True,
    ),
    GoldTable(
        "gold.customer_activity",
        "customer_360/customer_activity.sql",
        _same("silver.events", "gold.dim_product")
        | {"order_lines": "gold.fact_orders", "purchases": "gold.fact_sales"},
        plan_marts.customer_activity,
        carried=("counted_events", "counted_orders", "counted_favourites"),
        signed=("order_lines",),
    ),
    GoldTable(
        "gold.customer_value",
        "customers/customer_value.sql",
        _same("gold.dim_customer", "gold.customer_activity"),
        plan_marts.everything,
        as_of_inputs=("gold.customer_activity",),
    ),
    GoldTable(
        "gold.customer_360",
        "customer_360/customer_360.sql",
        _same(
            "gold.dim_customer",
            "gold.dim_location",
            "silver.consents",
            "gold.customer_value",
            "gold.customer_activity",
        ),
        plan_marts.everything,
        as_of_inputs=("gold.customer_value", "gold.customer_activity"),
        cluster_by="customer_id",
    ),
)

GOLD: Mapping[str, GoldTable] = {table.name: table for table in _TABLES}
"""All gold tables by name, in an order in which each comes after its inputs."""
