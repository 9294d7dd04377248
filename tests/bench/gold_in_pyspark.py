"""The same gold as one script by hand: Spark SQL from the silver Iceberg tables to Parquet files, and nothing else.

No alerts and inventory; no catalog, audit, increment or publication; each table is written once and read back by those
that build on it, as one would write it in an afternoon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from pyspark.sql import SparkSession

_ENTITIES = (
    "customers", "products", "locations", "consents", "stock", "orders", "order_items", "transactions", "shipments",
    "events",
)  # fmt: skip
_LATEST = {
    "locations": ("location_id", "updated_at"),
    "orders": ("order_id", "updated_at"),
    "order_items": ("order_item_id", "updated_at"),
    "shipments": ("shipment_id", "updated_at"),
    "transactions": ("transaction_id", "occurred_at"),
}
_TRACKED = {
    "customer": "first_name, last_name, email, phone, birth_date, location_id, language, loyalty_tier, "
    "acquisition_channel, registered_at",
    "product": "product_name, category, subcategory, brand, unit_price, unit_cost, weight_kg, status, introduced_at",
}
_DERIVED = {"customer": "nullif(concat_ws(' ', first_name, last_name), '') as full_name,", "product": ""}


def _sk(text: str) -> str:
    return f"cast(conv(left(md5({text}), 15), 16, 10) as bigint)"


def _history(name: str) -> str:
    key, tracked = f"{name}_id", _TRACKED[name]
    absent = ", ".join("null" for _ in tracked.split(", ")) + (", null" if _DERIVED[name] else "")
    return f"""
    with compared as (
      select *, struct({tracked}) as body, lag(struct({tracked})) over w as earlier, row_number() over w as nth
      from {name}s window w as (partition by {key} order by updated_at)
    ), runs as (
      select *, row_number() over w as version_number, lead(updated_at) over w as next_at
      from compared where nth = 1 or not (body <=> earlier) window w as (partition by {key} order by updated_at)
    )
    select {_sk(f"concat('{name}|', {key}, '|', unix_micros(updated_at))")} as {name}_sk, {key}, {tracked},
      {_DERIVED[name]} version_number, updated_at as version_at,
      if(version_number = 1, timestamp '1900-01-01 00:00:00Z', updated_at) as valid_from,
      coalesce(next_at, timestamp '9999-12-31 00:00:00Z') as valid_to, next_at is null as is_current
    from runs
    union all
    select -1, 'unknown', {absent}, null, null, timestamp '1900-01-01 00:00:00Z', timestamp '9999-12-31 00:00:00Z', true
    """


def _day(moment: str) -> str:
    return f"coalesce(cast(date_format({moment}, 'yyyyMMdd') as int), -1)"


def _rate(part: str, whole: str, digits: int = 4) -> str:
    return f"round(cast({part} as decimal(18, 2)) / nullif(cast({whole} as decimal(18, 2)), 0), {digits})"


_DATES = """
    with moments as (
      select min(ordered_at) as low, max(ordered_at) as high from orders
      union all select min(shipped_at), max(shipped_at) from shipments
      union all select min(promised_at), max(promised_at) from shipments
      union all select min(delivered_at), max(delivered_at) from shipments
    ), days as (
      select explode(sequence(make_date(year(min(low)), 1, 1), make_date(year(max(high)), 12, 31))) as date from moments
    )
    select cast(date_format(date, 'yyyyMMdd') as int) as date_sk, date, year(date) as year, quarter(date) as quarter,
      month(date) as month, date_format(date, 'MMMM') as month_name, weekofyear(date) as iso_week,
      day(date) as day_of_month, weekday(date) + 1 as day_of_week, date_format(date, 'EEEE') as day_name,
      dayofyear(date) as day_of_year, weekday(date) >= 5 as is_weekend, date = last_day(date) as is_month_end
    from days
    union all select -1, null, null, null, null, null, null, null, null, null, null, null, null
