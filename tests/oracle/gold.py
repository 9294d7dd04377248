"""The gold tables as the specification words them, worked out from the clean truth by DuckDB and plain Python."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from tests.oracle import customer_360, dimensions, facts, marts
from tests.oracle.gold_features import add_features
from tests.oracle.silver import load, read_truth

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEYS: Mapping[str, tuple[str, ...]] = {
    "dim_customer": ("customer_sk",),
    "dim_product": ("product_sk",),
    "dim_location": ("location_sk",),
    "dim_date": ("date_sk",),
    "fact_sales": ("order_item_id",),
    "fact_logistics": ("shipment_id",),
    "sales_daily": ("order_date", "sales_channel", "country_code"),
    "product_performance": ("product_id",),
    "inventory_insights": ("product_id",),
    "anomaly_alerts": ("alert_id",),
    "delivery_performance": ("ship_month", "carrier", "service_level", "country_code"),
    "customer_value": ("customer_id",),
    "customer_360": ("customer_id",),
}
"""Every gold table with its primary key, in the order in which they are built."""


def gold_tables(truth: Path, as_of: datetime) -> dict[str, pa.Table]:
    """All gold tables of the clean truth in ``<truth>/clean``, by name.

    Timestamps come as ``timestamp[us, UTC]``, amounts as ``decimal(18,2)``, rates as ``decimal(9,4)``. ``as_of`` must
    carry a time zone. Raises AssertionError when the truth itself is not sound.
    """
    return gold_from(read_truth(truth), as_of)


def gold_from(silver: Mapping[str, pa.Table], as_of: datetime, threads: int = 2) -> dict[str, pa.Table]:
    """The same from silver tables in memory, by entity."""
    import duckdb

    assert as_of.tzinfo is not None, "as_of needs a time zone"
    with duckdb.connect(config={"threads": threads}) as connection:
        load(connection, silver)
        moment = as_of.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")
        connection.execute(f"SET VARIABLE as_of = TIMESTAMP '{moment}'")
        for module in (dimensions.MACROS, dimensions.STATEMENTS, facts.STATEMENTS, marts.STATEMENTS):
            for statement in module:
                connection.execute(statement)
        add_features(connection, as_of)
        for statement in customer_360.STATEMENTS:
            connection.execute(statement)
        return {name: _zoned(connection.table(name).to_arrow_table()) for name in KEYS}


def _zoned(table: pa.Table) -> pa.Table:
    moment = pa.timestamp("us", tz="UTC")
    return table.cast(pa.schema([(f.name, moment if pa.types.is_timestamp(f.type) else f.type) for f in table.schema]))
