"""Visits and abandoned carts from silver: the batch form of the job ``customer-journeys``, by DuckDB, and its parity.

Both forms are functions of the set of events and of a moment; what comes late changes both alike.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from c360.contracts.query import query_rows
from c360.streams.feature_parity import compare, require, valid_rows
from c360.streams.features import EFFECTIVE, key_of, load_features
from c360.streams.parity import settled

if TYPE_CHECKING:
    import pyarrow as pa

    from c360.lakehouse import Lakehouse
    from c360.streams.parity import Difference

SILVER, SESSIONS, CARTS = "silver.user_action_events", "features.customer_sessions", "features.abandoned_carts"
READ = (
    *("event_id", "event_type", "event_timestamp", "user_id", "product_id"),
    *("kafka_partition", "kafka_offset", "kafka_timestamp"),
)
"""The columns of silver that are needed."""

# Silver forgets an id after a day, so that one may be there twice.
_ACTIONS = """
with actions as (
    select user_id as customer_id, event_id, event_type, product_id, event_timestamp as happened from (
        select *, row_number() over (
            partition by event_id order by kafka_timestamp, kafka_partition, kafka_offset) as nth
        from silver)
    where nth = 1 and user_id is not null
),
"""
_SESSIONS = (
    _ACTIONS
    + """
apart as (
    select *, coalesce(happened - lag(happened) over customer >= interval 30 minutes, true) as begins
    from actions window customer as (partition by customer_id order by happened)
),
numbered as (
    select *, count(*) filter (where begins) over (
        partition by customer_id order by happened rows between unbounded preceding and current row) as visit
    from apart
)
select customer_id || '-' || strftime(min(happened), '%Y-%m-%dT%H:%M:%S.%fZ') as session_id, customer_id,
    min(happened) as started_at, max(happened) as ended_at, count(*) as events,
    count(*) filter (where event_type = 'page_view') as page_views,
    count(*) filter (where event_type = 'product_view') as product_views,
    count(*) filter (where event_type = 'add_to_cart') as carts,
    count(*) filter (where event_type = 'purchase') as purchases,
    true as is_active, max(happened) + interval 30 minutes as effective_at, count(*) as version
from numbered group by customer_id, visit
having max(happened) + interval 30 minutes <= $as_of
"""
)
_CARTS = (
    _ACTIONS
    + """
carts as (select * from actions where event_type = 'add_to_cart' and happened + interval 30 minutes <= $as_of),
viewed as (
    select cart.event_id, count(*) as views, max(view.happened) as viewed_at
    from carts as cart join actions as view on view.customer_id = cart.customer_id
        and view.event_type = 'product_view' and view.happened <= cart.happened
        and cart.happened - view.happened < interval 30 minutes
        and coalesce(view.product_id = cart.product_id, true)
    group by cart.event_id
),
bought as (
    select distinct cart.event_id
    from carts as cart join actions as purchase on purchase.customer_id = cart.customer_id
        and purchase.event_type = 'purchase' and purchase.happened >= cart.happened
        and purchase.happened - cart.happened < interval 30 minutes
        and coalesce(purchase.product_id = cart.product_id, true)
)
select event_id as cart_id, customer_id, product_id, viewed_at, happened as carted_at, true as is_active,
    happened + interval 30 minutes as effective_at, 1 + views as version
from carts join viewed using (event_id) anti join bought using (event_id)
"""
)
_QUERIES = {SESSIONS: _SESSIONS, CARTS: _CARTS}


def journey_rows(name: str, silver: pa.Table, as_of: datetime) -> pa.Table:
    """The rows of a table (:data:`SESSIONS` or :data:`CARTS`) that hold at ``as_of`` (aware), one for each key.

    ``silver`` has the columns of :data:`READ`; the result those of the table's contract, by key.
    """
    contract = load_features()[name]
    query = f"select * from ({_QUERIES[name]}) order by {key_of(contract)}"
    return query_rows(contract, query, {"silver": silver}, {"as_of": as_of.astimezone(UTC).replace(tzinfo=None)})


def journey_parity(lake: Lakehouse, name: str, as_of: datetime | None = None) -> Difference:
    """Compare a table with batch as of ``as_of``, or else the newest moment that the stream and silver have reached.

    Raises LakehouseError if one of the tables is missing.
    """
    require(lake, name, SILVER)
    return settled(lambda: _look(lake, name, as_of))


def _look(lake: Lakehouse, name: str, as_of: datetime | None) -> Difference:
    import polars as pl

    key = key_of(load_features()[name])
    # The stream first: what it was made of is then in the topic, and soon in silver.
    written = pl.DataFrame(pl.from_arrow(lake.read(name)))
    silver = lake.read(SILVER, columns=READ)
    moment, nothing = as_of or _reached(lake, silver), written.clear()
    if moment is None:
        return compare(name, key, nothing, nothing, nothing)
    batch = pl.DataFrame(pl.from_arrow(journey_rows(name, silver, moment)))
    return compare(name, key, batch, valid_rows(written, key, moment), nothing, moment)


def _reached(lake: Lakehouse, silver: pa.Table) -> datetime | None:
    """The newest moment that both the job, by either table, and silver have come to."""
    import pyarrow.compute as pc

    written = [lake.read(name, columns=[EFFECTIVE])[EFFECTIVE] for name in (SESSIONS, CARTS) if lake.exists(name)]
    told = max((at for column in written if (at := pc.max(column).as_py()) is not None), default=None)
    seen = pc.max(silver["event_timestamp"]).as_py()
    return None if told is None or seen is None else min(told, seen)