"""
_SALES = f"""
    with joined as (
      select i.*, o.customer_id, o.ordered_at, o.status as order_status, o.channel as sales_channel, o.currency,
        c.customer_sk, p.product_sk, p.unit_cost, l.location_sk,
        coalesce(o.status = 'cancelled', false) as is_cancelled,
        i.quantity * i.unit_price as gross_amount,
        i.quantity * i.unit_price - coalesce(i.discount_amount, 0) as net_amount
      from latest_order_items i
      left join latest_orders o on o.order_id = i.order_id
      left join dim_customer c on c.customer_id = o.customer_id
        and o.ordered_at >= c.valid_from and o.ordered_at < c.valid_to
      left join dim_product p on p.product_id = i.product_id
        and coalesce(o.ordered_at, timestamp '9999-12-30 00:00:00Z') >= p.valid_from
        and coalesce(o.ordered_at, timestamp '9999-12-30 00:00:00Z') < p.valid_to
      left join dim_location l on l.location_id = o.location_id
    ), returned as (
      select *, round(cast(net_amount as decimal(18, 2)) * cast(coalesce(returned_quantity, 0) as decimal(6, 0))
        / cast(quantity as decimal(6, 0)), 2) as returned_amount
      from joined
    )
    select order_item_id, order_id, line_number, customer_id, product_id, coalesce(customer_sk, -1) as customer_sk,
      coalesce(product_sk, -1) as product_sk, coalesce(location_sk, -1) as location_sk,
      {_day("ordered_at")} as order_date_sk, ordered_at, order_status, sales_channel, currency, quantity,
      cast(unit_price as decimal(18, 2)) as unit_price,
      cast(coalesce(discount_amount, 0) as decimal(18, 2)) as discount_amount,
      cast(gross_amount as decimal(18, 2)) as gross_amount, cast(net_amount as decimal(18, 2)) as net_amount,
      cast(unit_cost as decimal(18, 2)) as unit_cost, cast(quantity * unit_cost as decimal(18, 2)) as cost_amount,
      cast(net_amount - quantity * unit_cost as decimal(18, 2)) as margin_amount,
      coalesce(returned_quantity, 0) as returned_quantity, cast(returned_amount as decimal(18, 2)) as returned_amount,
      is_cancelled, cast(if(is_cancelled, 0, net_amount - returned_amount) as decimal(18, 2)) as revenue_amount
    from returned
"""
_LOGISTICS = f"""
    select s.shipment_id, s.order_id, o.customer_id, coalesce(c.customer_sk, -1) as customer_sk,
      coalesce(l.location_sk, -1) as location_sk, s.carrier, s.service_level, s.warehouse, s.status,
      {_day("s.shipped_at")} as ship_date_sk, {_day("s.promised_at")} as promised_date_sk,
      {_day("s.delivered_at")} as delivery_date_sk, s.shipped_at, s.promised_at, s.delivered_at,
      cast(coalesce(s.shipping_cost, 0) as decimal(18, 2)) as shipping_cost, s.weight_kg,
      cast(round((unix_micros(s.delivered_at) - unix_micros(s.shipped_at)) / cast(3600000000 as decimal(18, 0)), 2)
        as decimal(10, 2)) as transit_hours,
      s.delivered_at is not null as is_delivered, s.delivered_at <= s.promised_at as is_on_time
    from latest_shipments s
    left join latest_orders o on o.order_id = s.order_id
    left join dim_customer c on c.customer_id = o.customer_id
      and o.ordered_at >= c.valid_from and o.ordered_at < c.valid_to
    left join dim_location l on l.location_id = s.location_id
"""
_DAILY = """
    select cast(ordered_at as date) as order_date, coalesce(sales_channel, 'unknown') as sales_channel,
      coalesce(country_code, 'ZZ') as country_code, count(distinct order_id) as orders, count(*) as order_items,
      count(distinct customer_id) as customers, sum(quantity) as units, sum(gross_amount) as gross_amount,
      sum(discount_amount) as discount_amount, sum(net_amount) as net_amount, sum(returned_amount) as returned_amount,
      sum(revenue_amount) as revenue_amount, count(distinct if(is_cancelled, order_id, null)) as cancelled_orders
    from fact_sales left join dim_location using (location_sk) where ordered_at is not null group by all
"""
_PERFORMANCE = f"""
    with sold as (
      select product_id, count(distinct order_id) as orders, sum(quantity) as units_sold,
        sum(returned_quantity) as returned_units, sum(gross_amount) as gross_amount,
        sum(discount_amount) as discount_amount, sum(revenue_amount) as revenue_amount, sum(cost_amount) as cost_amount,
        sum(margin_amount) as margin_amount, min(ordered_at) as first_sold_at, max(ordered_at) as last_sold_at
      from fact_sales where not is_cancelled group by product_id
    ), held as (select product_id, sum(quantity) as stock_on_hand from stock group by product_id)
    select product_id, product_name, category, brand, status, coalesce(orders, 0) as orders,
      coalesce(units_sold, 0) as units_sold, coalesce(returned_units, 0) as returned_units,
      coalesce(gross_amount, 0) as gross_amount, coalesce(discount_amount, 0) as discount_amount,
      coalesce(revenue_amount, 0) as revenue_amount, coalesce(cost_amount, 0) as cost_amount,
      coalesce(margin_amount, 0) as margin_amount, {_rate("returned_units", "units_sold")} as return_rate,
      first_sold_at, last_sold_at, coalesce(stock_on_hand, 0) as stock_on_hand
    from dim_product left join sold using (product_id) left join held using (product_id)
    where is_current and product_sk <> -1
