"""What the churn model learns from: what was known of each customer at moments in the past, and what came of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

HORIZON, EVERY = timedelta(days=60), timedelta(days=30)
"""A customer without an order in the horizon after a moment has churned; moments are that far apart."""

ORDERS, SEGMENTS, TABLE = "silver.shop_orders_history", "features.customer_segments", "gold.churn_training_set"
ORDER_COLUMNS = ("order_id", "customer_id", "ordered_at", "lsn", "committed_at")
SEGMENT_COLUMNS = ("customer_id", "segment", "orders", "spend", "last_order_at", "effective_at", "version")

# Of a row that comes into effect after the label's moment nothing is known then, not even that it exists.
_QUERY = """
with placed as (
    select order_id, min_by(customer_id, lsn) as customer_id, min_by(ordered_at, lsn) as ordered_at
    from orders where customer_id is not null and ordered_at is not null group by order_id
),
moments as (
    select unnest(generate_series($last, coalesce(min(ordered_at), $last), -to_days($every))) as label_time from orders
),
labels as (
    select customer_id, label_time,
        not bool_or(ordered_at > label_time and ordered_at <= label_time + to_days($horizon)) as churned
    from placed cross join moments
    group by customer_id, label_time having min(ordered_at) <= label_time
),
known as (
    select customer_id, label_time, churned, segments.* exclude (customer_id)
    from labels join segments using (customer_id)
    where effective_at <= label_time
    qualify row_number() over (partition by customer_id, label_time order by version desc, effective_at desc) = 1
)
select * from known order by label_time, customer_id
"""


def training_set(orders: pa.Table, segments: pa.Table, until: datetime) -> pa.Table:
    """One row for each customer and moment: the label, and the row of features that held at that moment.

    Args:
        orders: versions of orders, with :data:`ORDER_COLUMNS`; the first content of an order tells when it was placed.
        segments: all rows of ``features.customer_segments``, with :data:`SEGMENT_COLUMNS`.
        until: up to when orders are known (aware). The last label is a horizon before it.

    Returns:
        The rows in the columns of the contract of ``gold.churn_training_set``. Customers of whom no row of features was
        in effect at the moment are left out.
    """
    from c360.contracts import get_contract
    from c360.contracts.query import query_rows

    last = until.astimezone(UTC).replace(tzinfo=None) - HORIZON
    told = {"last": last, "every": EVERY.days, "horizon": HORIZON.days}
    tables = {"orders": orders.select(ORDER_COLUMNS), "segments": segments.select(SEGMENT_COLUMNS)}
    return query_rows(get_contract(TABLE), _QUERY, tables, told)
