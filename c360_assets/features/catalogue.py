"""The features in batch: which SQL files make each, and from which tables of history."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from c360.cdc.contracts import history_name
from c360.streams.features import key_of, load_features

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFS = Path(__file__).parent.parent / "defs"


@dataclass(frozen=True)
class FeatureTable:
    """How batch makes the rows of one table of features that hold at a moment.

    Attributes:
        name: ``features.<table>``, as in the catalog ``lake``.
        history: the tables of history that are read; in SQL they have their names without ``silver.``.
        views: SELECTs by name, or SQL files below ``defs/`` that hold one; each may read those before it, and the last
            one is the table's own. Gold's files find the facts that they read among them, so that a rule is written
            once.
    """

    name: str
    history: tuple[str, ...]
    views: Mapping[str, str]

    @property
    def key(self) -> str:
        """The column that is the key, by its contract."""
        return key_of(load_features()[self.name])

    @property
    def files(self) -> tuple[Path, ...]:
        """The SQL files among its views."""
        return tuple(DEFS / view for view in self.views.values() if view.endswith(_SQL))

    @property
    def queries(self) -> dict[str, str]:
        """The text of each view, in their order."""
        return {
            name: (DEFS / view).read_text(encoding="utf-8") if view.endswith(_SQL) else view
            for name, view in self.views.items()
        }


def _files(*names: str) -> dict[str, str]:
    return {name: f"features/{name}{_SQL}" for name in names}


_SQL = ".sql"
_FACT_ORDERS = (
    "select order_id, told.customer_id, told.ordered_at, cast(told.amount as decimal(18, 2)) as net_amount "
    "from placed_orders"
)
_FACT_SALES = (
    "select product_id, quantity, ordered_at, coalesce(cancelled_at <= :as_of, false) as is_cancelled from sold_lines"
)
_DIM_PRODUCT = (
    "select distinct product_id, true as is_current, 0 as product_sk from product_versions where updated_at <= :as_of"
)

_TABLES = (
    FeatureTable(
        "features.sales_metrics",
        (history_name("orders"),),
        _files("placed_orders", "sales_metrics"),
    ),
    FeatureTable(
        "features.customer_segments",
        (history_name("orders"),),
        _files("placed_orders", "customer_segments"),
    ),
    FeatureTable(
        "features.anomaly_alerts",
        (history_name("orders"),),
        {
            **_files("placed_orders"),
            "fact_orders": _FACT_ORDERS,
            "judged_orders": "sales/anomaly_alerts.sql",
            **_files("anomaly_alerts"),
        },
    ),
    FeatureTable(
        "features.inventory_insights",
        tuple(map(history_name, ("orders", "order_items", "products", "stock"))),
        {
            **_files("placed_orders", "sold_lines", "product_versions", "stock_moves"),
            "fact_sales": _FACT_SALES,
            "stock": "select told.product_id, told.quantity, told.moved_at from stock_moves",
            "dim_product": _DIM_PRODUCT,
            "judged_products": "products/inventory_insights.sql",
            **_files("inventory_insights"),
        },
    ),
)

FEATURES: Mapping[str, FeatureTable] = MappingProxyType({table.name: table for table in _TABLES})
"""All tables of features that batch makes too, by name."""