"""
_DELIVERY = f"""
    select cast(date_trunc('month', shipped_at) as date) as ship_month, carrier,
      coalesce(service_level, 'unknown') as service_level, coalesce(country_code, 'ZZ') as country_code,
      count(*) as shipments, count_if(is_delivered) as delivered, count_if(is_on_time) as on_time,
      count_if(status = 'lost') as lost, count_if(status = 'returned') as returned,
      {_rate("count_if(is_on_time)", "count(is_on_time)")} as on_time_rate,
      {_rate("sum(transit_hours)", "count(transit_hours)", 2)} as avg_transit_hours, sum(shipping_cost) as shipping_cost
    from fact_logistics left join dim_location using (location_sk) where shipped_at is not null group by 1, 2, 3, 4
"""
_VALUE = f"""
    with bought as (
      select customer_id, count(distinct if(is_cancelled, null, order_id)) as orders,
        count(distinct if(is_cancelled, order_id, null)) as cancelled_orders,
        sum(if(is_cancelled, 0, quantity)) as units, sum(revenue_amount) as revenue_amount,
        sum(if(is_cancelled, 0, returned_amount)) as returned_amount,
        min(if(is_cancelled, null, ordered_at)) as first_order_at,
        max(if(is_cancelled, null, ordered_at)) as last_order_at
      from fact_sales where ordered_at <= :as_of group by customer_id
    ), valued as (
      select customer_id, coalesce(orders, 0) as orders, coalesce(cancelled_orders, 0) as cancelled_orders,
        coalesce(units, 0) as units, coalesce(revenue_amount, 0) as revenue_amount,
        coalesce(returned_amount, 0) as returned_amount, first_order_at, last_order_at
      from dim_customer left join bought using (customer_id) where is_current and customer_sk <> -1
    ), scored as (
      select customer_id, ntile(5) over (order by last_order_at, customer_id) as r_score,
        ntile(5) over (order by orders, customer_id) as f_score,
        ntile(5) over (order by revenue_amount, customer_id) as m_score
      from valued where orders > 0
    )
    select valued.*, {_rate("revenue_amount", "orders", 2)} as average_order_value,
      (unix_micros(:as_of) - unix_micros(last_order_at)) div 86400000000 as recency_days, r_score, f_score, m_score,
      concat(r_score, f_score, m_score) as rfm_score
    from valued left join scored using (customer_id)
"""
_WIDE = f"""
    with asked as (
      select customer_id,
        max_by(granted, updated_at) filter (where purpose = 'marketing_email') as consent_marketing_email,
        max_by(granted, updated_at) filter (where purpose = 'marketing_sms') as consent_marketing_sms,
        max_by(granted, updated_at) filter (where purpose = 'profiling') as consent_profiling,
        max_by(granted, updated_at) filter (where purpose = 'third_party') as consent_third_party
      from consents where updated_at <= :as_of group by customer_id
    ), placed as (
      select customer_id, count(*) as segment_orders, max(ordered_at) as last_placed_at,
        max_by(order_id, struct(ordered_at, order_id)) as last_order_id,
        max_by(status, struct(ordered_at, order_id)) as last_order_status
      from latest_orders where ordered_at <= :as_of group by customer_id
    ), spent as (
      select customer_id, sum(net_amount) as segment_spend
      from fact_sales where ordered_at <= :as_of group by customer_id
    ), categories as (
      select customer_id, category, row_number() over
        (partition by customer_id order by sum(revenue_amount) desc, category) as nth
      from fact_sales join dim_product using (product_sk)
      where not is_cancelled and ordered_at <= :as_of and category is not null group by customer_id, category
    ), favourites as (select customer_id, category as favourite_category from categories where nth = 1),
    shipped as (
      select customer_id, count(*) as shipments, count_if(is_delivered) as delivered_shipments,
        count_if(not is_on_time) as late_shipments, count_if(status in ('created', 'in_transit')) as open_shipments,
        {_rate("count_if(is_on_time)", "count(is_on_time)")} as on_time_rate, max(delivered_at) as last_delivered_at
      from fact_logistics group by customer_id
    ), paid as (
      select customer_id, sum(if(transaction_type = 'payment' and t.status = 'captured', amount, 0)) as captured_amount,
        sum(if(transaction_type = 'refund' and t.status = 'captured', amount, 0)) as refunded_amount,
        count_if(transaction_type = 'payment' and t.status = 'failed') as failed_payments,
        count_if(transaction_type = 'payment') as payments
      from latest_transactions t join latest_orders using (order_id) group by customer_id
    ), seen as (
      select customer_id, count(*) as web_events, count_if(event_type = 'session_start') as web_sessions,
        count_if(event_type = 'product_view') as product_views, count_if(event_type = 'add_to_cart') as carts,
        count_if(event_type = 'support_ticket') as support_tickets, min(event_timestamp) as first_seen_at,
        max(event_timestamp) as last_seen_at
      from events where event_timestamp <= :as_of and customer_id is not null group by customer_id
    ), gathered as (
      select c.customer_id, customer_sk, full_name, first_name, last_name, email, phone, birth_date, language,
        loyalty_tier, acquisition_channel, registered_at, c.location_id, street, city, postal_code, region,
        country_code,
        consent_marketing_email, consent_marketing_sms, consent_profiling, consent_third_party, orders,
        cancelled_orders, revenue_amount, average_order_value, returned_amount, first_order_at, last_order_at,
        recency_days, r_score, f_score, m_score, rfm_score, coalesce(segment_orders, 0) as segment_orders,
        coalesce(segment_spend, 0) as segment_spend, last_placed_at, favourite_category, last_order_id,
        last_order_status, coalesce(shipments, 0) as shipments, coalesce(delivered_shipments, 0) as delivered_shipments,
        coalesce(late_shipments, 0) as late_shipments, coalesce(open_shipments, 0) as open_shipments, on_time_rate,
        last_delivered_at, coalesce(captured_amount, 0) as captured_amount,
        coalesce(refunded_amount, 0) as refunded_amount, coalesce(failed_payments, 0) as failed_payments,
        coalesce(payments, 0) as payments, coalesce(web_events, 0) as web_events,
        coalesce(web_sessions, 0) as web_sessions, coalesce(product_views, 0) as product_views,
        coalesce(carts, 0) as carts, coalesce(support_tickets, 0) as support_tickets, first_seen_at, last_seen_at,
        {_rate("returned_amount", "(revenue_amount + returned_amount)")} as return_rate,
        {_rate("cancelled_orders", "(orders + cancelled_orders)")} as cancellation_rate,
        {_rate("failed_payments", "payments")} as failed_payment_rate,
        (unix_micros(:as_of) - unix_micros(last_placed_at)) div 86400000000 as days
      from dim_customer c join customer_value v on v.customer_id = c.customer_id
      left join dim_location l on l.location_id = c.location_id
      left join asked a on a.customer_id = c.customer_id left join placed o on o.customer_id = c.customer_id
      left join spent s on s.customer_id = c.customer_id left join favourites f on f.customer_id = c.customer_id
      left join shipped d on d.customer_id = c.customer_id left join paid p on p.customer_id = c.customer_id
      left join seen e on e.customer_id = c.customer_id
      where c.is_current and c.customer_sk <> -1
    ), judged as (
      select * except (days), case when segment_orders = 0 then 'Prospect' when days >= 90 then 'Churned'
          when days >= 30 then 'At-Risk' when segment_orders >= 5 and segment_spend >= 500 then 'VIP'
          when segment_orders >= 3 then 'Regular' else 'New' end as segment,
        cast(round(100 * (0.4 * coalesce(cast(return_rate as decimal(9, 4)), 0)
          + 0.3 * coalesce(cast(cancellation_rate as decimal(9, 4)), 0)
          + 0.3 * coalesce(cast(failed_payment_rate as decimal(9, 4)), 0))) as int) as risk_score
      from gathered
    )
    select *, case when risk_score >= 50 then 'high' when risk_score >= 20 then 'medium' else 'low' end as risk_level
    from judged
"""
_PLACES = f"""
    select {_sk("concat('location|', location_id)")} as location_sk, location_id, street, city, postal_code, region,
      country_code, latitude, longitude, updated_at
    from latest_locations
    union all select -1, 'unknown', null, null, null, null, null, null, null, null
"""

TABLES = {
    "dim_customer": _history("customer"),
    "dim_product": _history("product"),
    "dim_location": _PLACES,
    "dim_date": _DATES,
    "fact_sales": _SALES,
    "fact_logistics": _LOGISTICS,
    "sales_daily": _DAILY,
    "product_performance": _PERFORMANCE,
    "delivery_performance": _DELIVERY,
    "customer_value": _VALUE,
    "customer_360": _WIDE,
}


def build(spark: SparkSession, out: Path, as_of: datetime) -> None:
    """Write every table below ``out``."""
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    for entity in _ENTITIES:
        spark.table(f"lake.silver.{entity}").createOrReplaceTempView(entity)
    for entity, (key, version) in _LATEST.items():
        newest = f"select *, row_number() over (partition by {key} order by {version} desc) as nth from {entity}"
        spark.sql(f"select * from ({newest}) where nth = 1").createOrReplaceTempView(f"latest_{entity}")
    for name, text in TABLES.items():
        spark.sql(text, args={"as_of": as_of}).write.mode("overwrite").parquet(str(out / name))
        spark.read.parquet(str(out / name)).createOrReplaceTempView(name)
